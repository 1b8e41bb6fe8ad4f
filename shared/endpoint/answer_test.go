package endpoint_test

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/endpoint"
)

var errTooLarge = errors.New("too large")

func TestABodyIsTakenUpToItsBoundAndNoFurther(t *testing.T) {
	for size, want := range map[int]error{0: nil, 9: nil, 10: nil, 11: errTooLarge, 5000: errTooLarge} {
		var told error
		body := endpoint.Bound(io.NopCloser(strings.NewReader(strings.Repeat("x", size))), 10, errTooLarge, func(err error) { told = err })
		got, err := io.ReadAll(body)
		if !errors.Is(err, want) || !errors.Is(told, want) || want == nil && len(got) != size {
			t.Errorf("%d bytes: got %d, %v, told %v", size, len(got), err, told)
		}
		quiet := endpoint.Bound(io.NopCloser(strings.NewReader(strings.Repeat("x", size))), 10, errTooLarge, nil)
		if _, err := io.ReadAll(quiet); !errors.Is(err, want) {
			t.Errorf("%d bytes, nobody to tell: %v", size, err)
		}
	}
}

func TestTheReasonOfABrokenReadIsTold(t *testing.T) {
	broken := errors.New("connection reset")
	var told error
	_, err := io.ReadAll(endpoint.Bound(io.NopCloser(iotest.ErrReader(broken)), 10, errTooLarge, func(err error) { told = err }))
	if !errors.Is(err, broken) || !errors.Is(told, broken) {
		t.Errorf("%v, told %v", err, told)
	}
}

func TestABareErrorHasNoURL(t *testing.T) {
	refused := errors.New("refused")
	for _, err := range []error{refused, &url.Error{Op: "Post", URL: "https://1234.example.com/?p=q", Err: refused}} {
		if got := endpoint.Bare(err); got.Error() != "refused" || !errors.Is(got, refused) {
			t.Errorf("%v", got)
		}
	}
}

func TestALineIsOneLineAndBounded(t *testing.T) {
	if got := endpoint.Line("a\r\nb\x1b[31m\x7f\xff", 100); got != "a  b [31m ?" {
		t.Errorf("%q", got)
	}
	if got := endpoint.Line("aé", 2); got != "a…" {
		t.Errorf("cut within a rune: %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(0, 40).Draw(t, "most")
		got := endpoint.Line(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text")), most)
		if len(got) > most+len("…") || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q", got)
		}
	})
}
