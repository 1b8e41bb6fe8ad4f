package logfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// calendar finds the year of a day in a log whose times have none: that of the file's
// first line, or the year after for months that come before the first line's.
type calendar struct {
	year  int
	first time.Month
	next  bool // the file goes over New Year's Eve
}

func (c calendar) of(m time.Month) int {
	if c.next && m < c.first {
		return c.year + 1
	}
	return c.year
}

// errLong means that months cannot tell years apart.
var errLong = errors.New("its times have no year and cover more than twelve months: split it by year")

// yearsOf looks through the whole file if it can be read twice, else at its first lines only.
func yearsOf(src *Source, sample []string, now time.Time) (calendar, error) {
	if twin, ok := src.again(); ok {
		defer twin.Close()
		return chooseYear(whole{twin.text}, now)
	}
	c, err := chooseYear(strings.NewReader(strings.Join(sample, "\n")), now)
	c.next = true
	return c, err
}

// chooseYear finds the year of the first line: the latest one with which neither the last
// line lies in the future nor a 29 February falls into a year without one.
func chooseYear(r io.Reader, now time.Time) (calendar, error) {
	now = now.UTC()
	var c calendar
	var last time.Time // in the year 2000 (a leap year: every day exists) and after
	var month time.Month
	year, end := 2000, 2000
	leap := map[int]bool{}
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := in.ReadSlice('\n')
		if m, day, clock, ok := bsdStart(line); ok {
			switch {
			case c.first == 0:
				c.first = m
			case month-m > 6: // from December to January; a month back is only a line out of order
				year++
			case month == time.January && m == time.December && year > 2000: // and so is this
				year--
			}
			month = m
			at := time.Date(year, m, day, 0, 0, 0, 0, time.UTC).Add(time.Duration(clock) * time.Second)
			if at.After(last) {
				last, end = at, year
			}
			leap[year-2000] = leap[year-2000] || m == time.February && day == 29
		}
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = in.ReadSlice('\n')
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, err
		}
	}
	span := end - 2000
	c.next = span == 1
	if span > 1 || span == 1 && last.Month() >= c.first {
		return c, errLong
	}
	const leapYears = 8 // the longest time without one
	for c.year = now.Year(); c.year > now.Year()-leapYears; c.year-- {
		if !inFuture(last, c.year+span, now) && leapsExist(leap, c.year) {
			return c, nil
		}
	}
	return c, fmt.Errorf("its times have no year, and no year of the last %d fits them", leapYears)
}

func inFuture(last time.Time, year int, now time.Time) bool {
	return time.Date(year, last.Month(), last.Day(), last.Hour(), last.Minute(), last.Second(), 0, time.UTC).After(now)
}

func leapsExist(leap map[int]bool, year int) bool {
	for offset, there := range leap {
		if there && daysIn(time.February, year+offset) != 29 {
			return false
		}
	}
	return true
}

func bsdStart(line []byte) (month time.Month, day int, clock int64, ok bool) {
	if len(line) <= bsdLen || line[bsdLen] != ' ' {
		return 0, 0, 0, false
	}
	return bsdTime(string(line[:bsdLen]))
}
