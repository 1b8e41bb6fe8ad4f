package cls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Limits of SearchLog and of its SQL.
const (
	// MaxPage is the largest LIMIT, and so the most rows of one answer; without a
	// LIMIT there are 100 (SQL LIMIT syntax).
	MaxPage = 10_000
	// MaxRows is the most rows that Query collects: ten pages. Each costs the service
	// the whole computation, so what is larger is better asked for in halves.
	MaxRows = 10 * MaxPage
	// MaxQuery is the longest query in bytes (SearchLog: 12 KB).
	MaxQuery = 12 << 10
)

// errAgain marks an answer that does not fit together but may the next time.
var errAgain = errors.New("lines arrived while pages were read")

// mostTries is how often that is tried before a shorter time range is.
const mostTries = 3

var (
	// limitClause finds the LIMIT that ends a statement.
	limitClause = regexp.MustCompile(`(?i)\blimit\s+([0-9]{1,9})\s*$`)
	// topicID is a topic's id, a UUID such as 682d0718-07bb-4ec0-9fda-f1e9a2767e0b.
	topicID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// question is a query in its parts.
type question struct {
	topic     string
	search    string // what stands before the |
	statement string // the SQL without its LIMIT
	limit     int
	from, to  time.Time
}

// parse takes a query apart. It must end in an explicit LIMIT: CLS answers 100 rows
// to a statement without one, and does not say that there were more.
func parse(topic, query string, from, to time.Time) (question, error) {
	bad := func(format string, args ...any) (question, error) {
		return question{}, &failure{kind: ErrInvalid, text: fmt.Sprintf(format, args...)}
	}
	search, statement, ok := strings.Cut(query, "|")
	m := limitClause.FindStringSubmatchIndex(statement)
	switch {
	case !topicID.MatchString(topic):
		return bad("topic: want its id, up to 63 letters, digits, hyphens and underscores")
	case len(query) > MaxQuery:
		return bad("query of %d bytes: want at most %d", len(query), MaxQuery)
	case !ok:
		return bad("query has no SQL after a |")
	case m == nil:
		return bad("query does not end in an explicit LIMIT with a number")
	case from.Unix() < 0 || from.Unix() >= to.Unix():
		return bad("time range %s to %s is empty", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
	}
	limit, err := strconv.Atoi(statement[m[2]:m[3]])
	if err != nil || limit < 1 || limit > MaxPage {
		return bad("LIMIT %s: want 1 to %d", statement[m[2]:m[3]], MaxPage)
	}
	return question{topic: topic, search: search, statement: strings.TrimSpace(statement[:m[0]]), limit: limit, from: from, to: to}, nil
}

// Query runs "search | SQL" over the lines of a topic whose time is in [from, to),
// in whole seconds, and returns every row. Values are strings; SQL NULL is the text
// "null", an array is JSON text. The query must end in a LIMIT of at most MaxPage.
//
// When that LIMIT is MaxPage and the rows reach it, the further ones are asked for
// page by page; this needs an ORDER BY that leaves no two rows equal. An answer
// that does not fit together, is sampled, reaches a smaller LIMIT, or has more
// than maxRows or MaxRows rows is ErrIncomplete and comes without rows. If a
// shorter time range can help, the error has a method Truncated that returns true.
//
// Whether CLS counts a line at exactly to is UNVERIFIED: a rule must look at the
// window that a row names, as package detect does.
func (c *Client) Query(ctx context.Context, topic, query string, from, to time.Time, maxRows int) ([]map[string]string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	q, err := parse(topic, query, from, to)
	if err != nil {
		return nil, fmt.Errorf("query topic: %w", err)
	}
	if maxRows <= 0 || maxRows > MaxRows {
		maxRows = MaxRows
	}
	var rows []map[string]string
	tries := 0
	err = retry(ctx, func() (err error) {
		rows, err = c.whole(ctx, q, maxRows)
		if tries++; errors.Is(err, errAgain) && tries == mostTries {
			err = &failure{kind: ErrIncomplete, truncated: true, text: errAgain.Error()}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("query topic %s: %w", topic, err)
	}
	return rows, nil
}

// ask runs one statement.
func (c *Client) ask(ctx context.Context, q question, statement string) ([]map[string]string, error) {
	var rows []map[string]string
	err := retry(ctx, func() error {
		got, err := c.do(ctx, map[string]any{
			"TopicId": q.topic, "From": q.from.Unix() * 1000, "To": q.to.Unix() * 1000,
			"QueryString": q.search + "| " + statement, "QuerySyntax": 1,
			"UseNewAnalysis": true, "SamplingRate": 1,
		})
		if err != nil {
			return err
		}
		rows, err = got.rows()
		return err
	})
	return rows, err
}
