package networks

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// addCSV reads start,end,asn,name or prefix,asn,name, as the first row that has an
// address has it. A header before it, comments (#) and rows of AS 0, which means "not
// announced", are passed over; anything else that does not fit makes an error of the file.
func (b *builder) addCSV(data []byte) error {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	r := csv.NewReader(&lineLimit{data: data})
	r.Comment, r.FieldsPerRecord, r.ReuseRecord, r.TrimLeadingSpace = '#', -1, true, true
	columns, found := 0, 0
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("not a CSV file: %w", err)
		}
		line, _ := r.FieldPos(0)
		if columns == 0 {
			if columns = layout(row); columns == 0 {
				if line > 1 {
					return fmt.Errorf("line %d is neither start,end,asn,name nor prefix,asn,name", line)
				}
				continue // the header
			}
		}
		if err := b.addRow(row, columns); err != nil {
			return fmt.Errorf("line %d: %w", line, err)
		}
		found++
	}
	if found == 0 {
		return errors.New("no line begins with an address")
	}
	if !bytes.HasSuffix(data, []byte("\n")) && bytes.Count(data[bytes.LastIndexByte(data, '\n')+1:], []byte(",")) < columns-1 {
		return errors.New("the last line is cut off")
	}
	return nil
}

// layout returns how many columns stand before the name and with it: 4 for
// start,end,asn,name, 3 for prefix,asn,name, 0 for neither.
func layout(row []string) int {
	if _, err := netip.ParsePrefix(strings.TrimSpace(row[0])); err == nil {
		return 3
	}
	if _, err := netip.ParseAddr(strings.TrimSpace(row[0])); err == nil && len(row) > 1 {
		return 4
	}
	return 0
}

func (b *builder) addRow(row []string, columns int) error {
	if len(row) < columns {
		return fmt.Errorf("%d columns: want %d", len(row), columns)
	}
	var from, to netip.Addr
	var err error
	if columns == 3 {
		var p netip.Prefix
		if p, err = netip.ParsePrefix(strings.TrimSpace(row[0])); err == nil {
			from, to, err = bounds(p)
		}
	} else {
		from, to, err = ends(row[0], row[1])
	}
	if err != nil {
		return errors.New("its range is not valid")
	}
	asn, err := number(row[columns-2])
	if err != nil {
		return err
	}
	if asn == 0 {
		return nil
	}
	return b.claim(from, to, b.operator(asn, clean(row[columns-1])))
}

// ends reads the first and last address of a range.
func ends(first, last string) (from, to netip.Addr, err error) {
	if from, err = netip.ParseAddr(strings.TrimSpace(first)); err != nil {
		return from, to, err
	}
	if to, err = netip.ParseAddr(strings.TrimSpace(last)); err != nil {
		return from, to, err
	}
	from, to = from.Unmap(), to.Unmap()
	if from.Is4() != to.Is4() || from.Zone() != "" || to.Zone() != "" || to.Less(from) {
		return from, to, errors.New("not a range")
	}
	return from, to, nil
}

// number reads an autonomous system: 13335 or AS13335; "" is none.
func number(text string) (uint32, error) {
	text = strings.TrimSpace(text)
	if len(text) > 2 && strings.EqualFold(text[:2], "AS") {
		text = text[2:]
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, errors.New("its autonomous system is not a number")
	}
	return uint32(n), nil
}

// lineLimit hands data over line by line and refuses a line that is too long: a quote
// that is never closed would otherwise make one field of a whole file.
type lineLimit struct {
	data   []byte
	quoted int // bytes since quotes were last even
	open   bool
}

var errLongLine = fmt.Errorf("a line of more than %d bytes, or a quote that is not closed", maxLine)

// Read implements io.Reader.
func (l *lineLimit) Read(p []byte) (int, error) {
	if len(l.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, l.data)
	for _, c := range l.data[:n] {
		l.quoted++
		switch {
		case c == '"':
			l.open = !l.open
		case c == '\n' && !l.open:
			l.quoted = 0
		}
		if l.quoted > maxLine {
			return 0, errLongLine
		}
	}
	l.data = l.data[n:]
	return n, nil
}
