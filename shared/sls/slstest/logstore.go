//go:build cgo

package slstest

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Reserved field names.
const (
	fieldTime   = "__time__"
	fieldNanos  = "__time_ns_part__"
	fieldSource = "__source__"
	fieldTopic  = "__topic__"
	tagPrefix   = "__tag__:"
)

// Bounds on what a log's keys, which anyone may choose, can make the server keep.
const (
	maxKeyLength = 128 // SLS: bytes of a key
	maxColumns   = 500 // more keys than that share the column "extra"
	extraColumn  = "extra"
	// maxGroupLogs bounds the logs of one PutLogs, as the service's own producers do; it
	// bounds what a few bytes of request can make the server allocate, a cell per log and key.
	maxGroupLogs = 40_960
)

// ErrLogstoreNotExist means that no logstore of that name is there.
var ErrLogstoreNotExist = errors.New("logstore does not exist")

// ErrLogstoreExists means that the name is taken.
var ErrLogstoreExists = errors.New("logstore exists")

// logstore is one logstore: a table with the time, its nanoseconds and one text
// column per key, in the order of arrival. A row's number is its rowid, since
// rows are only ever appended; pull cursors are row numbers.
//
// Column names are ours (c0, c1, …): keys are written by whoever sends logs,
// and differ from each other in case, which DuckDB's identifiers may not.
type logstore struct {
	name    string
	table   string
	created time.Time

	write sync.Mutex // one writer at a time: row numbers follow from the order of flushes

	mu      sync.RWMutex // guards what follows
	index   *index
	fields  []field
	byKey   map[string]int
	extra   bool // some row has a value in the column "extra"
	rows    int64
	batches []batch

	stream *Stream // nil: the lines are in the table
}

// field is a key that has a column.
type field struct {
	key     string
	column  string
	longest int // bytes of its longest value
}

// batch is a run of rows that came together: one PutLogs, or one flush of a loader.
type batch struct {
	first    int64
	received time.Time
}

// CreateLogstore makes an empty logstore in the server's project. The index says
// which keys SQL can see and how; a nil index indexes every key that comes as
// text. Full-text search is always on. A taken name is ErrLogstoreExists.
func (s *Server) CreateLogstore(name string, index map[string]FieldType) error {
	x, err := newIndex(index, s.config.MaxTextLen)
	if err != nil {
		return fmt.Errorf("create logstore %s: %w", name, err)
	}
	_, err = s.createLogstore(storeKey{s.config.Project, name}, x)
	return err
}

