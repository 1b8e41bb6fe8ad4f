package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Safe makes text that may come from a log harmless on a terminal: what is not printable
// (control characters of both kinds, what turns the direction of text around, line ends), what
// nobody would see (fillers, joiners, variation selectors) and bytes that are no UTF-8 are escaped as
// strconv.Quote would. Quotes and backslashes harm nobody and stay, easier to read as they are.
func Safe(text string) string {
	if safe(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case visible(r):
			b.WriteRune(r)
		default:
			b.WriteString(escaped(r))
		}
	}
	return b.String()
}

func safe(text string) bool {
	for i, r := range text {
		if !visible(r) {
			return false
		}
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return false
			}
		}
	}
	return true
}

// visible tells whether a reader sees a character, and a terminal does nothing else with it. IsPrint
// refuses C0, C1, format characters (the bidirectional ones among them) and odd spaces;
// the rest of what is drawn as nothing it lets through.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != brailleBlank
}

// brailleBlank is a symbol without a dot.
const brailleBlank = '\u2800'

func escaped(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	case r > 0xffff:
		return fmt.Sprintf(`\U%08x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// EncodeJSON writes v as one line of JSON that may be looked at on a terminal, too: what Safe would
// escape is written as JSON's own escapes, so that a reader of JSON gets the very same values.
func EncodeJSON(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = w.Write(append(SafeJSON(text), '\n'))
	return err
}

// SafeJSON is EncodeJSON for what is JSON already. Outside of strings JSON is printable ASCII.
func SafeJSON(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case visible(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
