package feeds

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// body is what an answer holds, decompressed and bounded. It remembers its last byte.
type body struct {
	io.Reader
	open bool // nothing in the protocol tells where it ends but the end of the connection
	last byte
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 {
		b.last = p[n-1]
	}
	return n, err
}

// body opens an answer's body. Whoever reads it whole hears of every way in which it can be cut short but one,
// for which there is whole.
func (v *visit) body(res *http.Response) (*body, error) {
	if res.ContentLength > v.wire {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", threatintel.ErrTooLarge, res.ContentLength, v.wire)
	}
	wire := bufio.NewReader(&bounded{res.Body, &v.wire})
	b := &body{Reader: wire, open: res.ProtoMajor < 2 && res.ContentLength < 0 && !slices.Contains(res.TransferEncoding, "chunked")}
	magic, _ := wire.Peek(2) // an error comes again with the first read
	switch encoding := strings.ToLower(res.Header.Get("Content-Encoding")); {
	case encoding == "gzip", encoding == "x-gzip", len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b: // a .gz file says nothing of itself
		z, err := gzip.NewReader(wire)
		if err != nil {
			return nil, fmt.Errorf("%w: it says that it is compressed with gzip and is not", threatintel.ErrNotAFeed)
		}
		b.Reader, b.open = &bounded{z, &v.plain}, false // gzip knows its end
	case encoding == "" || encoding == "identity":
	default:
		return nil, fmt.Errorf("%w: its content encoding is one that nobody asked for", threatintel.ErrNotAFeed)
	}
	return b, nil
}

// whole tells whether a body that was read to its end may have been cut where nobody noticed: the connection's
// end was its only end, and the last line has none. A cut address often is an address.
func (b *body) whole(format string) error {
	lines := format == threatintel.Plain || format == threatintel.IPsum || format == threatintel.CSV
	if b.open && lines && b.last != '\n' {
		return fmt.Errorf("%w: its last line has no end, and its server did not say how long it is", threatintel.ErrTruncated)
	}
	return nil
}

// bounded takes what it reads from a budget that several bodies may share.
type bounded struct {
	in   io.Reader
	left *int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if *b.left -= int64(n); *b.left < 0 {
		return 0, fmt.Errorf("%w: more bytes than one feed may have", threatintel.ErrTooLarge)
	}
	return n, err
}
