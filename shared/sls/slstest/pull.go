//go:build cgo

package slstest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of one PullLogs answer (SLS: 1,000 groups, 10 MB).
const (
	maxPullGroups = 1000
	maxPullRows   = 20_000
	maxPullBytes  = 5 << 20
	maxGroupRows  = 1000
	maxGroupBytes = 1 << 20
)

// Cursors are row numbers in base64, opaque to clients as the service's are.

func encodeCursor(row int64) string {
	return base64.StdEncoding.EncodeToString([]byte(strconv.FormatInt(row, 10)))
}

func decodeCursor(s string, rows int64) (int64, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		var row int64
		if row, err = strconv.ParseInt(string(b), 10, 64); err == nil && row >= 0 && row <= rows {
			return row, nil
		}
	}
	return 0, denied(http.StatusBadRequest, "InvalidCursor", "cursor %s is invalid", shorten(s))
}

// shardStore finds the logstore of a call on a shard. There is one shard, 0.
func (s *Server) shardStore(c *call) (*logstore, error) {
	ls, err := s.lookup(c.store, false)
	if err == nil && c.shard != "0" {
		err = denied(http.StatusNotFound, "ShardNotExist", "shard %s does not exist", shorten(c.shard))
	}
	return ls, err
}

// getCursor answers GetCursor: from is begin, end or the unix time of receipt.
func (s *Server) getCursor(_ context.Context, c *call) (answer, error) {
	ls, err := s.shardStore(c)
	if err != nil {
		return answer{}, err
	}
	var row int64
	switch from := c.URL.Query().Get("from"); from {
	case "begin":
	case "end":
		row = ls.snapshot().rows
	default:
		n, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return answer{}, invalid("from %s: want begin, end or a unix time", shorten(from))
		}
		row = ls.rowAt(time.Unix(n, 0))
	}
	return jsonAnswer(map[string]string{"cursor": encodeCursor(row)})
}

// getCursorTime answers GetCursorTime: when the log at a cursor was received.
func (s *Server) getCursorTime(_ context.Context, c *call) (answer, error) {
	ls, err := s.shardStore(c)
	if err != nil {
		return answer{}, err
	}
	row, err := decodeCursor(c.URL.Query().Get("cursor"), ls.snapshot().rows)
	if err != nil {
		return answer{}, err
	}
	return jsonAnswer(map[string]int64{"cursor_time": ls.receivedAt(row, s.config.Now()).Unix()})
}

// pullLogs answers PullLogs: the logs from a cursor on, in the groups they came in.
func (s *Server) pullLogs(ctx context.Context, c *call) (answer, error) {
	ls, err := s.shardStore(c)
	if err != nil {
		return answer{}, err
	}
	params := c.URL.Query()
	if params.Get("query") != "" {
		return answer{}, denied(http.StatusBadRequest, "NotSupported", "PullLogs with a query is not served by the local Log Service")
	}
	store := ls.snapshot()
	from, err := decodeCursor(params.Get("cursor"), store.rows)
	if err != nil {
		return answer{}, err
	}
	end := store.rows
	if e := params.Get("end_cursor"); e != "" {
		if end, err = decodeCursor(e, store.rows); err != nil {
			return answer{}, err
		}
	}
	count, err := strconv.Atoi(params.Get("count"))
	if err != nil || count < 1 || count > maxPullGroups {
		return answer{}, invalid("count %s: want 1 to %d", shorten(params.Get("count")), maxPullGroups)
	}
	p := &pullBuilder{store: store, logstore: ls, next: from, most: count}
	if err := p.read(ctx, s.engine, end); err != nil {
		return answer{}, err
	}
	a := answer{header: map[string]string{
		"Content-Type": "application/x-protobuf", "x-log-cursor": encodeCursor(p.next), "x-log-count": strconv.Itoa(p.groups),
		"x-log-bodyrawsize": strconv.Itoa(len(p.out)), "x-log-compresstype": "lz4",
	}}
	if len(p.out) > 0 {
		a.body, err = packLZ4(p.out)
	}
	return a, err
}

// pullBuilder makes a LogGroupList out of rows.
type pullBuilder struct {
	store    snapshot
	logstore *logstore
	next     int64 // first row not in out
	most     int
	groups   int
	out      []byte

	logs  []byte // the group being built
	meta  []byte
	rows  int
	batch int64 // where the rows of the current PutLogs end
}

