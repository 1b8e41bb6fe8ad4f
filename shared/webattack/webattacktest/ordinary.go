package webattacktest

import (
	_ "embed" // the requests are text
	"strings"

	"github.com/tracewall/tracewall/shared/webattack"
)

//go:embed ordinary.txt
var ordinary string

// Ordinary returns requests that nobody attacks with and that look as if: names,
// prose, code in search boxes, JSON, links, templates, paths, other languages, agents.
func Ordinary() []webattack.Request {
	var all []webattack.Request
	for line := range strings.Lines(ordinary) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# ") || line == "" {
			continue
		}
		fields := append(strings.Split(line, "\t"), "", "")
		all = append(all, webattack.Request{Path: fields[0], Agent: fields[1], Referer: fields[2]})
	}
	return all
}
