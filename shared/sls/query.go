package sls

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// MaxRows is the largest LIMIT that SLS accepts.
const MaxRows = 1_000_000

// errAgain marks an answer that was partial but may be whole the next time.
var errAgain = errors.New("partial")

// limitClause finds the LIMIT that ends a statement: LIMIT n, or LIMIT offset, n.
var limitClause = regexp.MustCompile(`(?i)\blimit\s+(?:[0-9]+\s*,\s*)?([0-9]{1,9})\s*$`)

// limitOf returns the LIMIT of the statement. SLS answers 100 rows to a statement
// without one, and does not say that there were more.
func limitOf(query string) (int, error) {
	_, statement, ok := strings.Cut(query, "|")
	if !ok {
		return 0, &failure{kind: ErrInvalid, text: "query has no SQL after a |"}
	}
	m := limitClause.FindStringSubmatch(statement)
	if m == nil {
		return 0, &failure{kind: ErrInvalid, text: "query does not end in an explicit LIMIT with a number"}
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 || n > MaxRows {
		return 0, &failure{kind: ErrInvalid, text: fmt.Sprintf("LIMIT %s: want 1 to %d", m[1], MaxRows)}
	}
	return n, nil
}

// Query runs "search | SQL" over the lines whose time is in [from, to), in whole
// seconds, and returns every row. Values are strings; SQL NULL is the text
// "null", an array is JSON text. The query must end in a LIMIT.
//
// An answer that is still partial when the deadline comes, has as many rows as
// the LIMIT or more than maxRows (0: the LIMIT alone counts), or that the service
// calls inexact, is ErrIncomplete and comes without rows. If a shorter time range
// can help, the error has a method Truncated that returns true.
func (c *Client) Query(ctx context.Context, logstore, query string, from, to time.Time, maxRows int) ([]map[string]string, error) {
	fail := func(err error) ([]map[string]string, error) {
		return nil, fmt.Errorf("query logstore %s: %w", logstore, err)
	}
	limit, err := limitOf(query)
	if err != nil {
		return fail(err)
	}
	if err := checkLogstore(logstore); err != nil {
		return fail(err)
	}
	if !from.Before(to) || from.Unix() == to.Unix() || from.Unix() < 0 {
		return fail(&failure{kind: ErrInvalid, text: fmt.Sprintf("time range %s to %s is empty", from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))})
	}
	request := sdk.GetLogRequest{From: from.Unix(), To: to.Unix(), Query: query, PowerSQL: c.powerSQL}
	var rows []map[string]string
	err = c.retry(ctx, func(ctx context.Context) error {
		var resp *sdk.GetLogsV3Response
		err := c.do(ctx, func(client sdk.ClientInterface) (err error) {
			copied := request // the SDK may keep or change it
			resp, err = client.GetLogsV3(c.project, logstore, &copied)
			return err
		})
		if err != nil {
			return err
		}
		rows, err = whole(resp, limit, maxRows)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return rows, nil
}

// whole returns the rows of an answer that can be believed.
func whole(resp *sdk.GetLogsV3Response, limit, maxRows int) ([]map[string]string, error) {
	meta, n := &resp.Meta, len(resp.Logs)
	switch {
	case !resp.IsComplete():
		return nil, &failure{kind: ErrIncomplete, cause: errAgain, text: "progress " + strconv.Quote(endpoint.Line(meta.Progress, 20))}
	case n >= limit:
		return nil, &failure{kind: ErrIncomplete, truncated: true, text: fmt.Sprintf("%d rows reach the LIMIT, there may be more", n)}
	case maxRows > 0 && n > maxRows:
		return nil, &failure{kind: ErrIncomplete, truncated: true, text: fmt.Sprintf("%d rows, want at most %d", n, maxRows)}
	case meta.IsAccurate != nil && !*meta.IsAccurate:
		return nil, &failure{kind: ErrIncomplete, truncated: true, text: "the service scanned only a part of the lines"}
	case meta.Count != 0 && int64(n) != meta.Count:
		return nil, &failure{kind: ErrIncomplete, cause: errAgain, text: fmt.Sprintf("%d rows of %d arrived", n, meta.Count)}
	}
	return resp.Logs, nil
}

// logstoreName is what SLS allows: letters, digits, hyphens and underscores.
var logstoreName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// checkLogstore keeps anything but a name out of the request's path.
func checkLogstore(name string) error {
	if !logstoreName.MatchString(name) {
		return &failure{kind: ErrInvalid, text: "logstore name: want up to 63 letters, digits, hyphens and underscores"}
	}
	return nil
}
