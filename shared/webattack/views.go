package webattack

import "bytes"

// squeeze turns comments into a blank and blanks in a row into one, line ends into
// blanks; what a database would run inside /*! */ stays. It returns text itself if
// nothing changed.
func squeeze(text []byte) []byte {
	out := make([]byte, 0, len(text))
	blank := func() {
		if len(out) > 0 && out[len(out)-1] != ' ' {
			out = append(out, ' ')
		}
	}
	closed := bytes.LastIndex(text, []byte("*/"))
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '/' && i+1 < len(text) && text[i+1] == '*' && i < closed:
			if i+2 < len(text) && (text[i+2] == '!' || text[i+2] == '+') {
				i += 2
				for i+1 < len(text) && text[i+1] >= '0' && text[i+1] <= '9' {
					i++
				}
			} else {
				i += 3 + bytes.Index(text[i+2:], []byte("*/"))
			}
			blank()
		case b == '*' && i+1 < len(text) && text[i+1] == '/':
			i++
			blank()
		case b == ' ' || b == '\n' || b == '\r':
			blank()
		default:
			out = append(out, b)
		}
	}
	if bytes.Equal(out, text) {
		return text
	}
	return out
}

// unquote takes out what a shell takes out of a word: quotes, backslashes and carets
// inside it, and variables that are empty. It returns text itself if nothing changed.
func unquote(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		b := text[i]
		switch {
		case b == '\'' || b == '"' || b == '\\' || b == '^':
			continue
		case b == '`' && i+1 < len(text) && text[i+1] == '`':
			i++
			continue
		case b == '$' && i+1 < len(text):
			c := text[i+1]
			if c == '@' || c == '*' || c == '!' || c == '?' || c == '_' || c == '-' || c == '$' || c >= '0' && c <= '9' {
				i++
				continue
			}
			if c == '(' && i+2 < len(text) && text[i+2] == ')' {
				i += 2
				continue
			}
			if c == '{' || c == '(' {
				if end := bytes.IndexByte(text[i:min(len(text), i+16)], closing(c)); end > 0 && plain(text[i+2:i+end]) {
					if c == '{' && string(text[i+2:i+end]) == "ifs" {
						out = append(out, ' ')
					}
					i += end
					continue
				}
			}
		case (b == '<' || b == '>') && i+2 < len(text) && text[i+1] == '(' && text[i+2] == ')':
			i += 2
			continue
		case b == '[' && i+2 < len(text) && alphanumeric(text[i+1]) && text[i+2] == ']' && i > 0 && (alphanumeric(text[i-1]) || text[i-1] == '/'):
			out = append(out, text[i+1])
			i += 2
			continue
		}
		out = append(out, b)
	}
	if len(out) == len(text) {
		return text
	}
	return out
}

func closing(b byte) byte {
	if b == '{' {
		return '}'
	}
	return ')'
}

// plain tells whether s is a word that a shell would look up as a variable or, empty
// of output, run: "a", "ifs", "echo", "u".
func plain(s []byte) bool {
	for _, b := range s {
		if !alphanumeric(b) && b != '_' {
			return false
		}
	}
	return len(s) > 0 && (len(s) == 1 || string(s) == "ifs" || string(s) == "echo")
}
