package threatintel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Defaults of what a feed's entry in FEEDS may leave out.
const (
	DefaultMaxAge      = 7 * 24 * time.Hour
	DefaultEvery       = 6 * time.Hour // free lists ask to be fetched a few times a day at most
	DefaultConfidence  = 50
	DefaultMaxCoverage = 5 // percent
)

// The formats that a feed may have. Package formats reads them.
const (
	Plain    = "plain"    // an address, a range a.b.c.d/n or a-b on each line; comments after # or ;
	IPsum    = "ipsum"    // address, blanks, number of lists that name it
	CSV      = "csv"      // a table; Column says where the address stands
	Spamhaus = "spamhaus" // Spamhaus DROP as JSON lines, the last of which tells how many there are
	STIX     = "stix"     // a STIX 2.1 bundle
	TAXII    = "taxii"    // a collection on a TAXII 2.1 server
	Prefixes = "prefixes" // {"prefixes":[{"ipv4Prefix":"…"},{"ipv6Prefix":"…"}]}, as search engines publish
)

// Formats are all of them.
func Formats() []string { return []string{Plain, IPsum, CSV, Spamhaus, STIX, TAXII, Prefixes} }

// Feed is one entry of FEEDS: where a list comes from, how it is read and how far it is trusted.
type Feed struct {
	Name       string  `json:"name"`       // one word: a to z, 0 to 9 and -; it names the feed in verdicts and metrics
	URL        string  `json:"url"`        // https://…; http:// only for this machine
	Format     string  `json:"format"`     // one of Formats
	Purpose    Purpose `json:"purpose"`    // default signal
	Category   string  `json:"category"`   // what it lists: "scan"; default "listed", for allow feeds "crawler"
	Confidence int     `json:"confidence"` // 1..100, of entries that say nothing themselves; default 50
	Licence    string  `json:"licence"`    // for people: under which terms you use it

	MaxAge      time.Duration `json:"-"`            // max_age: from when on it says nothing if it cannot be refreshed; default 7 days
	Every       time.Duration `json:"-"`            // every: how often it is asked for at most; default 6 h
	MinEntries  int           `json:"min_entries"`  // fewer are no feed; default 1
	MaxCoverage float64       `json:"max_coverage"` // percent of the Internet that it may list; default 5

	Column      string   `json:"column"`       // csv: the address's column, by its name in the first line or its number from 1; default 1
	Delimiter   string   `json:"delimiter"`    // csv: one character; default ","
	LabelColumn string   `json:"label_column"` // csv: a column that tells what a row is
	Labels      []string `json:"labels"`       // csv: the rows to take, by what stands in LabelColumn
	Collection  string   `json:"collection"`   // taxii: its id, alias or title; default the only one there is

	Auth    string `json:"auth"`    // "basic", "bearer", or "header X-Name"; "" for none
	Secret  string `json:"secret"`  // the name of its secret in FEED_SECRETS; "user:password" for basic
	Private bool   `json:"private"` // the server has a private address, as one's own TAXII server may
}

// Reading sums up all that decides what the feed's bytes mean. When it changes, what was loaded before is no measure.
func (f Feed) Reading() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		f.URL, f.Format, string(f.Purpose), fmt.Sprint(f.Confidence), f.Column, f.Delimiter, f.LabelColumn, strings.Join(f.Labels, "\n"), f.Collection,
	}))
	return hex.EncodeToString(sum[:8])
}

// maxFeedsText bounds FEEDS, in bytes. A function's variables share 4 KB in most clouds, so this is generous.
const maxFeedsText = 64 << 10

// ParseFeeds reads the setting FEEDS: a JSON array. It reports every problem at once.
func ParseFeeds(text string) ([]Feed, error) {
	if len(text) > maxFeedsText {
		return nil, fmt.Errorf("%d bytes: want at most %d", len(text), maxFeedsText)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("want a JSON array of feeds: %w", err)
	}
	if len(raw) == 0 || len(raw) > MaxFeeds {
		return nil, fmt.Errorf("%d feeds: want 1 to %d", len(raw), MaxFeeds)
	}
	feeds, problems := make([]Feed, len(raw)), make([]error, 0, len(raw))
	names := map[string]bool{}
	for i, one := range raw {
		f, err := parseFeed(one)
		name := fmt.Sprintf("feed %d", i+1)
		if f.Name != "" {
			name = fmt.Sprintf("feed %.40q", f.Name)
		}
		for _, problem := range err {
			problems = append(problems, fmt.Errorf("%s: %w", name, problem))
		}
		if names[f.Name] && f.Name != "" {
			problems = append(problems, fmt.Errorf("%s is there twice", name))
		}
		feeds[i], names[f.Name] = f, true
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return feeds, nil
}

func parseFeed(text []byte) (Feed, []error) {
	in := struct {
		*Feed
		MaxAge string `json:"max_age"`
		Every  string `json:"every"`
	}{Feed: &Feed{Purpose: Signal, Confidence: DefaultConfidence, MinEntries: 1, MaxCoverage: DefaultMaxCoverage, Delimiter: ",", Column: "1"}}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return *in.Feed, []error{err}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return *in.Feed, []error{errors.New("want one object")}
	}
	f := *in.Feed
	if f.Category == "" {
		f.Category = "listed"
		if f.Purpose == Allow {
			f.Category = "crawler"
		}
	}
	var problems []error
	f.MaxAge = duration(&problems, "max_age", in.MaxAge, DefaultMaxAge, time.Hour, 90*24*time.Hour)
	f.Every = duration(&problems, "every", in.Every, DefaultEvery, 0, 7*24*time.Hour)
	return f, append(problems, f.check()...)
}

