package formats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// lines hands each line to take, without blanks around it; empty ones are left out. Lines that take calls bad are counted.
func (c *collector) lines(in *bufio.Reader, take func(line string) (ok bool, err error)) error {
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("%w: a line of more than %d bytes", threatintel.ErrTooLarge, maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return ended(err)
		}
		if n == maxLines {
			return fmt.Errorf("%w: more than %d lines", threatintel.ErrTooLarge, maxLines)
		}
		if text := string(bytes.TrimSpace(line)); text != "" {
			ok, err := take(text)
			if err != nil {
				return err
			}
			if !ok {
				c.bad++
			}
		}
		if err != nil {
			return nil // the end
		}
	}
}

// uncomment cuts a comment off.
func uncomment(line string) string {
	if i := strings.IndexAny(line, "#;"); i >= 0 {
		line = line[:i]
	}
	return strings.TrimSpace(line)
}

// plainLine reads an address, a/n, or a-b with or without blanks around the dash. Words behind it are a remark, unless they
// are an address again: then the line is of a form that we do not know, and half of it would mean something else.
func (c *collector) plainLine(line string) (ok bool, err error) {
	line = uncomment(line)
	if line == "" {
		return true, nil
	}
	words := strings.Fields(line)
	text, rest := words[0], words[1:]
	if len(words) >= 3 && words[1] == "-" {
		text, rest = words[0]+"-"+words[2], words[3:]
	}
	for _, word := range rest {
		if p, r := parse(word); p.IsValid() || r.IsValid() {
			return false, nil
		}
	}
	return c.addText(text, 0)
}

// ipsumLine reads an address, blanks, and the number of lists that name it.
func (c *collector) ipsumLine(line string) (ok bool, err error) {
	line = uncomment(line)
	if line == "" {
		return true, nil
	}
	words := strings.Fields(line)
	if len(words) != 2 {
		return false, nil
	}
	n, err := strconv.Atoi(words[1])
	if err != nil || n < 1 || n > 1000 {
		return false, nil //nolint:nilerr // counted
	}
	return c.addText(words[0], confidenceOf(n))
}

// confidenceOf turns the number of lists that name an address into confidence. ipsum's own advice is to block from three
// lists on; the steps are ours (UNVERIFIED): 20, 35, 50, 60, 70, 75 … 95.
func confidenceOf(lists int) int {
	steps := [...]int{20, 35, 50, 60, 70}
	if lists <= len(steps) {
		return steps[lists-1]
	}
	return min(70+5*(lists-len(steps)), 95)
}
