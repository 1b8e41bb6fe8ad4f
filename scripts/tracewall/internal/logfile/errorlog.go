package logfile

import (
	"strings"
	"time"
)

// errorParser reads the error logs of nginx and of Apache 2.2 and 2.4:
//
//	2024/01/15 03:42:17 [error] 1234#1234: *98231 MESSAGE, client: ADDR, server: …
//	[Fri Sep 09 10:42:29.902022 2022] [core:error] [pid 35708:tid 4328636416] [client ADDR:PORT] MESSAGE
//
// Their times have no zone; it is taken for UTC, as servers have it. Lines without a time go
// on with the one before, as the traces of a programming language do.
type errorParser struct {
	stamp string // the last one, which the next lines often share
	unix  int64
}

func (*errorParser) fields() []string { return []string{"remote_addr", "level", "msg"} }

func (*errorParser) mapping() map[string]string {
	return called("address", "remote_addr", "message", "msg")
}

func (p *errorParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	values[2] = line
	if unix, rest, ok := p.nginx(line); ok {
		values[1], rest = level(rest)
		values[0] = nginxClient(rest)
		return unix, true, true
	}
	if unix, rest, ok := p.apache(line); ok {
		values[1], rest = level(rest)
		values[0] = apacheClient(rest)
		return unix, true, true
	}
	return 0, false, true
}

// nginxLen is the length of nginx's time, 2024/01/15 03:42:17.
const nginxLen = len("2024/01/15 03:42:17")

func (p *errorParser) nginx(line string) (unix int64, rest string, ok bool) {
	if len(line) < nginxLen+2 || line[4] != '/' || line[7] != '/' || line[10] != ' ' || line[nginxLen] != ' ' || line[nginxLen+1] != '[' {
		return 0, "", false
	}
	stamp := line[:nginxLen]
	if stamp != p.stamp {
		year, ok1 := number(stamp[:4])
		month, ok2 := number(stamp[5:7])
		day, ok3 := number(stamp[8:10])
		clock, ok4 := clock(stamp[11:])
		if !(ok1 && ok2 && ok3 && ok4) || month < 1 || month > 12 || year < 1970 || day < 1 || day > daysIn(time.Month(month), year) {
			return 0, "", false
		}
		p.stamp, p.unix = strings.Clone(stamp), time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC).Unix()+clock
	}
	return p.unix, line[nginxLen+1:], true
}

// apache reads [Fri Sep 09 10:42:29.902022 2022]; the fraction came with 2.4.
func (p *errorParser) apache(line string) (unix int64, rest string, ok bool) {
	if len(line) < 26 || line[0] != '[' {
		return 0, "", false
	}
	end := strings.IndexByte(line[:min(len(line), 40)], ']')
	if end < 25 {
		return 0, "", false
	}
	stamp := line[1:end]
	if stamp == p.stamp {
		return p.unix, strings.TrimPrefix(line[end+1:], " "), true
	}
	if stamp[3] != ' ' || stamp[7] != ' ' || stamp[10] != ' ' || stamp[len(stamp)-5] != ' ' {
		return 0, "", false
	}
	month, ok1 := monthNumber(stamp[4:7])
	day, ok2 := number(strings.TrimPrefix(stamp[8:10], " "))
	seconds, ok3 := clock(stamp[11:19])
	year, ok4 := number(stamp[len(stamp)-4:])
	if !(ok1 && ok2 && ok3 && ok4) || year < 1970 || day < 1 || day > daysIn(month, year) {
		return 0, "", false
	}
	p.stamp, p.unix = strings.Clone(stamp), time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix()+seconds
	return p.unix, strings.TrimPrefix(line[end+1:], " "), true
}

// clock reads 15:04:05 as seconds of the day.
func clock(text string) (seconds int64, ok bool) {
	if len(text) != len("15:04:05") || text[2] != ':' || text[5] != ':' {
		return 0, false
	}
	hour, ok1 := number(text[:2])
	minute, ok2 := number(text[3:5])
	second, ok3 := number(text[6:])
	if !(ok1 && ok2 && ok3) || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	return int64(hour*3600 + minute*60 + second), true
}

// level takes [error] or [core:error] off the front.
func level(text string) (name, rest string) {
	if text == "" || text[0] != '[' {
		return "", text
	}
	end := strings.IndexByte(text[:min(len(text), 64)], ']')
	if end < 0 {
		return "", text
	}
	name = text[1:end]
	if at := strings.LastIndexByte(name, ':'); at >= 0 {
		name = name[at+1:]
	}
	return name, strings.TrimPrefix(text[end+1:], " ")
}

// nginxClient finds the address. nginx writes it behind its own message, which may quote
// the decoded path or a user's name, and before what it quotes of the request: where the
// line has it more than once, a client has written one of them, and nobody is named.
func nginxClient(text string) string {
	const mark = ", client: "
	_, rest, ok := strings.Cut(text, mark)
	if !ok || strings.Contains(rest, mark) {
		return ""
	}
	if at := strings.IndexByte(rest, ','); at >= 0 {
		rest = rest[:at]
	}
	return bounded(rest)
}

// apacheClient finds [client ADDR:PORT], which Apache writes before its message; only
// [pid …], [remote …] and what the operating system said may come before it.
func apacheClient(text string) string {
	if before, rest, ok := strings.Cut(text, ": [client "); ok && !strings.Contains(before, "[client ") {
		if at := strings.Index(before, "] ("); at >= 0 || strings.HasPrefix(before, "(") {
			text = "[client " + rest
		}
	}
	for strings.HasPrefix(text, "[") {
		inside, rest, ok := strings.Cut(text[1:], "] ")
		if !ok {
			return ""
		}
		if addr, ok := strings.CutPrefix(inside, "client "); ok {
			if strings.Count(addr, ":") == 1 || strings.HasPrefix(addr, "[") { // a port
				addr = addr[:strings.LastIndexByte(addr, ':')]
			} else if at := strings.LastIndexByte(addr, ':'); strings.Count(addr, ":") > 7 || at > 0 && strings.Count(addr, ":") > 1 && len(addr)-at > 5 {
				addr = addr[:at] // 2001:db8::7:54321: five digits are no part of an address
			}
			return bounded(strings.Trim(addr, "[]"))
		}
		text = rest
	}
	return ""
}

// bounded returns a text unless it is too long for an address.
func bounded(text string) string {
	if len(text) > 64 {
		return ""
	}
	return text
}
