package backtest

import (
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
)

//go:embed page.html
var pageText string

// mostOnPage bounds each list of the page; the JSON has all of it.
const mostOnPage = 1000

// page is what page.html shows. All of it is text or a number: the template escapes, for
// text in HTML and in SVG alike, and nothing in it runs.
type page struct {
	Result
	Sections []section
	ByTime   chart
	ByRule   []bar
	ByClass  []bar
	ByCount  []bar // country
	MoreThan int
}

// section is one list of verdicts.
type section struct {
	Title string
	ID    string
	All   []Verdict
	More  int
}

// chart is a row of stacked columns.
type chart struct {
	Width, Height int
	Columns       []columnOf
	Most          int
	First, Last   string
	Bucket        string
}

type columnOf struct {
	X, Width int
	Label    string
	Count
	BlockY, BlockHeight, ChallengeY, ChallengeHeight, ObserveY, ObserveHeight int
}

// bar is a line of stacked bars, in pixels of barWidth.
type bar struct {
	Count
	BlockWidth, ChallengeX, ChallengeWidth, ObserveX, ObserveWidth int
}

const (
	chartWidth, chartHeight = 960, 160
	barWidth                = 360
	mostBars                = 20
)

// WritePage writes the Result as one HTML page that needs nothing else: no script, no
// font, no picture from elsewhere.
func (r Result) WritePage(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"number": func(n any) string {
			switch n := n.(type) {
			case int:
				return report.Number(n)
			case int64:
				return report.Number(n)
			default:
				return fmt.Sprint(n)
			}
		},
		"stamp": stamp,
		"who":   who,
		"join":  func(list []string) string { return strings.Join(list[:min(len(list), 10)], ", ") },
		"parts": func(all []detect.Part) string {
			text := make([]string, len(all))
			for i, p := range all {
				text[i] = fmt.Sprintf("%s %+d", p.Name, p.Points)
			}
			return strings.Join(text, ", ")
		},
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	if err := t.Execute(w, r.page()); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func (r Result) page() page {
	p := page{Result: r, MoreThan: mostOnPage, ByTime: r.chart(), ByRule: bars(r.Totals.ByRule), ByClass: bars(r.Totals.ByClass), ByCount: bars(r.Totals.ByCountry)}
	for _, part := range []struct{ verdict, title string }{
		{Block, "Would have been blocked"}, {Challenge, "Would have been challenged"}, {Spared, "Spared"}, {Observe, "Only observed"},
	} {
		s := section{Title: part.title, ID: part.verdict}
		for _, v := range r.Verdicts {
			if v.Verdict == part.verdict {
				s.All = append(s.All, v)
			}
		}
		if n := len(s.All); n > mostOnPage {
			s.All, s.More = s.All[:mostOnPage], n-mostOnPage
		}
		p.Sections = append(p.Sections, s)
	}
	p.Collateral = r.Collateral[:min(len(r.Collateral), mostOnPage)]
	p.Campaigns = r.Campaigns[:min(len(r.Campaigns), mostOnPage)]
	return p
}

// chart lays out who was first seen when.
func (r Result) chart() chart {
	c := chart{Width: chartWidth, Height: chartHeight, Bucket: r.Totals.BucketSize}
	all := r.Totals.ByTime
	if len(all) == 0 {
		return c
	}
	for _, b := range all {
		c.Most = max(c.Most, b.Sum())
	}
	c.First, c.Last = all[0].Name, all[len(all)-1].Name
	for i, b := range all {
		x, end := i*chartWidth/len(all), (i+1)*chartWidth/len(all)
		col := columnOf{X: x, Width: max(1, end-x-1), Label: b.Name, Count: b.Count}
		high := func(n int) int { return n * chartHeight / max(c.Most, 1) }
		col.BlockHeight, col.ChallengeHeight, col.ObserveHeight = high(b.Block), high(b.Challenge), high(b.Observe)
		col.BlockY = chartHeight - col.BlockHeight
		col.ChallengeY = col.BlockY - col.ChallengeHeight
		col.ObserveY = col.ChallengeY - col.ObserveHeight
		c.Columns = append(c.Columns, col)
	}
	return c
}

func bars(counts []Count) []bar {
	most := 1
	for _, c := range counts {
		most = max(most, c.Sum())
	}
	var all []bar
	for _, c := range counts[:min(len(counts), mostBars)] {
		wide := func(n int) int {
			if n == 0 {
				return 0
			}
			return max(1, n*barWidth/most)
		}
		b := bar{Count: c, BlockWidth: wide(c.Block), ChallengeWidth: wide(c.Challenge), ObserveWidth: wide(c.Observe)}
		b.ChallengeX = b.BlockWidth
		b.ObserveX = b.ChallengeX + b.ChallengeWidth
		all = append(all, b)
	}
	return all
}

// WriteFile writes a file whole or not at all, readable by its owner only: it names
// people's addresses.
func WriteFile(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
