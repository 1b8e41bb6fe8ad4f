package formats_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/formats"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func feed(format string, changes ...func(*threatintel.Feed)) threatintel.Feed {
	f := threatintel.Feed{Name: "test", Format: format, Purpose: threatintel.Signal, Confidence: 50, Column: "1", Delimiter: ",", MaxAge: 168 * time.Hour, MaxCoverage: 5}
	for _, change := range changes {
		change(&f)
	}
	return f
}

func allow(f *threatintel.Feed) { f.Purpose = threatintel.Allow }

// show spells an arrival in one line.
func show(a threatintel.Arrival) string {
	var b strings.Builder
	for item := range a.Table.All() {
		fmt.Fprintf(&b, "%s=%d ", item.Prefix, item.Confidence)
	}
	fmt.Fprintf(&b, "bad %d", a.Bad)
	if a.Protected > 0 {
		fmt.Fprintf(&b, " protected %d", a.Protected)
	}
	return b.String()
}

func TestLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, format, text, want string }{
		{"addresses and ranges", "plain", "198.51.100.7\n203.0.113.0/24\n2001:db8::/48\n", "198.51.100.7/32=50 203.0.113.0/24=50 2001:db8::/48=50 bad 0"},
		{"comments of every kind", "plain", "# a list\n; another\n198.51.100.7 # why\n198.51.100.8 ; SBL1\n198.51.100.9;SBL2\n\n   \n", "198.51.100.7/32=50 198.51.100.8/32=50 198.51.100.9/32=50 bad 0"},
		{"ranges from a to b", "plain", "198.51.100.0-198.51.100.255\n203.0.113.1 - 203.0.113.2\n", "198.51.100.0/24=50 203.0.113.1/32=50 203.0.113.2/32=50 bad 0"},
		{"a remark behind the address", "plain", "34.22.85.0/27\tgooglebot\r\n", "34.22.85.0/27=50 bad 0"},
		{"no line feed at the end, a mark at the beginning", "plain", "\xef\xbb\xbf198.51.100.7\n198.51.100.8", "198.51.100.7/32=50 198.51.100.8/32=50 bad 0"},
		{"one spelling for each", "plain", "::ffff:198.51.100.7\n198.51.100.7/32\n198.51.100.7\n198.51.100.9/24\n2001:DB8:1::9\n", "198.51.100.0/24=50 198.51.100.7/32=50 2001:db8:1::/64=50 bad 0"},
		{"what names nobody is counted", "plain", "198.51.100.7\nexample.com\n999.1.1.1\n198.51.100.8:80\n010.1.1.1\n1.2.3\nfe80::1%eth0\n2.0.0.9-2.0.0.1\n", "198.51.100.7/32=50 bad 7"},
		{"what no list may hold is counted", "plain", "198.51.100.7\n10.1.2.3\n127.0.0.1\n0.0.0.0/0\n11.0.0.0/7\n192.168.0.0-192.168.0.255\n2000::/3\n", "198.51.100.7/32=50 bad 6"},
		{"two addresses on a line are a form that we do not know", "plain", "198.51.100.0 198.51.100.255 24\n", "bad 1"},
		{"public resolvers are left out", "plain", "8.8.8.8\n1.1.1.0/24\n198.51.100.7\n", "198.51.100.7/32=50 bad 0 protected 2"},
		{"ipsum", "ipsum", "# IPsum\n198.51.100.1\t1\n198.51.100.3\t3\n198.51.100.8\t8\n198.51.100.99\t99\n", "198.51.100.1/32=20 198.51.100.3/32=50 198.51.100.8/32=85 198.51.100.99/32=95 bad 0"},
		{"ipsum without its count", "ipsum", "198.51.100.1\n198.51.100.2\tx\n198.51.100.3\t0\n198.51.100.4\t-1\n198.51.100.5\t5 5\n198.51.100.6\t6\n", "198.51.100.6/32=75 bad 5"},
		{"a range from a to b over half of the Internet", "plain", "1.0.0.0-126.255.255.255\n198.51.100.7\n", "198.51.100.7/32=50 bad 1"},
	} {
		got, err := formats.Read(feed(tc.format), noon, strings.NewReader(tc.text))
		if err != nil || show(got) != tc.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tc.name, show2(got), err, tc.want)
		}
	}
}

func show2(a threatintel.Arrival) string {
	if a.Table == nil {
		return "nothing"
	}
	return show(a)
}

func TestWhomToSpareIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	got, err := formats.Read(feed("plain", allow), noon, strings.NewReader("8.8.8.8\n2001:db8::7\n10.0.0.1\n"))
	if want := "8.8.8.8/32=50 2001:db8::7/128=50 bad 1"; err != nil || show(got) != want {
		t.Errorf("%s, %v, want %s", show2(got), err, want)
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	column := func(name string) func(*threatintel.Feed) { return func(f *threatintel.Feed) { f.Column = name } }
	for _, tc := range []struct {
		name string
		f    threatintel.Feed
		text string
		want string
	}{
		{"the first column", feed("csv"), "198.51.100.7,x\n198.51.100.8,y\n", "198.51.100.7/32=50 198.51.100.8/32=50 bad 0"},
		{"a heading over a numbered column", feed("csv", column("2")), "first_seen,ip\n2026,198.51.100.7\n", "198.51.100.7/32=50 bad 0"},
		{"a column by its name, quoted", feed("csv", column("dst_ip")), "# Feodo\n\"first_seen\",\"dst_ip\"\n\"2026, at noon\",\"198.51.100.7:443\"\n\"a \"\"b\"\"\",\"[2001:db8::9]:80\"\n", "198.51.100.7/32=50 2001:db8::/64=50 bad 0"},
		{"rows that are too short or name nobody", feed("csv", column("2")), "a,198.51.100.7\nb\nc,x\n", "198.51.100.7/32=50 bad 2"},
		{"a bare quote costs its row", feed("csv"), "198.51.100.7,x\n198.51.100.8,a\"b\n198.51.100.9,y\n", "198.51.100.7/32=50 198.51.100.9/32=50 bad 1"},
		{"rows by their label, another delimiter", feed("csv", func(f *threatintel.Feed) {
			f.Delimiter, f.LabelColumn, f.Labels = "\t", "2", []string{"googlebot", "bing"}
		}), "34.22.85.0/27\tgooglebot\n192.30.252.0/22\tgithub\n13.66.139.0/24\tbing\n", "13.66.139.0/24=50 34.22.85.0/27=50 bad 0"},
		{"rows by the label's name", feed("csv", column("net"), func(f *threatintel.Feed) { f.LabelColumn, f.Labels = "kind", []string{"bot"} }), "kind,net\nbot,198.51.100.0/24\nuser,203.0.113.0/24\n", "198.51.100.0/24=50 bad 0"},
	} {
		got, err := formats.Read(tc.f, noon, strings.NewReader(tc.text))
		if err != nil || show(got) != tc.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tc.name, show2(got), err, tc.want)
		}
	}
}

const drop = `{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2a06:e480::/29","sblid":"SBL301771","rir":"ripencc"}
{"type":"metadata","timestamp":1795262400,"size":153,"records":2,"copyright":"(c) 2026 The Spamhaus Project SLU","terms":"https://www.spamhaus.org/drop/terms/"}
`

func TestSpamhaus(t *testing.T) {
	t.Parallel()
	got, err := formats.Read(feed("spamhaus"), noon, strings.NewReader(drop))
	if err != nil || show(got) != "1.10.16.0/20=50 2a06:e480::/29=50 bad 0" || !got.Published.Equal(time.Unix(1795262400, 0)) {
		t.Errorf("%s at %s, %v", show2(got), got.Published, err)
	}
}

func TestPrefixes(t *testing.T) {
	t.Parallel()
	got, err := formats.Read(feed("prefixes", allow), noon, strings.NewReader(`{
		"creationTime": "2026-11-20T22:00:44.000000", "synctoken": {"a":[1,2]},
		"prefixes": [{"ipv6Prefix":"2001:4860:4801:10::/64"}, {"ipv4Prefix":"66.249.64.0/27","service":"x"}]}`))
	if err != nil || show(got) != "66.249.64.0/27=50 2001:4860:4801:10::/64=50 bad 0" || !got.Published.Equal(time.Date(2026, 11, 20, 22, 0, 44, 0, time.UTC)) {
		t.Errorf("%s at %s, %v", show2(got), got.Published, err)
	}
	got, err = formats.Read(feed("prefixes", allow), noon, strings.NewReader(`{"prefixes":[{},{"ipv4Prefix":"1.2.3.0/24","ipv6Prefix":"2001:db8::/32"},{"ipv4Prefix":"x"},{"ipv4Prefix":"1.2.3.0/24"}]}`))
	if err != nil || show(got) != "1.2.3.0/24=50 bad 3" || !got.Published.IsZero() {
		t.Errorf("%s at %s, %v", show2(got), got.Published, err)
	}
}