func duration(problems *[]error, key, text string, byDefault, least, most time.Duration) time.Duration {
	if text == "" {
		return byDefault
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		*problems = append(*problems, fmt.Errorf("%s %.40q: want a duration such as 168h, %s to %s", key, text, least, most))
	}
	return d
}

var (
	feedName   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)
	headerName = regexp.MustCompile(`^header [A-Za-z0-9-]{1,64}$`)
	hopHeader  = regexp.MustCompile(`(?i)^header (host|connection|content-length|transfer-encoding|upgrade|te|trailer|accept.*|if-.*|range|cookie)$`)
)

// check tells all that is wrong with the fields as they stand.
func (f Feed) check() (problems []error) {
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	wrong(!feedName.MatchString(f.Name), "name %.40q: want 1 to 32 of a to z, 0 to 9 and -", f.Name)
	if err := CheckURL(f.URL); err != nil {
		problems = append(problems, err)
	}
	wrong(!slices.Contains(Formats(), f.Format), "format %.40q: want one of %s", f.Format, strings.Join(Formats(), ", "))
	wrong(f.Purpose != Signal && f.Purpose != Allow, "purpose %.40q: want signal or allow", string(f.Purpose))
	wrong(!feedName.MatchString(f.Category), "category %.40q: want one word such as scan or botnet", f.Category)
	wrong(f.Confidence < 1 || f.Confidence > 100, "confidence %d: want 1 to 100", f.Confidence)
	wrong(len(f.Licence) > 200, "licence of %d bytes: want at most 200", len(f.Licence))
	wrong(f.MinEntries < 1 || f.MinEntries > MaxEntries, "min_entries %d: want 1 to %d", f.MinEntries, MaxEntries)
	wrong(!(f.MaxCoverage > 0 && f.MaxCoverage <= 50), "max_coverage %g: want a number of percent above 0, up to 50", f.MaxCoverage)
	wrong(len(f.Delimiter) != 1 || strings.ContainsAny(f.Delimiter, "\"\r\n") || f.Delimiter[0] > '~', "delimiter %.10q: want one ASCII character", f.Delimiter)
	wrong(f.Column == "" || len(f.Column) > 100 || len(f.LabelColumn) > 100, "column: want a name or a number, 1 to 100 bytes")
	wrong((f.LabelColumn == "") != (len(f.Labels) == 0), "label_column and labels: want both or none")
	wrong(len(f.Labels) > 100, "%d labels: want at most 100", len(f.Labels))
	wrong(f.Format != CSV && (f.LabelColumn != "" || f.Column != "1" || f.Delimiter != ","), "column, delimiter and labels are for format csv, this is %.40q", f.Format)
	wrong(f.Purpose == Allow && f.Format != Plain && f.Format != CSV && f.Format != Prefixes, "purpose allow with format %.40q: want plain, csv or prefixes: the others list attackers", f.Format)
	wrong(f.Format != TAXII && f.Collection != "", "collection is for format taxii, this is %.40q", f.Format)
	wrong(len(f.Collection) > 200, "collection of %d bytes: want at most 200", len(f.Collection))
	wrong(f.Auth != "" && f.Auth != "basic" && f.Auth != "bearer" && (!headerName.MatchString(f.Auth) || hopHeader.MatchString(f.Auth)),
		"auth %.80q: want basic, bearer, or header and its name, such as header X-Api-Key", f.Auth)
	wrong((f.Auth == "") != (f.Secret == ""), "auth and secret: want both (secret names an entry of FEED_SECRETS) or none")
	return problems
}

// CheckURL tells whether a feed may come from text: https, or http from this machine. Lists that arrive in the clear can be
// written by whoever is on the way. The error does not repeat the text, which may hold a key.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || len(text) > 2000:
		return errors.New("url: want https://host/path, at most 2000 bytes")
	case u.User != nil:
		return errors.New("url: want no user and password in it: they belong into FEED_SECRETS, with auth and secret")
	case u.Fragment != "":
		return errors.New("url: want it without a #")
	case u.Scheme == "https" || u.Scheme == "http" && OnThisMachine(u.Hostname()):
		return nil
	}
	return errors.New("url: want https://; http:// is for 127.0.0.1 and localhost only")
}

// OnThisMachine tells whether a host, as a URL spells it, is this machine's loopback.
func OnThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
