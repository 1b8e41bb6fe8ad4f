package webattack

import "testing"

// One line of a megabyte must cost less than 10 ms, whatever stands in it.
func BenchmarkAMegabyteOfHostileText(b *testing.B) {
	for name, text := range hostile(1 << 20) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Inspect(Request{Path: text})
			}
		})
	}
}