func TestWhatIsNoFeed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, format, text string
		want               error
	}{
		{"a page", "plain", "<!DOCTYPE html><html>198.51.100.7</html>", threatintel.ErrNotAFeed},
		{"a page after blank lines", "csv", "\n \r\n<html>", threatintel.ErrNotAFeed},
		{"XML for JSON", "stix", "<stix:STIX_Package>", threatintel.ErrNotAFeed},
		{"JSON for lines", "plain", `{"error":"rate limit"}`, threatintel.ErrNotAFeed},
		{"an array for lines", "ipsum", `["198.51.100.7"]`, threatintel.ErrNotAFeed},
		{"UTF-16", "plain", "\xff\xfe1\x009\x00", threatintel.ErrNotAFeed},
		{"zeros", "plain", "\x00\x00\x00", threatintel.ErrNotAFeed},
		{"nothing", "plain", "", threatintel.ErrEmpty},
		{"nothing for JSON", "stix", " \n", threatintel.ErrEmpty},
		{"a line without an end", "plain", "198.51.100.7 " + strings.Repeat("x", 70000), threatintel.ErrTooLarge},
		{"more lines than there are", "plain", strings.Repeat("#\n", 2_000_001), threatintel.ErrTooLarge},
		{"a table without the column", "csv:ip", "a,b\n198.51.100.7,x\n", threatintel.ErrNotAFeed},
		{"a quote that is never closed", "csv", "198.51.100.7,x\n198.51.100.8,\"y\n198.51.100.9,z\n", threatintel.ErrNotAFeed},
		{"DROP without its last line", "spamhaus", `{"cidr":"1.10.16.0/20"}` + "\n", threatintel.ErrTruncated},
		{"DROP with a line less", "spamhaus", strings.Join(strings.SplitAfter(drop, "\n")[1:], ""), threatintel.ErrTruncated},
		{"DROP with a line more", "spamhaus", `{"cidr":"1.19.0.0/16"}` + "\n" + drop, threatintel.ErrTruncated},
		{"DROP with something behind", "spamhaus", drop + `{"cidr":"1.19.0.0/16"}` + "\n", threatintel.ErrNotAFeed},
		{"DROP that does not count", "spamhaus", `{"cidr":"1.10.16.0/20"}` + "\n" + `{"type":"metadata"}`, threatintel.ErrTruncated},
		{"an error for DROP", "spamhaus", `{"error":"blocked"}`, threatintel.ErrNotAFeed},
		{"prefixes that are cut", "prefixes", `{"prefixes":[{"ipv4Prefix":"66.249.64.0/27"},{"ipv4`, threatintel.ErrTruncated},
		{"prefixes without them", "prefixes", `{"error":"x"}`, threatintel.ErrNotAFeed},
		{"prefixes twice", "prefixes", `{"prefixes":[],"prefixes":[]}`, threatintel.ErrNotAFeed},
		{"prefixes that are no list", "prefixes", `{"prefixes":"x"}`, threatintel.ErrNotAFeed},
		{"prefixes of another form", "prefixes", `{"prefixes":["66.249.64.0/27"]}`, threatintel.ErrNotAFeed},
		{"prefixes with something behind", "prefixes", `{"prefixes":[]} {}`, threatintel.ErrNotAFeed},
		{"a bundle that is cut", "stix", `{"type":"bundle","objects":[{"type":"indicator"},`, threatintel.ErrTruncated},
		{"a bundle that is cut within an object", "stix", `{"type":"bundle","objects":[{"type":"indi`, threatintel.ErrTruncated},
		{"an error for a bundle", "stix", `{"error":"unauthorized"}`, threatintel.ErrNotAFeed},
		{"an array for a bundle", "stix", `[]`, threatintel.ErrNotAFeed},
		{"objects that are no list", "stix", `{"type":"bundle","objects":{}}`, threatintel.ErrNotAFeed},
		{"objects twice", "stix", `{"type":"bundle","objects":[],"objects":[]}`, threatintel.ErrNotAFeed},
		{"no JSON", "stix", `{"type":"bundle",}`, threatintel.ErrNotAFeed},
		{"JSON as deep as the sea", "stix", `{"type":"bundle","x":` + strings.Repeat("[", 20000), threatintel.ErrNotAFeed},
		{"TAXII is no body", "taxii", `{"objects":[]}`, threatintel.ErrNotAFeed},
	} {
		format, column, named := strings.Cut(tc.format, ":")
		f := feed(format)
		if named {
			f.Column = column
		}
		got, err := formats.Read(f, noon, strings.NewReader(tc.text))
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: %s, %v, want %v", tc.name, show2(got), err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "198.51.100") {
			t.Errorf("%s: the error repeats what came: %v", tc.name, err)
		}
	}
}

