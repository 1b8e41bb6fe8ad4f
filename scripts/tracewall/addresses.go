package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/threat"
)

// The widest ranges that a person may block in one line. Wider ones are a slip of the
// finger, or a decision that belongs into the firewall's own rules.
const (
	widest4 = 16
	widest6 = 32
)

// maxTold bounds how many bad or spared values a message names.
const maxTold = 20

// maxLineBytes bounds one line of a list.
const maxLineBytes = 4096

// subjects is what a person wants blocked or unblocked.
type subjects struct {
	list    []threat.Indicator // sorted, without duplicates
	bad     told               // what cannot be read
	tooWide told               // ranges that only a person who means it may block elsewhere
	twice   int                // named more than once
}

// told counts, and keeps the first few.
type told struct {
	n     int
	first []string
}

func (t *told) add(format string, args ...any) {
	if t.n++; len(t.first) < maxTold {
		t.first = append(t.first, fmt.Sprintf(format, args...))
	}
}

// lines writes what is kept, and how much more there is.
func (t *told) lines(w io.Writer) {
	for _, line := range t.first {
		fmt.Fprintln(w, report.Safe(line))
	}
	if more := t.n - len(t.first); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
}

// readSubjects reads the arguments, or the file ("-" is standard input): one address,
// range or account:NAME in a line; what follows # or ; is a comment and what stands in further
// columns is passed over, as in published lists.
func (a *app) readSubjects(file string, args []string) (subjects, error) {
	var s subjects
	switch {
	case file != "" && len(args) > 0:
		return s, usagef("argument %q: want either --file or addresses", args[0])
	case file == "" && len(args) == 0:
		return s, usagef("nobody is named: want addresses or --file LIST")
	case file == "":
		for i, text := range args {
			s.read(fmt.Sprintf("argument %d", i+1), text)
		}
	default:
		if err := a.readFile(file, &s); err != nil {
			return s, err
		}
	}
	slices.SortFunc(s.list, threat.Indicator.Compare)
	n := len(s.list)
	s.list = slices.Compact(s.list)
	s.twice = n - len(s.list)
	return s, nil
}

func (a *app) readFile(file string, s *subjects) error {
	in, err := a.openFile(file)
	if err != nil {
		return err
	}
	defer in.Close()
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 64<<10), maxLineBytes)
	number := 0
	for scanner.Scan() {
		number++
		s.read(fmt.Sprintf("line %d", number), scanner.Text())
	}
	switch err := scanner.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return usagef("read %s: line %d is longer than %d bytes: want one address in a line", file, number+1, maxLineBytes)
	case err != nil:
		return fmt.Errorf("read %s: %w", file, err)
	}
	if len(s.list) == 0 && s.bad.n == 0 && s.tooWide.n == 0 {
		return usagef("read %s: nobody is named in it", file)
	}
	return nil
}

// openFile opens a file to read, or standard input for "-".
func (a *app) openFile(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, usageError{fmt.Errorf("open list: %w", err)}
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, usagef("open list: %s is a directory", name)
	}
	return f, nil
}

func (s *subjects) read(where, line string) {
	text := strings.TrimSpace(line)
	if at := strings.IndexAny(text, "#;"); at >= 0 && !strings.HasPrefix(text, "account:") {
		text = strings.TrimSpace(text[:at])
	}
	text = firstColumn(text)
	if text == "" {
		if strings.TrimSpace(line) == "" && strings.HasPrefix(where, "argument") {
			s.bad.add("%s is empty: want an address, a range or account:NAME", where)
		}
		return
	}
	ind, err := parseSubject(text)
	if err != nil {
		s.bad.add("%s: %.80q: %v: want an address, a range or account:NAME", where, text, err)
		return
	}
	if p := ind.Prefix(); p.IsValid() && (p.Addr().Is4() && p.Bits() < widest4 || p.Addr().Is6() && p.Bits() < widest6) {
		s.tooWide.add("%s: %s is wider than an IPv4 /%d or an IPv6 /%d", where, p, widest4, widest6)
		return
	}
	s.list = append(s.list, ind)
}

// firstColumn takes the address from a line of a published list, where a count, a date
// or a name may stand behind it. What could make another range of it is left in
// place, to be refused: "192.0.2.0 - 192.0.2.255", "192.0.2.0 /24".
func firstColumn(text string) string {
	if strings.HasPrefix(text, "account:") {
		return text
	}
	fields := strings.Fields(text)
	if len(fields) > 1 && !strings.HasPrefix(fields[1], "-") && !strings.HasPrefix(fields[1], "/") {
		return fields[0]
	}
	return text
}

func parseSubject(text string) (threat.Indicator, error) {
	if strings.HasPrefix(text, "account:") || strings.HasPrefix(text, "ip:") {
		return threat.ParseKey(text)
	}
	return threat.ParseAddress(text)
}
