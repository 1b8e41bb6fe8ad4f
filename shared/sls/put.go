package sls

import (
	"context"
	"fmt"
	"time"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Limits of one write. The service takes 10 MB of raw logs in a request (PutLogs,
// API reference) and 1 MB in a value; older SDKs and proxies stop at 5 MB and
// 4,096 lines, so we stay below those.
const (
	maxPutBytes = 3 << 20
	maxPutLogs  = 4096
	maxValue    = 1 << 20
)

// Field is one column of a line.
type Field struct{ Key, Value string }

// Log is one line. Its time counts in whole seconds.
type Log struct {
	Time   time.Time
	Fields []Field
}

// Put writes lines, in order, in as many requests as the limits ask for. Topic
// and source stay empty. A request that timed out may have been applied all the
// same, and is repeated: lines may arrive twice, none is lost unless an error is
// returned, which names how many lines are certain to have arrived.
func (c *Client) Put(ctx context.Context, logstore string, logs []Log) error {
	if err := checkLogstore(logstore); err != nil {
		return fmt.Errorf("put logs: %w", err)
	}
	for i, l := range logs {
		if err := checkLog(l); err != nil {
			return fmt.Errorf("put logs to %s: line %d: %w", logstore, i+1, err)
		}
	}
	for done := 0; done < len(logs); {
		n := batch(logs[done:])
		group := groupOf(logs[done : done+n])
		err := c.retry(ctx, func(ctx context.Context) error {
			return c.do(ctx, func(client sdk.ClientInterface) error {
				return client.PutLogs(c.project, logstore, group)
			})
		})
		if err != nil {
			return fmt.Errorf("put logs to %s: %d of %d lines written: %w", logstore, done, len(logs), err)
		}
		done += n
	}
	return nil
}

func checkLog(l Log) error {
	if unix := l.Time.Unix(); unix < 0 || unix > 1<<32-1 {
		return &failure{kind: ErrInvalid, text: "time is not between 1970 and 2106"}
	}
	if len(l.Fields) == 0 {
		return &failure{kind: ErrInvalid, text: "no fields"}
	}
	for _, f := range l.Fields {
		if f.Key == "" || len(f.Key) > 128 || len(f.Value) > maxValue {
			return &failure{kind: ErrInvalid, text: fmt.Sprintf("field %q of %d bytes: want a key of 1 to 128 bytes and at most %d bytes", endpoint.Line(f.Key, 128), len(f.Value), maxValue)}
		}
	}
	return nil
}

// batch returns how many of the lines fit into one request, at least one.
func batch(logs []Log) int {
	size := 0
	for i, l := range logs {
		if i == maxPutLogs {
			return i
		}
		size += 16
		for _, f := range l.Fields {
			size += len(f.Key) + len(f.Value) + 16 // tags and lengths, rounded up
		}
		if size > maxPutBytes && i > 0 {
			return i
		}
	}
	return len(logs)
}

// groupOf lays the lines out as the SDK wants them, which is pointers all over;
// slices of values behind them keep a batch at four allocations.
func groupOf(logs []Log) *sdk.LogGroup {
	fields := 0
	for _, l := range logs {
		fields += len(l.Fields)
	}
	var (
		empty    = ""
		times    = make([]uint32, len(logs))
		lines    = make([]sdk.Log, len(logs))
		contents = make([]sdk.LogContent, 0, fields)
		pointers = make([]*sdk.LogContent, 0, fields)
		group    = &sdk.LogGroup{Logs: make([]*sdk.Log, len(logs)), Topic: &empty, Source: &empty}
	)
	for i := range logs {
		first := len(pointers)
		for j := range logs[i].Fields {
			f := &logs[i].Fields[j]
			contents = append(contents, sdk.LogContent{Key: &f.Key, Value: &f.Value})
			pointers = append(pointers, &contents[len(contents)-1])
		}
		times[i] = uint32(logs[i].Time.Unix())
		lines[i] = sdk.Log{Time: &times[i], Contents: pointers[first:len(pointers):len(pointers)]}
		group.Logs[i] = &lines[i]
	}
	return group
}
