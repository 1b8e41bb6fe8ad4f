package logfile

import (
	"strings"
	"time"
)

// clfClock reads the time of Apache's and nginx's logs, 10/May/2025:12:55:31 +0800. It
// remembers the last one: in a busy log thousands of lines share a second.
type clfClock struct {
	text string
	unix int64
}

// clfLen is the length of such a time.
const clfLen = len("10/May/2025:12:55:31 +0800")

func (c *clfClock) read(text string) (unix int64, ok bool) {
	if text == c.text {
		return c.unix, true
	}
	if len(text) != clfLen || text[2] != '/' || text[6] != '/' || text[11] != ':' ||
		text[14] != ':' || text[17] != ':' || text[20] != ' ' || text[21] != '+' && text[21] != '-' {
		return 0, false
	}
	day, ok1 := number(text[0:2])
	year, ok2 := number(text[7:11])
	hour, ok3 := number(text[12:14])
	minute, ok4 := number(text[15:17])
	second, ok5 := number(text[18:20])
	zh, ok6 := number(text[22:24])
	zm, ok7 := number(text[24:26])
	month, ok8 := monthNumber(text[3:6])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8) ||
		day < 1 || day > daysIn(month, year) || hour > 23 || minute > 59 || second > 60 || zh > 14 || zm > 59 || year < 1970 {
		return 0, false
	}
	offset := int64(zh)*3600 + int64(zm)*60
	if text[21] == '-' {
		offset = -offset
	}
	unix = time.Date(year, month, day, hour, minute, second, 0, time.UTC).Unix() - offset
	c.text, c.unix = strings.Clone(text), unix // a clone, or one time would keep a whole block of text alive
	return unix, true
}

// number reads digits only, unlike strconv.Atoi, which takes a sign.
func number(text string) (int, bool) {
	n := 0
	for i := range len(text) {
		c := text[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int(c)
	}
	return n, true
}

func monthNumber(text string) (time.Month, bool) {
	const names = "JanFebMarAprMayJunJulAugSepOctNovDec"
	if at := strings.Index(names, text); len(text) == 3 && at >= 0 && at%3 == 0 {
		return time.Month(at/3 + 1), true
	}
	return 0, false
}

func daysIn(m time.Month, year int) int {
	return time.Date(year, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
