package logfile

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jsonParser reads one JSON object a line. The time and the client's address are looked
// for under the keys that loggers and proxies use; the other scalar keys of the first lines become fields,
// those one level down as outer.inner. What rules ask for is found by name, and a
// request line in one piece is taken apart; see chooseKeys.
type jsonParser struct {
	names   []string
	called  map[string]string
	targets map[string]target            // by key
	nested  map[string]map[string]target // by outer and inner key
	method  int                          // columns that a request line goes to; 0: none
	path    int
	layout  int // of layouts: the one that fitted last
	clock   clfClock
	time    timeChoice // of the line that is being read
	addr    uint8      // rank of the address that was found
}

// target says what becomes of one key's value.
type target struct {
	column  int   // 0: none (that column is the address)
	time    uint8 // rank among the keys that hold the time; 0: none, else the lower the surer
	addr    uint8 // likewise the address
	request bool  // GET /path HTTP/1.1
	url     bool  // https://host/path
}

type timeChoice struct {
	unix int64
	rank uint8
}

// The keys, the surest first.
var (
	timeKeys = []string{"time", "timestamp", "@timestamp", "ts", "datetime", "date", "time_iso8601", "time_local", "msec", "eventTime", "__time__"}
	addrKeys = []string{
		"remote_addr", "client_ip", "clientip", "clientIp", "clientIP", "true_client_ip", "true-client-ip", "src_ip", "source_ip", "sourceIp", "sourceIPAddress",
		"remote_ip", "remoteIp", "remote_address", "ip", "c-ip", "client", "source.ip", "client.ip", "source.address", "client.address", "src", "RemoteAddr", "remoteAddr", "addr",
	}
)

// maxJSONFields bounds how many keys become fields; all of a line stays in msg.
const maxJSONFields = 48

func newJSONParser(sample []string) *jsonParser {
	p := &jsonParser{names: []string{"remote_addr", "msg"}, targets: map[string]target{}, nested: map[string]map[string]target{}}
	for i, k := range timeKeys {
		p.aim(k, func(t *target) { t.time = uint8(i + 1) })
	}
	for i, k := range addrKeys {
		p.aim(k, func(t *target) { t.addr = uint8(i + 1) })
	}
	seen := collectKeys(sample)
	chosen := chooseKeys(seen)
	// What rules ask for first, should there be more keys than become fields.
	columns := map[string]int{"remote_addr": 0, "msg": 1}
	add := func(k string) {
		if at, ok := columns[strings.ToLower(k)]; ok && at < 2 || fieldName(k) == "" || slices.Contains(timeKeys, k) {
			return
		}
		if _, ok := columns[strings.ToLower(k)]; ok || len(p.names) >= maxJSONFields {
			return
		}
		columns[strings.ToLower(k)] = len(p.names)
		p.aim(k, func(t *target) { t.column = len(p.names) })
		p.names = append(p.names, k)
	}
	for _, k := range chosen.columns() {
		add(k)
	}
	for _, k := range slices.Sorted(maps.Keys(seen)) {
		add(k)
	}
	// Made up: the parts of a request line or of a URL. A key of that name is left as it is.
	made := func(name string) int {
		for _, taken := columns[name]; taken; _, taken = columns[name] {
			name = "request_" + name
		}
		columns[name] = len(p.names)
		p.names = append(p.names, name)
		return len(p.names) - 1
	}
	switch {
	case chosen.request != "":
		if chosen.named["method"] == "" {
			p.method = made("method")
			chosen.named["method"] = p.names[p.method]
		}
		p.path = made("path")
		chosen.named["path"] = p.names[p.path]
		p.aim(chosen.request, func(t *target) { t.request = true })
	case chosen.url != "":
		p.path = made("path")
		chosen.named["path"] = p.names[p.path]
		p.aim(chosen.url, func(t *target) { t.url = true })
	}
	p.called = chosen.mapping(columns)
	return p
}

// aim changes what becomes of a key, which may be outer.inner.
func (p *jsonParser) aim(key string, change func(*target)) {
	set := func(m map[string]target, key string) {
		t := m[key]
		change(&t)
		m[key] = t
	}
	set(p.targets, key)
	if outer, inner, ok := strings.Cut(key, "."); ok {
		if p.nested[outer] == nil {
			p.nested[outer] = map[string]target{}
		}
		set(p.nested[outer], inner)
	}
}

// fieldName returns a key if it can name a field in a query as it is, else "".
func fieldName(key string) string {
	if key == "" || len(key) > 64 || strings.HasPrefix(key, "__") || key[0] >= '0' && key[0] <= '9' {
		return ""
	}
	for i := range len(key) {
		c := key[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || i > 0 && (c == '.' || c == '-' || c == '@')) {
			return ""
		}
	}
	return key
}

func (p *jsonParser) fields() []string           { return p.names }
func (p *jsonParser) mapping() map[string]string { return p.called }

func (p *jsonParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	p.time, p.addr = timeChoice{}, 0
	s := scanner{text: strings.TrimSpace(line)}
	ok = s.object(func(outer, key string, v value) {
		var t target
		var known bool
		if outer == "" {
			t, known = p.targets[key]
		} else {
			t, known = p.nested[outer][key]
		}
		if known {
			p.put(t, v, values)
		}
	})
	if !ok || p.time.rank == 0 {
		return 0, false, false
	}
	values[1] = line
	return p.time.unix, true, true
}

func (p *jsonParser) put(t target, v value, values []string) {
	if t.time != 0 && (p.time.rank == 0 || t.time <= p.time.rank) {
		if unix, ok := p.readTime(v); ok {
			p.time = timeChoice{unix, t.time}
		}
	}
	if v.text == "" || v.kind == jsonNull {
		return
	}
	if t.addr != 0 && (p.addr == 0 || t.addr <= p.addr) {
		values[0], p.addr = v.text, t.addr
	}
	if t.column != 0 {
		values[t.column] = v.text
	}
	switch {
	case t.request:
		method, path := requestLine(v.text)
		if p.method != 0 {
			values[p.method] = method
		}
		values[p.path] = path
	case t.url:
		values[p.path] = withoutHost(v.text)
	}
}

// layouts are the ways in which loggers write times as text.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", time.DateTime, "02/Jan/2006:15:04:05 -0700"}

// readTime understands RFC 3339, a few relatives of it, and seconds, milli-, micro- and nanoseconds of the epoch.
func (p *jsonParser) readTime(v value) (unix int64, ok bool) {
	if v.kind == jsonNumber {
		return epoch(v.text)
	}
	if v.kind != jsonText || len(v.text) > 64 {
		return 0, false
	}
	if len(v.text) == clfLen && v.text[2] == '/' {
		return p.clock.read(v.text)
	}
	for i := range layouts {
		// The one that fitted the last line fits this one, as a rule: the others would each make an error.
		layout := (p.layout + i) % len(layouts)
		if at, err := time.Parse(layouts[layout], v.text); err == nil {
			p.layout = layout
			return at.Unix(), true
		}
	}
	return epoch(v.text)
}

// epoch tells seconds from smaller units by size: seconds reach 100,000,000,000 in the year 5138.
func epoch(text string) (unix int64, ok bool) {
	if text == "" || len(text) > 32 || text[0] < '0' || text[0] > '9' {
		return 0, false
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || f < 0 || f > 1e20 {
		return 0, false
	}
	for f >= 1e11 {
		f /= 1000
	}
	return int64(f), true
}
