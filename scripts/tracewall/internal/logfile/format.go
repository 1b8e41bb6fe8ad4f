package logfile

import (
	"fmt"
	"strings"
)

// Format names how the lines of a file are built.
type Format string

// The formats.
const (
	Story    Format = "story"    // the founding story's: [10/May/2025:12:55:31 +0800] and free text
	Combined Format = "combined" // Apache's and nginx's access log, with or without referer and agent
	SSHD     Format = "sshd"     // auth.log: syslog lines of sshd and PAM
	JSONL    Format = "jsonl"    // one JSON object a line
	ErrorLog Format = "errorlog" // nginx's and Apache's error log
	Auto     Format = "auto"     // told by the first lines
)

// ParseFormat reads a format's name.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case Story, Combined, SSHD, JSONL, ErrorLog, Auto:
		return f, nil
	default:
		return "", fmt.Errorf("format %q: want story, combined, sshd, jsonl, errorlog or auto", name)
	}
}

// parser takes the lines of one format apart. It is for one goroutine.
type parser interface {
	// fields names the values of a line, in the order in which parse fills them in.
	fields() []string
	// mapping says which of them stand for what rules ask for; see Lines.Mapping.
	mapping() map[string]string
	// parse fills in values, which come empty, and returns the line's time in Unix seconds.
	// timed is false for a line that has no time of its own. ok is false for a line that
	// is none of this format.
	parse(line string, values []string) (unix int64, timed, ok bool)
}

// sniffLines is how many lines Auto looks at.
const sniffLines = 100

// firstLines returns up to sniffLines lines with something in them.
func (s *Source) firstLines() ([]string, error) {
	head, err := s.head()
	if err != nil {
		return nil, err
	}
	text := string(head)
	if len(head) == sniffBytes { // the last line is cut off
		if at := strings.LastIndexByte(text, '\n'); at > 0 {
			text = text[:at]
		}
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
		if len(lines) == sniffLines {
			break
		}
	}
	return lines, nil
}

// Sniff tells the format of the file by its first lines. It does not guess: when no format
// fits, or two fit about as well, the error asks for the format.
func (s *Source) Sniff() (Format, error) {
	lines, err := s.firstLines()
	if err != nil {
		return "", fmt.Errorf("read log file %s: %w", s.Name, err)
	}
	formats := []Format{Story, Combined, SSHD, JSONL, ErrorLog}
	best, second, counts := 0, 0, make([]string, len(formats))
	var found Format
	for i, f := range formats {
		n := score(newParser(f, lines, calendar{year: 2000}), lines)
		counts[i] = fmt.Sprintf("%d like %s", n, f)
		switch {
		case n > best:
			best, second, found = n, best, f
		case n > second:
			second = n
		}
	}
	switch {
	case best == 0:
		return "", fmt.Errorf("format of %s: none of the first %d lines is one of story, combined, sshd, jsonl or errorlog; say which with --format", s.Name, len(lines))
	case second*4 > best:
		return "", fmt.Errorf("format of %s: ambiguous: of the first %d lines %s; say which with --format", s.Name, len(lines), strings.Join(counts, ", "))
	}
	return found, nil
}

// score counts the lines that have a time and all that the format promises.
func score(p parser, lines []string) int {
	values := make([]string, len(p.fields()))
	n := 0
	for _, line := range lines {
		clear(values)
		if _, timed, ok := p.parse(line, values); ok && timed {
			n++
		}
	}
	return n
}

func newParser(f Format, sample []string, years calendar) parser {
	switch f {
	case Combined:
		return &combinedParser{}
	case SSHD:
		return &sshdParser{years: years}
	case JSONL:
		return newJSONParser(sample)
	case ErrorLog:
		return &errorParser{}
	default:
		return &storyParser{}
	}
}
