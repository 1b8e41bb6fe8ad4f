package logfile

import (
	"maps"
	"slices"
	"strings"
)

// NoField stands in a mapping for what the lines do not have.
const NoField = "-"

// canonical are the names by which rules ask for the fields of a log.
var canonical = []string{"address", "method", "path", "status", "agent", "referer", "account", "trace", "message", "event", "host", "fingerprint"}

// called makes a mapping of pairs, with NoField for the rest.
func called(pairs ...string) map[string]string {
	m := make(map[string]string, len(canonical))
	for _, name := range canonical {
		m[name] = NoField
	}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// jsonNames are the keys that web servers, proxies, WAFs and web frameworks use, the surest first.
var jsonNames = map[string][]string{
	"method":  {"request_method", "requestMethod", "http_method", "httpMethod", "method", "verb", "http.method", "http.request_method", "request.method"},
	"path":    {"request_uri", "requestUri", "request_path", "requestPath", "uri", "path", "url", "request_url", "requestUrl", "http_path", "http.url", "http.path", "url.path", "url.original", "request.uri", "request.path", "request.url"},
	"status":  {"status", "status_code", "statusCode", "http_status", "httpStatus", "response_status", "response_code", "responseCode", "response", "code", "http.status_code", "http.status", "response.status", "response.status_code", "response.statusCode"},
	"agent":   {"http_user_agent", "user_agent", "userAgent", "useragent", "agent", "ua", "User-Agent", "http.user_agent", "http.useragent", "user_agent.original", "request.user_agent"},
	"referer": {"http_referer", "http_referrer", "referer", "referrer", "Referer", "http.referer", "http.referrer", "request.referer"},
	"account": {"user", "user_id", "userId", "uid", "account", "account_id", "accountId", "username", "user_name", "userName", "remote_user", "user.id", "user.name"},
	"trace":   {"trace_id", "traceId", "traceID", "traceid", "request_id", "requestId", "req_id", "reqId", "x_request_id", "trace.id"},
	"message": {"message", "content", "log", "MESSAGE"},
	"event":   {"event", "event_name", "eventName", "event_type", "eventType", "action", "event.action", "event.name"},
	"host":    {"http_host", "host", "server_name", "domain", "vhost", "http.host", "url.domain", "request.host"},
	"fingerprint": {
		"ja4", "ja3", "ja3_hash", "ja4_hash", "ja3n", "ja4_fingerprint", "ja3_fingerprint", "tls_fingerprint", "fingerprint",
		"tls.ja4", "tls.ja3", "ssl.ja4", "ssl.ja3",
	},
}

// queryKeys hold the query string where the path is without.
var queryKeys = []string{"query_string", "queryString", "querystring", "args", "query", "url.query", "request.query"}

// samples are what the first lines have under a key, at most keySamples of them.
type samples map[string][]string

const keySamples = 20

// collectKeys looks which scalar keys the first lines have.
func collectKeys(lines []string) samples {
	seen := samples{}
	for _, line := range lines {
		s := scanner{text: strings.TrimSpace(line)}
		found := map[string]string{}
		ok := s.object(func(outer, key string, v value) {
			if outer != "" {
				key = outer + "." + key
			}
			found[key] = v.text
		})
		if !ok {
			continue
		}
		for k, text := range found {
			if known, ok := seen[k]; len(known) < keySamples && text != "" && text != NoField {
				seen[k] = append(known, text)
			} else if !ok {
				seen[k] = nil
			}
		}
	}
	return seen
}

// choice is which keys stand for what.
type choice struct {
	named   map[string]string // canonical name → key; path?query where they are apart
	request string            // the key that holds a whole request line
	url     string            // the key whose values begin with https://host
}

// chooseKeys finds by name, and for what is easily mistaken by value too, what rules ask for.
func chooseKeys(seen samples) choice {
	c := choice{named: map[string]string{}}
	usable := func(key string) bool {
		_, ok := seen[key]
		return ok && fieldName(key) != "" && !slices.Contains(timeKeys, key)
	}
	for name, keys := range jsonNames {
		for _, k := range keys {
			if usable(k) && fits(name, seen[k]) {
				c.named[name] = k
				break
			}
		}
	}
	for _, k := range []string{"request", "request_line", "requestLine", "http_request", "http.request"} {
		if usable(k) && most(seen[k], isRequestLine) {
			c.request = k
			return c
		}
		if c.named["path"] == "" && usable(k) && most(seen[k], isPath) {
			c.named["path"] = k
		}
	}
	path := c.named["path"]
	if path != "" && most(seen[path], func(text string) bool { return withoutHost(text) != text }) {
		c.url = path
		return c
	}
	if path != "" && !slices.ContainsFunc(seen[path], func(text string) bool { return strings.Contains(text, "?") }) {
		for _, k := range queryKeys {
			if usable(k) && len(seen[k]) > 0 {
				c.named["path"] = path + "?" + k
				break
			}
		}
	}
	return c
}

// fits tells whether values can be what a key's name says.
func fits(name string, values []string) bool {
	switch name {
	case "status":
		return most(values, isStatus)
	case "path":
		return most(values, isPath)
	case "method":
		return most(values, isMethod)
	default:
		return true
	}
}

// most tells whether at least half of the values are so, and there is one.
func most(values []string, is func(string) bool) bool {
	n := 0
	for _, v := range values {
		if is(v) {
			n++
		}
	}
	return n > 0 && n*2 >= len(values)
}

func isStatus(text string) bool {
	n, ok := number(text)
	return ok && len(text) == 3 && n >= 100 && n < 600
}

func isPath(text string) bool { return strings.HasPrefix(withoutHost(text), "/") }

func isRequestLine(text string) bool {
	method, path := requestLine(text)
	return method != "" && path != text && isPath(path)
}

// columns returns the chosen keys that become fields, in order of their canonical names.
func (c choice) columns() []string {
	var keys []string
	for _, name := range slices.Sorted(maps.Keys(c.named)) {
		keys = append(keys, strings.Split(c.named[name], "?")...)
	}
	return keys
}

// mapping says it in the names of the fields that there are, by their names in lower case.
func (c choice) mapping(columns map[string]int) map[string]string {
	m := called("address", "remote_addr", "message", "msg")
	for name, key := range c.named {
		ok := true
		for part := range strings.SplitSeq(key, "?") {
			_, there := columns[strings.ToLower(part)]
			ok = ok && there
		}
		if ok {
			m[name] = key
		}
	}
	return m
}

// requestLine takes METHOD PATH PROTOCOL apart. What a server logs when a client speaks
// nonsense has no method: all of it is the path then.
func requestLine(request string) (method, path string) {
	method, path, ok := strings.Cut(request, " ")
	if !ok || !isMethod(method) {
		return "", request
	}
	if at := strings.LastIndex(path, " HTTP/"); at >= 0 {
		path = path[:at]
	}
	return method, path
}

// withoutHost takes https://host off the front of a URL.
func withoutHost(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return url
	}
	if at := strings.IndexAny(rest, "/?#"); at >= 0 && rest[at] == '/' {
		return rest[at:]
	}
	return "/"
}
