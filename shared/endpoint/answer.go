package endpoint

import (
	"errors"
	"io"
	"net/url"
	"strings"
)

// Bound returns body cut short with the error tooLarge as soon as more than most bytes have come. failed, if not nil,
// is told every error of a read but its end: SDKs make of one something that does not say why.
func Bound(body io.ReadCloser, most int64, tooLarge error, failed func(error)) io.ReadCloser {
	return &bounded{body, most, tooLarge, failed}
}

type bounded struct {
	io.ReadCloser
	left     int64
	tooLarge error
	failed   func(error)
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		err = b.tooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) && b.failed != nil {
		b.failed(err)
	}
	return n, err
}

// Bare returns a network error without its URL, which says nothing that the operation does not
// and names hosts and parameters.
func Bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Line makes one line of at most most bytes, and a mark if it was cut, out of a text that a service or an error brought.
func Line(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
