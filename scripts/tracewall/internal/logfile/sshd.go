package logfile

import (
	"strings"
	"time"
)

// sshdParser reads syslog lines as sshd and PAM write them into auth.log:
//
//	Mar 27 13:06:56 HOST sshd[1291]: MESSAGE
//	2026-05-28T20:26:40.123456+00:00 HOST sshd[1291]: MESSAGE
//
// The old form has no year and no zone. The year is chosen so that the file does
// not lie in the future (see chooseYear); the zone is taken for UTC, as servers have it.
type sshdParser struct {
	years calendar
	stamp string // the last one, which the next lines often share
	unix  int64
}

func (*sshdParser) fields() []string {
	return []string{"remote_addr", "account", "program", "msg"}
}

func (*sshdParser) mapping() map[string]string {
	return called("address", "remote_addr", "account", "account", "message", "msg")
}

func (p *sshdParser) parse(line string, values []string) (unix int64, timed, ok bool) {
	unix, rest, ok := p.time(line)
	if !ok {
		return 0, false, false
	}
	_, rest, ok = strings.Cut(rest, " ") // the host
	if !ok {
		return 0, false, false
	}
	program, message, ok := strings.Cut(rest, ": ")
	if !ok || program == "" || len(program) > 128 || strings.ContainsAny(program, " \t") {
		return 0, false, false
	}
	if at := strings.IndexByte(program, '['); at > 0 {
		program = program[:at]
	}
	values[0], values[1] = whoFrom(message)
	values[2], values[3] = program, line
	return unix, true, true
}

// time takes the time off the front.
func (p *sshdParser) time(line string) (unix int64, rest string, ok bool) {
	if len(line) > 20 && line[4] == '-' && line[10] == 'T' {
		stamp, rest, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339, stamp)
		return at.Unix(), rest, err == nil
	}
	if len(line) <= bsdLen || line[bsdLen] != ' ' {
		return 0, "", false
	}
	stamp := line[:bsdLen]
	if stamp == p.stamp {
		return p.unix, line[bsdLen+1:], true
	}
	month, day, clock, ok := bsdTime(stamp)
	if !ok {
		return 0, "", false
	}
	year := p.years.of(month)
	if day > daysIn(month, year) {
		return 0, "", false
	}
	p.stamp = strings.Clone(stamp)
	p.unix = time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Unix() + clock
	return p.unix, line[bsdLen+1:], true
}

// bsdLen is the length of syslog's old time stamp.
const bsdLen = len("Mar 27 13:06:56")

func bsdTime(stamp string) (month time.Month, day int, clock int64, ok bool) {
	if stamp[3] != ' ' || stamp[6] != ' ' || stamp[9] != ':' || stamp[12] != ':' {
		return 0, 0, 0, false
	}
	month, ok1 := monthNumber(stamp[:3])
	day, ok2 := number(strings.TrimPrefix(stamp[4:6], " "))
	hour, ok3 := number(stamp[7:9])
	minute, ok4 := number(stamp[10:12])
	second, ok5 := number(stamp[13:15])
	if !(ok1 && ok2 && ok3 && ok4 && ok5) || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, 0, 0, false
	}
	return month, day, int64(hour*3600 + minute*60 + second), true
}

// whoFrom finds the client's address and the account. Both stand among text that the client
// chose: a user name may be "x from 192.0.2.9 port 1". sshd writes the address
// after the name, so its last " from " is the true one; PAM writes rhost= before user=, so its
// first rhost= is.
func whoFrom(message string) (addr, account string) {
	if at := strings.Index(message, " rhost="); at >= 0 {
		addr = token(message[at+len(" rhost="):])
		if _, user, ok := strings.Cut(message[at+1:], " user="); ok {
			account = token(user)
		}
		return addr, account
	}
	at := strings.LastIndex(message, " from ")
	if at < 0 {
		return "", ""
	}
	addr = token(message[at+len(" from "):])
	before := message[:at]
	for _, mark := range []string{" for invalid user ", "Invalid user ", " for "} {
		if _, name, ok := strings.Cut(before, mark); ok {
			account = name
			break
		}
	}
	if len(account) > 256 {
		account = ""
	}
	return addr, account
}

// token is the text up to a blank, without the colon or bracket that sshd may put behind an address.
func token(text string) string {
	if at := strings.IndexAny(text, " \t"); at >= 0 {
		text = text[:at]
	}
	text = strings.TrimRight(text, "],;")
	if strings.Count(text, ":") == 1 { // 192.0.2.7: and not 2001:db8::
		text = strings.TrimSuffix(text, ":")
	}
	if len(text) > 256 {
		return ""
	}
	return text
}
