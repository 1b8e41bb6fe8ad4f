package story_test

import (
	"fmt"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
)

func ExampleStory_Lines() {
	s, err := story.New(story.Config{Seed: 1, End: time.Date(2025, 5, 10, 5, 0, 0, 0, time.UTC)})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := 0
	for line := range s.Lines() {
		n += len(line.Msg)
	}
	fmt.Println(s.Len(), "lines,", len(s.Cast().Attackers), "attackers,", n>>20, "MiB")
	// Output: 240000 lines, 4112 attackers, 43 MiB
}
