package formats

import (
	"bufio"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// spamhaus reads DROP as Spamhaus publishes it: one JSON object on a line, {"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"},
// and at the end {"type":"metadata","timestamp":1790072042,"size":104461,"records":1710,…}. So it can be
// told whether it is whole, and how old it is.
func (c *collector) spamhaus(in *bufio.Reader) error {
	var records, last int
	closed := false
	err := c.lines(in, func(line string) (bool, error) {
		var object struct {
			CIDR      string `json:"cidr"`
			Type      string `json:"type"`
			Timestamp int64  `json:"timestamp"`
			Records   *int   `json:"records"`
		}
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			return false, nil //nolint:nilerr // counted
		}
		switch {
		case closed:
			return false, fmt.Errorf("%w: something follows its last line", threatintel.ErrNotAFeed)
		case object.Type == "metadata":
			if object.Records == nil {
				return false, fmt.Errorf("%w: its last line does not say how many records there are", threatintel.ErrTruncated)
			}
			closed, last = true, *object.Records
			if object.Timestamp > 0 {
				c.published = time.Unix(object.Timestamp, 0).UTC()
			}
			return true, nil
		case object.CIDR == "":
			return false, nil
		}
		records++
		return c.addText(object.CIDR, 0)
	})
	switch {
	case err != nil:
		return err
	case !closed && records == 0:
		return fmt.Errorf("%w: no line of it is a record of Spamhaus DROP", threatintel.ErrNotAFeed)
	case !closed:
		return fmt.Errorf("%w: the last line, which counts the records, is missing", threatintel.ErrTruncated)
	case records != last:
		return fmt.Errorf("%w: it has %d records and says that it has %d", threatintel.ErrTruncated, records, last)
	}
	return nil
}
