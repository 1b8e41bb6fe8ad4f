package proposal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
)

// asciiJSON writes JSON with an escape for every character that is not printable ASCII:
// what turns the direction of text around, or a terminal's commands, are legal in JSON strings.
func asciiJSON(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "" // maps of text and numbers: there is nothing that JSON has no word for
	}
	var b bytes.Buffer
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