func (p *pullBuilder) read(ctx context.Context, e *engine, end int64) error {
	columns := []string{"t", "ns", extraColumn}
	for _, f := range p.store.fields {
		columns = append(columns, f.column)
	}
	end = min(end, p.next+maxPullRows)
	if end <= p.next {
		return nil
	}
	full := false
	err := e.query(ctx, fmt.Sprintf("SELECT %s FROM logs.%s WHERE rowid >= %d AND rowid < %d ORDER BY rowid",
		strings.Join(columns, ", "), p.store.table, p.next, end), func([]column) error { return nil }, func(c chunk) error {
		if full {
			return nil
		}
		readers := make([]reader, len(c.columns))
		for i := range readers {
			readers[i] = c.reader(i)
		}
		for row := range c.rows() {
			more, err := p.add(readers, row)
			if err != nil {
				return err
			}
			if !more {
				full = true
				return nil
			}
		}
		return nil
	})
	p.flush()
	return err
}

// add puts a row into the current group or begins a new one; false means that the answer is full.
func (p *pullBuilder) add(readers []reader, row int) (bool, error) {
	meta, log, err := p.encode(readers, row)
	if err != nil {
		return false, err
	}
	if p.rows > 0 && (p.next >= p.batch || p.rows >= maxGroupRows || len(p.logs) >= maxGroupBytes || !bytes.Equal(meta, p.meta)) {
		p.flush()
	}
	if p.rows == 0 {
		if p.groups >= p.most || len(p.out) >= maxPullBytes {
			return false, nil
		}
		_, p.batch = p.logstore.batchAt(p.next)
		p.meta = meta
	}
	p.logs = protowire.AppendTag(p.logs, 1, protowire.BytesType)
	p.logs = protowire.AppendBytes(p.logs, log)
	p.rows++
	p.next++
	return true, nil
}

func (p *pullBuilder) flush() {
	if p.rows == 0 {
		return
	}
	p.out = protowire.AppendTag(p.out, 1, protowire.BytesType)
	p.out = protowire.AppendBytes(p.out, append(p.logs, p.meta...))
	p.groups++
	p.logs, p.meta, p.rows = nil, nil, 0
}

// encode writes a row as a Log, and what belongs to its group: topic, source and tags.
func (p *pullBuilder) encode(readers []reader, row int) (meta, log []byte, err error) {
	log = protowire.AppendTag(log, 1, protowire.VarintType)
	log = protowire.AppendVarint(log, uint64(uint32(cell[int64](&readers[0], row))))
	var topic, source []byte
	for i, f := range p.store.fields {
		b := readers[3+i].bytes(row)
		switch {
		case f.key == fieldTopic:
			topic = b
		case f.key == fieldSource:
			source = b
		case b == nil:
		case strings.HasPrefix(f.key, tagPrefix):
			meta = appendPair(meta, 6, strings.TrimPrefix(f.key, tagPrefix), b)
		default:
			log = appendPair(log, 2, f.key, b)
		}
	}
	if b := readers[2].bytes(row); b != nil {
		if log, err = appendExtra(log, b); err != nil {
			return nil, nil, err
		}
	}
	if !readers[1].null(row) {
		log = protowire.AppendTag(log, 4, protowire.Fixed32Type)
		log = protowire.AppendFixed32(log, uint32(cell[int32](&readers[1], row)))
	}
	for number, b := range [][]byte{topic, source} { // Topic=3, Source=4
		meta = protowire.AppendTag(meta, protowire.Number(3+number), protowire.BytesType)
		meta = protowire.AppendBytes(meta, b)
	}
	return meta, log, nil
}

func appendPair(dst []byte, number protowire.Number, key string, value []byte) []byte {
	var pair []byte
	pair = protowire.AppendTag(pair, 1, protowire.BytesType)
	pair = protowire.AppendString(pair, key)
	pair = protowire.AppendTag(pair, 2, protowire.BytesType)
	pair = protowire.AppendBytes(pair, value)
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendBytes(dst, pair)
}

// appendExtra writes the keys that have no column of their own, sorted.
func appendExtra(log, extra []byte) ([]byte, error) {
	var m map[string]string
	if err := json.Unmarshal(extra, &m); err != nil {
		return nil, fmt.Errorf("keys beyond the columns: %w", err)
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range slices.Compact(keys) {
		log = appendPair(log, 2, k, []byte(m[k]))
	}
	return log, nil
}
