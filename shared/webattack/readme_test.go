package webattack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkREADMEs holds the table of recall in both READMEs to what was measured: the row
// that begins with the family's number (or the last, of all) and its figures.
func checkREADMEs(t *testing.T, family string, found, all, negatives int) {
	t.Helper()
	figures := fmt.Sprintf(" | %d/%d | %.1f %% | 0/%d |", found, all, 100*float64(found)/float64(all), negatives)
	for file, total := range map[string]string{"README.md": "all", "README.zh-CN.md": "合计"} {
		text, err := os.ReadFile(filepath.Join("..", "..", file))
		if err != nil {
			t.Fatal(err)
		}
		begin := "| " + family + " "
		if family == "all" {
			begin = "| " + total + " "
		}
		row := ""
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, begin) && strings.Contains(line, " % |") {
				row = strings.TrimSpace(line)
			}
		}
		if !strings.HasSuffix(row, figures) {
			t.Errorf("%s says %q of %s, and it was measured%s", file, row, family, figures)
		}
	}
}
