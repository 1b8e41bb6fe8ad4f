package cls

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
)

// orderedAtTheEnd finds an ORDER BY that belongs to the statement itself.
var orderedAtTheEnd = regexp.MustCompile(`(?i)\border\s+by\b[^()]*$`)

// whole asks for every row.
//
// One answer has at most MaxPage rows. The further ones are asked for with
// OFFSET, each time as a computation of its own, between which lines may arrive.
// So each page begins with the last row of the page before: counts only grow and
// rows never leave, so anything that moved ahead of the seam moves the seam, too,
// and shows. Whether CLS gives rows beyond the first 10,000 at all is UNVERIFIED; if
// it stopped there in silence, the last page would look like the end. Hence the
// number of all rows is asked for first, and fewer are not believed.
func (c *Client) whole(ctx context.Context, q question, maxRows int) ([]map[string]string, error) {
	rows, err := c.ask(ctx, q, q.page(0))
	if err != nil {
		return nil, err
	}
	cut := func(format string, args ...any) ([]map[string]string, error) {
		return nil, &failure{kind: ErrIncomplete, truncated: true, text: fmt.Sprintf(format, args...)}
	}
	switch {
	case len(rows) > q.limit:
		return cut("%d rows are more than LIMIT %d", len(rows), q.limit)
	case len(rows) > maxRows:
		return cut("%d rows, want at most %d", len(rows), maxRows)
	case len(rows) < q.limit:
		return rows, nil
	case q.limit < MaxPage || !orderedAtTheEnd.MatchString(q.statement):
		return cut("%d rows reach the LIMIT, there may be more", len(rows))
	}
	total, err := c.count(ctx, q)
	if err != nil {
		return nil, err
	}
	if total > maxRows {
		return cut("%d rows, want at most %d", total, maxRows)
	}
	for full := true; full && len(rows) <= maxRows; {
		next, err := c.ask(ctx, q, q.page(len(rows)-1))
		if err != nil {
			return nil, err
		}
		if len(next) == 0 || !maps.Equal(next[0], rows[len(rows)-1]) {
			return nil, &failure{kind: ErrIncomplete, cause: errAgain, truncated: true, text: errAgain.Error()}
		}
		full = len(next) == q.limit
		rows = append(rows, next[1:]...)
	}
	if len(rows) > maxRows {
		return cut("more than %d rows", maxRows)
	}
	if len(rows) < total {
		return cut("%d rows of %d arrived", len(rows), total)
	}
	return rows, nil
}

// page is the statement for the rows from offset on. CLS writes OFFSET before LIMIT.
func (q question) page(offset int) string {
	if offset == 0 {
		return fmt.Sprintf("%s limit %d", q.statement, q.limit)
	}
	return fmt.Sprintf("%s offset %d limit %d", q.statement, offset, q.limit)
}

// count asks how many rows the statement has.
func (c *Client) count(ctx context.Context, q question) (int, error) {
	statement := orderedAtTheEnd.ReplaceAllString(q.statement, "")
	rows, err := c.ask(ctx, q, "select count(1) as total from ("+strings.TrimSpace(statement)+") limit 1")
	if err != nil {
		return 0, err
	}
	if len(rows) == 1 {
		if n, err := strconv.Atoi(rows[0]["total"]); err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, &failure{kind: ErrUnavailable, text: "the number of rows is not a number"}
}