func (s *Server) createLogstore(key storeKey, x *index) (*logstore, error) {
	if !validName(key.logstore) {
		return nil, fmt.Errorf("create logstore %.70q: want 2 to 63 of a-z, 0-9, '-' and '_'", key.logstore)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stores[key] != nil {
		return nil, fmt.Errorf("create logstore %s: %w", key.logstore, ErrLogstoreExists)
	}
	s.tables++
	ls := &logstore{
		name: key.logstore, table: "ls" + strconv.Itoa(s.tables), created: s.config.Now(),
		index: x, byKey: map[string]int{},
	}
	if err := s.engine.exec("CREATE TABLE logs." + ls.table + "(t BIGINT, ns INTEGER, " + extraColumn + " VARCHAR)"); err != nil {
		return nil, fmt.Errorf("create logstore %s: %w", key.logstore, err)
	}
	for _, reserved := range []string{fieldSource, fieldTopic} {
		if _, err := ls.column(s.engine, reserved); err != nil {
			return nil, fmt.Errorf("create logstore %s: %w", key.logstore, err)
		}
	}
	s.stores[key] = ls
	return ls, nil
}

// DeleteLogstore removes a logstore of the server's project and its logs.
func (s *Server) DeleteLogstore(name string) error {
	return s.deleteLogstore(storeKey{s.config.Project, name})
}

func (s *Server) deleteLogstore(key storeKey) error {
	s.mu.Lock()
	ls := s.stores[key]
	delete(s.stores, key)
	s.mu.Unlock()
	if ls == nil {
		return fmt.Errorf("delete logstore %s: %w", key.logstore, ErrLogstoreNotExist)
	}
	ls.write.Lock()
	defer ls.write.Unlock()
	if err := s.engine.exec("DROP TABLE logs." + ls.table); err != nil {
		return fmt.Errorf("delete logstore %s: %w", key.logstore, err)
	}
	return nil
}

// lookup finds a logstore, or makes it where AutoCreate allows.
func (s *Server) lookup(key storeKey, create bool) (*logstore, error) {
	s.mu.RLock()
	ls := s.stores[key]
	s.mu.RUnlock()
	if ls != nil {
		return ls, nil
	}
	if !create || !s.config.AutoCreate {
		return nil, fmt.Errorf("logstore %.70s: %w", key.logstore, ErrLogstoreNotExist)
	}
	x, err := newIndex(nil, s.config.MaxTextLen)
	if err != nil {
		return nil, err
	}
	ls, err = s.createLogstore(key, x)
	if errors.Is(err, ErrLogstoreExists) { // somebody else was faster
		return s.lookup(key, false)
	}
	return ls, err
}

// Rows returns how many logs a logstore of the server's project holds.
func (s *Server) Rows(logstore string) (int64, error) {
	ls, err := s.lookup(storeKey{s.config.Project, logstore}, false)
	if err != nil {
		return 0, err
	}
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.rows, nil
}

// column returns the column of a key, adding one when the key is new. An empty
// name means that the key has to go into the column "extra". The caller holds
// ls.write or is alone with ls.
func (ls *logstore) column(e *engine, key string) (string, error) {
	ls.mu.RLock()
	i, known := ls.byKey[key]
	n := len(ls.fields)
	ls.mu.RUnlock()
	if known {
		return ls.fields[i].column, nil
	}
	if !validKey(key) || n >= maxColumns || key == fieldTime || key == fieldNanos {
		return "", nil
	}
	column := "c" + strconv.Itoa(n)
	if err := e.exec("ALTER TABLE logs." + ls.table + " ADD COLUMN " + column + " VARCHAR"); err != nil {
		return "", fmt.Errorf("add column: %w", err)
	}
	ls.mu.Lock()
	ls.fields = append(ls.fields, field{key: key, column: column})
	ls.byKey[key] = n
	ls.mu.Unlock()
	return column, nil
}

// validKey tells whether a key may name a column in a query's text, where
// neither a NUL nor bytes that are no UTF-8 can be written.
func validKey(key string) bool {
	return key != "" && len(key) <= maxKeyLength && utf8.ValidString(key) && !strings.Contains(key, "\x00")
}

// appended records rows that a flush has made visible.
func (ls *logstore) appended(columns []string, longest []int, rows int, received time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for i, column := range columns {
		if column == extraColumn {
			ls.extra = ls.extra || longest[i] > 0
			continue
		}
		n, _ := strconv.Atoi(column[1:]) // c<number>
		ls.fields[n].longest = max(ls.fields[n].longest, longest[i])
	}
	ls.batches = append(ls.batches, batch{first: ls.rows, received: received})
	ls.rows += int64(rows)
}

// snapshot is a consistent look at a logstore's settings for one query.
type snapshot struct {
	from   string // what the lines are read from: a table or a table function
	table  string
	stream *Stream
	index  *index
	fields []field
	byKey  map[string]int
	extra  bool
	rows   int64
}

func (ls *logstore) snapshot() snapshot {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	s := snapshot{from: "logs." + ls.table, table: ls.table, stream: ls.stream, index: ls.index, fields: slices.Clone(ls.fields), byKey: make(map[string]int, len(ls.byKey)), extra: ls.extra, rows: ls.rows}
	for k, v := range ls.byKey {
		s.byKey[k] = v
	}
	return s
}

// batchAt returns the number of the batch that holds row n, and its bounds.
func (ls *logstore) batchAt(n int64) (first, end int64) {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	i := sort.Search(len(ls.batches), func(i int) bool { return ls.batches[i].first > n }) - 1
	if i < 0 {
		return 0, ls.rows
	}
	end = ls.rows
	if i+1 < len(ls.batches) {
		end = ls.batches[i+1].first
	}
	return ls.batches[i].first, end
}

// rowAt returns the number of the first row that was received at or after t.
func (ls *logstore) rowAt(t time.Time) int64 {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	i := sort.Search(len(ls.batches), func(i int) bool { return !ls.batches[i].received.Before(t) })
	if i == len(ls.batches) {
		return ls.rows
	}
	return ls.batches[i].first
}

// receivedAt returns when row n came; for the row after the last one that is now.
func (ls *logstore) receivedAt(n int64, now time.Time) time.Time {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	if n >= ls.rows {
		return now
	}
	i := sort.Search(len(ls.batches), func(i int) bool { return ls.batches[i].first > n }) - 1
	if i < 0 {
		return now
	}
	return ls.batches[i].received
}

func (ls *logstore) setIndex(x *index) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.index = x
}
