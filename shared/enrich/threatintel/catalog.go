package threatintel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Record is what is known of one feed: what its last good state was, and how it went since.
type Record struct {
	Name     string        `json:"name"`
	Purpose  Purpose       `json:"purpose"`
	Category string        `json:"category"`
	Licence  string        `json:"licence,omitempty"`
	MaxAge   time.Duration `json:"max_age"`

	// The last good state. Digest is "" if there never was one.
	Reading      string    `json:"reading,omitempty"` // Feed.Reading when it was loaded
	Digest       string    `json:"digest,omitempty"`  // of the encoded Table
	Bytes        int       `json:"bytes,omitempty"`   // of it
	Entries      int       `json:"entries,omitempty"`
	Loaded       time.Time `json:"loaded,omitzero"` // when the source last said that this is its list
	Published    time.Time `json:"published,omitzero"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`

	Checked  time.Time `json:"checked,omitzero"` // when it was last asked for
	Failures int       `json:"failures,omitempty"`
	Problem  string    `json:"problem,omitempty"` // a word of Problem; "" if the last time went well
}

// Source returns the Record as a Set knows it.
func (r Record) Source() Source {
	return Source{Name: r.Name, Category: r.Category, Licence: r.Licence, Entries: r.Entries, Loaded: r.Loaded, MaxAge: r.MaxAge}
}

// Catalog is what is known of all feeds. It refers to tables by their digests, so switching from one Catalog to the next is what
// makes new tables count, all at once.
type Catalog struct {
	Sequence uint64    `json:"sequence"` // one more with each Catalog
	Written  time.Time `json:"written"`
	Feeds    []Record  `json:"feeds"`
}

// Find returns the Record of a feed; ok is false if there is none.
func (c Catalog) Find(name string) (r Record, ok bool) {
	for _, r := range c.Feeds {
		if r.Name == name {
			return r, true
		}
	}
	return Record{}, false
}

// Of returns the Records of one purpose, in order.
func (c Catalog) Of(purpose Purpose) []Record {
	var some []Record
	for _, r := range c.Feeds {
		if r.Purpose == purpose {
			some = append(some, r)
		}
	}
	return some
}

// Version names what all loaded signal feeds hold together: it changes with their entries, and not when they are only found
// unchanged. "" if none is loaded.
func (c Catalog) Version() string {
	sum, n := sha256.New(), 0
	for _, r := range c.Of(Signal) {
		if r.Digest != "" {
			fmt.Fprintf(sum, "%s %s %s\n", r.Name, r.Category, r.Digest)
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// maxCatalog bounds an encoded Catalog, in bytes: 64 feeds need less than half.
const maxCatalog = 256 << 10

// Encode returns the Catalog as text: the SHA-256 of what follows, a line feed, JSON.
func (c Catalog) Encode() ([]byte, error) {
	if len(c.Feeds) > MaxFeeds {
		return nil, fmt.Errorf("encode catalog: %w: %d feeds", ErrTooMany, len(c.Feeds))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode catalog: %w", err)
	}
	if len(text) > maxCatalog {
		return nil, fmt.Errorf("encode catalog: %d bytes, want at most %d", len(text), maxCatalog)
	}
	return append(fmt.Appendf(nil, "%x\n", sha256.Sum256(text)), text...), nil
}

// DecodeCatalog reads what Encode wrote. Every error is ErrUnreadable.
func DecodeCatalog(encoded []byte) (Catalog, error) {
	sum, text, ok := bytes.Cut(encoded, []byte("\n"))
	if !ok || len(text) > maxCatalog {
		return Catalog{}, fmt.Errorf("catalog: %w: %d bytes of something else", ErrUnreadable, len(encoded))
	}
	if want := fmt.Sprintf("%x", sha256.Sum256(text)); string(sum) != want {
		return Catalog{}, fmt.Errorf("catalog: %w: its checksum is wrong", ErrUnreadable)
	}
	var c Catalog
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&c); err != nil {
		return Catalog{}, fmt.Errorf("catalog: %w: %w", ErrUnreadable, err)
	}
	if len(c.Feeds) > MaxFeeds {
		return Catalog{}, fmt.Errorf("catalog: %w: %d feeds", ErrUnreadable, len(c.Feeds))
	}
	for _, r := range c.Feeds {
		if r.Bytes < 0 || r.Bytes > MaxTableBytes || r.Entries < 0 || r.Entries > MaxEntries {
			return Catalog{}, fmt.Errorf("catalog: %w: feed %.40q has an impossible size", ErrUnreadable, r.Name)
		}
	}
	return c, nil
}
