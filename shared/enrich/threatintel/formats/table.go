package formats

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// maxColumn bounds a column's number.
const maxColumn = 1000

// table reads a CSV, or what else has one delimiter: the feed's column, in the rows whose label is wanted. A line that begins
// with # is a comment.
func (c *collector) table(in io.Reader) error {
	r := csv.NewReader(in)
	r.Comma, r.Comment, r.FieldsPerRecord, r.ReuseRecord = rune(c.feed.Delimiter[0]), '#', -1, true
	column, byNumber := number(c.feed.Column)
	label, labelByNumber := number(c.feed.LabelColumn)
	for row := 0; ; row++ {
		record, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case row == maxLines:
			return fmt.Errorf("%w: more than %d rows", threatintel.ErrTooLarge, maxLines)
		case errors.As(err, new(*csv.ParseError)):
			if errors.Is(err, csv.ErrQuote) || row == 0 { // the reader cannot tell where the next row begins
				return fmt.Errorf("%w: a quote that is never closed, or stands where none may", threatintel.ErrNotAFeed)
			}
			c.bad++
			continue
		case err != nil:
			return ended(err)
		}
		if row == 0 {
			if !byNumber {
				column = slices.Index(record, c.feed.Column)
			}
			if !labelByNumber && c.feed.LabelColumn != "" {
				label = slices.Index(record, c.feed.LabelColumn)
			}
			if column < 0 || label < 0 {
				return fmt.Errorf("%w: its first line lacks a column that the feed's entry names", threatintel.ErrNotAFeed)
			}
			if !byNumber || c.feed.LabelColumn != "" && !labelByNumber || column < len(record) && !spellsAddress(record[column]) {
				continue // a heading
			}
		}
		if c.feed.LabelColumn != "" && label < len(record) && !slices.Contains(c.feed.Labels, strings.TrimSpace(record[label])) {
			continue
		}
		if column >= len(record) || label >= len(record) {
			c.bad++
			continue
		}
		ok, err := c.addText(address(record[column]), 0)
		if err != nil {
			return err
		}
		if !ok {
			c.bad++
		}
	}
}

// number reads a column that is said by its number from 1. ok is false for a name; the number is then 0, as it is for no
// column at all.
func number(text string) (n int, ok bool) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxColumn {
		return 0, false
	}
	return n - 1, true
}

// address takes the port off a cell such as 192.0.2.7:443.
func address(cell string) string {
	cell = strings.TrimSpace(cell)
	if ap, err := netip.ParseAddrPort(cell); err == nil {
		return ap.Addr().String()
	}
	return cell
}

func spellsAddress(cell string) bool {
	p, r := parse(address(cell))
	return p.IsValid() || r.IsValid()
}
