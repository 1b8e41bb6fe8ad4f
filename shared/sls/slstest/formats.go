//go:build cgo

package slstest

import "bytes"

// StoryFields are the fields that ParseStory fills, in its order.
func StoryFields() []string { return []string{"msg", "trace_id"} }

// ParseStory is the LineParser of the founding story's logs: the whole line is
// msg, its time is the bracketed one at the beginning
// ([10/May/2025:13:55:36 +0800]), and trace_id is what follows that word, quoted or not.
func ParseStory(line []byte, out *Line) bool {
	out.Values[0] = line
	if len(line) > 27 && line[0] == '[' && line[27] == ']' {
		out.Time, _ = BracketTime(line[1:27])
	}
	if i := bytes.LastIndex(line, []byte("trace_id")); i >= 0 {
		rest := bytes.TrimLeft(line[i+len("trace_id"):], `": `)
		if end := bytes.IndexAny(rest, "\" \t,}"); end >= 0 {
			rest = rest[:end]
		}
		if len(rest) > 0 {
			out.Values[1] = rest
		}
	}
	return true
}

// BracketTime reads the 26 bytes of an access log's time, such as
// 10/May/2025:13:55:36 +0800, as unix seconds. It allocates nothing: it is
// called once per line of a big file.
func BracketTime(b []byte) (int64, bool) {
	if len(b) != 26 || b[2] != '/' || b[6] != '/' || b[11] != ':' || b[14] != ':' || b[17] != ':' || b[20] != ' ' {
		return 0, false
	}
	ok := true
	number := func(at, n int) int64 {
		v := int64(0)
		for _, c := range b[at : at+n] {
			if c < '0' || c > '9' {
				ok = false
			}
			v = v*10 + int64(c-'0')
		}
		return v
	}
	day, year := number(0, 2), number(7, 4)
	hour, minute, second := number(12, 2), number(15, 2), number(18, 2)
	zone := number(22, 2)*3600 + number(24, 2)*60
	switch b[21] {
	case '+':
	case '-':
		zone = -zone
	default:
		return 0, false
	}
	month := monthNumber(b[3], b[4], b[5])
	if !ok || month == 0 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	return days(year, month, day)*86_400 + hour*3600 + minute*60 + second - zone, true
}

func monthNumber(a, b, c byte) int64 {
	i := bytes.Index([]byte("JanFebMarAprMayJunJulAugSepOctNovDec"), []byte{a, b, c})
	if i < 0 || i%3 != 0 {
		return 0
	}
	return int64(i/3 + 1)
}

// days counts the days from 1970-01-01. The year begins in March here, so that
// the leap day is its last: then months have a regular length (153 days in five).
func days(year, month, day int64) int64 {
	if month <= 2 {
		year--
	}
	era := year / 400
	ofEra := year - era*400
	ofYear := (153*((month+9)%12)+2)/5 + day - 1
	return era*146_097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719_468
}
