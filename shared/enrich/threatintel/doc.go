// Package threatintel is what strangers say about addresses: lists of those that attacked
// somebody else, and published ranges of those who must be spared.
//
// It is worth little alone. Every list contains addresses of innocent people, so a Hit only ever
// adds to what the logs showed, and one list alone never blocks anyone: scoring sees to that, and
// for it each Hit names its feed, at most once. What makes a list dangerous is the way it breaks: a feed that
// turns into a login page, that is cut in the middle, that suddenly names half the Internet. So
//
//   - a Feed (feed.go) says where a list comes from and how far it is trusted;
//   - Judge (judge.go) compares what came with the last good one, and refuses what looks broken;
//   - a refused feed keeps its last good Table (table.go), a compact form with a checksum;
//   - a Catalog (catalog.go) is what is known of all feeds, and the one thing that is switched over;
//   - a Set (set.go) answers for all signal feeds at once, in well under a microsecond.
//
// A signal feed that cannot be refreshed fades: at half its MaxAge confidence begins to fall, at MaxAge the
// feed says nothing any more. Feeds of purpose Allow never fade: to forget whom to spare is the one
// mistake that blocks people, so their last good ranges stay, and an alarm rings.
//
// The package is pure: values in, values out. Formats are read by package formats, fetched by package feeds, and
// kept by package intelstore.
package threatintel
