package jetstream_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

// A start syncs nothing that is as it should be: on a busy disk, each description that is written again costs it.
func TestOpenLeavesDescriptionsAlone(t *testing.T) {
	dir := t.TempDir()
	keep := jetstream.Keep{Disk: 1 << 30}
	reopen := func() map[string]os.FileInfo {
		closeStore(t, open(t, jetstream.Options{Dir: dir, Keep: keep}))
		files := map[string]os.FileInfo{}
		for _, pattern := range []string{"*/meta.inf", "*/obs/*/meta.inf"} {
			found, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range found {
				if files[name], err = os.Stat(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		return files
	}
	same := func(a, b os.FileInfo) bool { return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) }

	first := reopen()
	if len(first) != 7 {
		t.Fatalf("%d descriptions, want those of five streams and two consumers", len(first))
	}
	if second := reopen(); !maps.EqualFunc(first, second, same) {
		t.Error("opening it again has written descriptions of streams or consumers")
	}
	keep.Disk *= 2
	accept := filepath.Join(dir, "jetstream", "$G", "streams", "aftermath_accept", "meta.inf")
	if third := reopen(); same(first[accept], third[accept]) {
		t.Error("a new bound of the disk has not been written")
	}
}
