package logfile

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jsonParser reads one JSON object a line. The time and the client's address are looked
// for under the keys that loggers and proxies use; the other scalar keys of the first lines become fields.
type jsonParser struct {
	names []string
	index map[string]int // by key as it stands in the log
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
	p := &jsonParser{names: []string{"remote_addr", "msg"}, index: map[string]int{}}
	keys := map[string]bool{}
	for _, line := range sample {
		object, ok := readObject(line)
		if !ok {
			continue
		}
		for k, v := range object {
			if _, scalar := scalarText(v); scalar && fieldName(k) == k && !slices.Contains(timeKeys, k) {
				keys[k] = true
			}
		}
	}
	delete(keys, "remote_addr")
	delete(keys, "msg")
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if len(p.names) == maxJSONFields {
			break
		}
		p.index[k] = len(p.names)
		p.names = append(p.names, k)
	}
	return p
}

// fieldName returns a key if it can name a field in a query as it is, else "".
func fieldName(key string) string {
	if key == "" || len(key) > 64 || strings.HasPrefix(key, "__") || key[0] >= '0' && key[0] <= '9' {
		return ""
	}
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return ""
		}
	}
	return key
}

func (p *jsonParser) fields() []string { return p.names }

func (p *jsonParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	object, ok := readObject(line)
	if !ok {
		return 0, false, false
	}
	for _, k := range timeKeys {
		if v, there := object[k]; there {
			if unix, timed = readTime(v); timed {
				break
			}
		}
	}
	if !timed {
		return 0, false, false
	}
	for _, k := range addrKeys {
		if text, _ := scalarText(lookUp(object, k)); text != "" {
			values[0] = text
			break
		}
	}
	values[1] = line
	for k, at := range p.index {
		values[at], _ = scalarText(object[k])
	}
	return unix, true, true
}

func readObject(line string) (map[string]any, bool) {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '{' || line[len(line)-1] != '}' {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var object map[string]any
	if d.Decode(&object) != nil || d.InputOffset() != int64(len(line)) {
		return nil, false
	}
	return object, true
}

// lookUp finds a key, and "a.b" also as key b of the object under a.
func lookUp(object map[string]any, key string) any {
	if v, ok := object[key]; ok {
		return v
	}
	if outer, inner, ok := strings.Cut(key, "."); ok {
		if nested, ok := object[outer].(map[string]any); ok {
			return nested[inner]
		}
	}
	return nil
}

func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	default:
		return "", false
	}
}

// readTime understands RFC 3339, a few relatives of it, and seconds, milli-, micro- and nanoseconds of the epoch.
func readTime(v any) (unix int64, ok bool) {
	switch v := v.(type) {
	case json.Number:
		return epoch(v.String())
	case string:
		for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02 15:04:05.999999999Z07:00", time.DateTime, "02/Jan/2006:15:04:05 -0700"} {
			if len(v) > 64 {
				break
			}
			if at, err := time.Parse(layout, v); err == nil {
				return at.Unix(), true
			}
		}
		return epoch(v)
	default:
		return 0, false
	}
}

// epoch tells seconds from smaller units by size: seconds reach 100,000,000,000 in the year 5138.
func epoch(text string) (unix int64, ok bool) {
	if len(text) > 32 {
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
