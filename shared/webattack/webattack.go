// Package webattack reads what a client wrote into a request line, the Referer and
// the user agent, and says which kinds of attack on a web application stand in it.
//
// It is for requests that a query has already narrowed down, and quick enough to be
// asked about each line all the same. It sees text and nothing of the server: a
// finding says what was tried, never that it worked. It takes values and gives
// values, holds no state and reads no clock.
package webattack

// A Class is a kind of attack, by what the attacker wants the server or the next
// reader's browser to do with the text.
type Class string

const (
	// Exploit is an attempt at one known hole of one known product.
	Exploit Class = "known-exploit"
	// CommandInjection wants a shell to run a command.
	CommandInjection Class = "command-injection"
	// CodeInjection wants an interpreter or template engine to run code: PHP, Java
	// expression languages, JavaScript on the server, templates, serialized objects; or
	// the server to fetch or include what an address names (remote files, the cloud's
	// metadata).
	CodeInjection Class = "code-injection"
	// SQLInjection wants a database to run more than the application meant to ask.
	SQLInjection Class = "sql-injection"
	// PathTraversal wants a file that was not meant to be read: by steps up, by its well
	// known place, or because it lies there by mistake (.env, .git/config, a backup).
	PathTraversal Class = "path-traversal"
	// XSS wants the browser of whoever sees the text to run a script.
	XSS Class = "xss"
)

// A Request is what an access log keeps of a request, each field as it was logged. Any
// may be empty.
type Request struct {
	Path    string // the target with its query string, still percent-encoded
	Agent   string
	Referer string
}

// A Finding is one class seen in one field.
type Finding struct {
	Class Class
	Field string // "path", "agent" or "referer"
	Name  string // what was recognised: "CVE-2021-44228", "union select"
	Match string // the bytes, decoded and bounded; an attacker wrote them: escape before showing
}

// Classes returns all classes, the worst first. The slice is the caller's.
func Classes() []Class {
	return []Class{Exploit, CommandInjection, CodeInjection, SQLInjection, PathTraversal, XSS}
}

// ParseClass returns the class that s names, exactly as it is written.
func ParseClass(s string) (Class, bool) {
	for _, c := range Classes() {
		if string(c) == s {
			return c, true
		}
	}
	return "", false
}
