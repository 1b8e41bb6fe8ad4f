package threatintel

import "errors"

// What can be wrong with a feed. Each means: the last good one is kept, and somebody should look.
var (
	ErrUnreachable = errors.New("feed is unreachable")           // no answer, a broken one, or a server's error
	ErrDenied      = errors.New("feed denies access")            // 401 or 403: the secret is wrong or missing
	ErrRedirected  = errors.New("feed leads where we do not go") // a redirect that is refused, or an address that is not public
	ErrNotAFeed    = errors.New("not a feed of this format")     // a login page, an error in JSON, something binary
	ErrTruncated   = errors.New("feed is cut short")             // less came than was announced, or the end is missing
	ErrTooLarge    = errors.New("feed is too large")             // a bound of bytes, lines or entries
	ErrBadLines    = errors.New("feed has too many bad lines")   // an allow feed: any
	ErrEmpty       = errors.New("feed is empty")                 // fewer entries than its min_entries
	ErrShrunk      = errors.New("feed has shrunk suddenly")      // below half of the last good one
	ErrGrown       = errors.New("feed has grown suddenly")       // ten times the last good one, three times for an allow feed
	ErrTooWide     = errors.New("feed covers too much")          // more of the Internet than its max_coverage
	ErrProtected   = errors.New("feed lists what everybody needs")
	ErrStale       = errors.New("feed is out of date") // by its own word: older than its max_age, or than what we have
)

// problems gives each a word, for metrics, reports and Records.
var problems = []struct {
	err  error
	word string
}{
	{ErrUnreachable, "unreachable"},
	{ErrDenied, "denied"},
	{ErrRedirected, "redirected"},
	{ErrNotAFeed, "not-a-feed"},
	{ErrTruncated, "truncated"},
	{ErrTooLarge, "too-large"},
	{ErrBadLines, "bad-lines"},
	{ErrEmpty, "empty"},
	{ErrShrunk, "shrunk"},
	{ErrGrown, "grown"},
	{ErrTooWide, "too-wide"},
	{ErrProtected, "protected"},
	{ErrStale, "stale"},
}

// Problem returns the word for what is wrong: "shrunk"; "other" for an error that is none of this
// package's, "" for nil.
func Problem(err error) string {
	if err == nil {
		return ""
	}
	for _, p := range problems {
		if errors.Is(err, p.err) {
			return p.word
		}
	}
	return "other"
}
