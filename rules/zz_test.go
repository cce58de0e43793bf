package rules

import "testing"

func BenchmarkZZ(b *testing.B) {
	dir, _ := bigFolder(b, 100000, 1)
	for b.Loop() {
		loadRules(b, loader(b, dir), nil)
	}
}