// What breaks below must reach whoever asked, whatever the format makes of a half.
func TestABodyThatEndsEarlyIsTruncated(t *testing.T) {
	t.Parallel()
	for format, text := range map[string]string{
		"plain": "198.51.100.7\n198.51.100.8\n", "ipsum": "198.51.100.7\t3\n", "csv": "198.51.100.7,x\n", "spamhaus": drop,
		"prefixes": `{"prefixes":[{"ipv4Prefix":"66.249.64.0/27"}]}`, "stix": `{"type":"bundle","objects":[]}`,
	} {
		for at := range len(text) + 1 {
			body := io.MultiReader(strings.NewReader(text[:at]), iotest.ErrReader(io.ErrUnexpectedEOF))
			if _, err := formats.Read(feed(format), noon, body); !errors.Is(err, threatintel.ErrTruncated) {
				t.Fatalf("%s cut at %d: %v", format, at, err)
			}
		}
		body := io.MultiReader(strings.NewReader(text), iotest.ErrReader(errors.New("connection reset")))
		if _, err := formats.Read(feed(format), noon, body); !errors.Is(err, threatintel.ErrUnreachable) {
			t.Errorf("%s with a broken connection: %v", format, err)
		}
		if _, err := formats.Read(feed(format), noon, iotest.OneByteReader(strings.NewReader(text))); err != nil {
			t.Errorf("%s byte by byte: %v", format, err)
		}
	}
}

func TestAFeedHasAtMostAMillionEntries(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range threatintel.MaxEntries + 1 {
		fmt.Fprintf(&b, "45.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	if _, err := formats.Read(feed("plain"), noon, strings.NewReader(b.String())); !errors.Is(err, threatintel.ErrTooLarge) {
		t.Errorf("a million and one: %v", err)
	}
}

func TestRealLists(t *testing.T) {
	t.Parallel()
	const data = "../../../../../shared/data/"
	for _, tc := range []struct {
		file    string
		f       threatintel.Feed
		entries int
	}{
		{"ipsum_level3.txt", feed("ipsum"), 14217},
		{"crawlers_and_clouds.txt", feed("plain", allow), 0},
		{"crawlers_and_clouds.txt", feed("csv", allow, func(f *threatintel.Feed) {
			f.Delimiter, f.LabelColumn, f.Labels = "\t", "2", []string{"googlebot", "bing"}
		}), 93},
	} {
		in, err := os.Open(data + tc.file)
		if errors.Is(err, os.ErrNotExist) {
			t.Skip("the real lists are not here")
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := formats.Read(tc.f, noon, in)
		_ = in.Close()
		if err != nil || got.Bad != 0 || got.Protected != 0 || got.Table.Len() != tc.entries && tc.entries > 0 {
			t.Errorf("%s as %s: %d entries, %d bad, %d protected, %v", tc.file, tc.f.Format, got.Table.Len(), got.Bad, got.Protected, err)
		}
		if err := threatintel.Judge(tc.f, noon, threatintel.Record{}, got, false); err != nil {
			t.Errorf("%s is refused: %v", tc.file, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range []string{"198.51.100.7\n", "198.51.100.7\t3\n", "a,\"b\"\n", drop, `{"prefixes":[{"ipv4Prefix":"66.249.64.0/27"}]}`, bundleText} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []string{"plain", "ipsum", "csv", "spamhaus", "prefixes", "stix"} {
			got, err := formats.Read(feed(format), noon, strings.NewReader(text))
			if err != nil {
				if threatintel.Problem(err) == "other" {
					t.Fatalf("%s: no word for %v", format, err)
				}
				continue
			}
			if _, err := threatintel.Decode(got.Table.Encode()); err != nil {
				t.Fatalf("%s: %v", format, err)
			}
		}
	})
}
