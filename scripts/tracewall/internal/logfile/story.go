package logfile

import "strings"

// storyParser reads the founding story's lines: a time in brackets and then whatever a
// service has to say. The line stays whole in msg, as it does in Log Service; only
// the trace id is taken out, because the account rule joins on it.
type storyParser struct {
	clock clfClock
}

func (*storyParser) fields() []string { return []string{"msg", "trace_id"} }

func (*storyParser) mapping() map[string]string { return called("message", "msg", "trace", "trace_id") }

func (p *storyParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	if len(line) > clfLen+1 && line[0] == '[' && line[clfLen+1] == ']' {
		unix, timed = p.clock.read(line[1 : clfLen+1])
	}
	values[0] = line
	values[1] = traceID(line)
	return unix, timed, true
}

// maxTrace bounds a trace id, in bytes.
const maxTrace = 128

// traceID finds "trace_id": X, "trace_id":X and trace_id: X. The last one in the line
// counts: the service writes it at the end, after whatever a client has put into its agent or path.
func traceID(line string) string {
	const key = "trace_id"
	at := lastIndex(line, key)
	if at < 0 {
		return ""
	}
	rest := strings.TrimPrefix(line[at+len(key):], `"`)
	rest = strings.TrimLeft(rest, " \t")
	rest, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return ""
	}
	rest = strings.TrimPrefix(strings.TrimLeft(rest, " \t"), `"`)
	end := 0
	for end < len(rest) && end <= maxTrace && traceByte(rest[end]) {
		end++
	}
	if end > maxTrace {
		return ""
	}
	return rest[:end]
}

// lastIndex is strings.LastIndex for a key that begins with t and has _ in it: it looks for the
// underscores only, which are rare, and costs a quarter of the general search.
func lastIndex(line, key string) int {
	const under = len("trace")
	for end := len(line); ; {
		at := strings.LastIndexByte(line[:end], '_')
		if at < under {
			return -1
		}
		if start := at - under; strings.HasPrefix(line[start:], key) {
			return start
		}
		end = at
	}
}

func traceByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.'
}
