package logfile

import "strings"

// combinedParser reads the access log of Apache and nginx:
//
//	ADDR IDENT USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERER" "AGENT"
//
// The common format, which ends after the bytes, is read too, and so is whatever a server adds at the end.
type combinedParser struct {
	clock clfClock
}

func (*combinedParser) fields() []string {
	return []string{"remote_addr", "user", "method", "path", "status", "bytes", "referer", "user_agent", "msg"}
}

func (*combinedParser) mapping() map[string]string {
	return called("address", "remote_addr", "account", "user", "method", "method", "path", "path", "status", "status",
		"referer", "referer", "agent", "user_agent", "message", "msg")
}

func (p *combinedParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	addr, rest, ok := strings.Cut(line, " ")
	if !ok || addr == "" || len(addr) > 64 {
		return 0, false, false
	}
	_, rest, ok = strings.Cut(rest, " ")
	if !ok {
		return 0, false, false
	}
	// A user name may have blanks in it, and even brackets: the time is what reads as one.
	open := 0
	for {
		at := strings.Index(rest[open:], " [")
		if at < 0 || open+at > 512 {
			return 0, false, false
		}
		open += at + 2
		if len(rest) > open+clfLen+2 && rest[open+clfLen] == ']' {
			if unix, timed = p.clock.read(rest[open : open+clfLen]); timed {
				break
			}
		}
	}
	user := rest[:open-2]
	rest = strings.TrimPrefix(rest[open+clfLen+1:], " ")
	request, rest, ok := quoted(rest)
	if !ok {
		return 0, false, false
	}
	status, rest, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	if n, digits := number(status); !digits || len(status) != 3 || n < 100 {
		return 0, false, false
	}
	bytes, rest, _ := strings.Cut(rest, " ")
	values[0], values[1], values[4], values[5], values[8] = addr, dash(user), status, dash(bytes), line
	values[2], values[3] = requestLine(request)
	if referer, rest, ok := quoted(rest); ok {
		values[6] = dash(referer)
		if agent, _, ok := quoted(strings.TrimPrefix(rest, " ")); ok {
			values[7] = dash(agent)
		}
	}
	return unix, true, true
}

// quoted takes a "quoted" text, in which \" is no end, off the front.
func quoted(text string) (inner, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", text, false
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[1:i], text[i+1:], true
		}
	}
	return "", text, false
}

func dash(text string) string {
	if text == "-" {
		return ""
	}
	return text
}

func isMethod(text string) bool {
	if text == "" || len(text) > 32 {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
