package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func ctxFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// filled makes a folder with a store of n callbacks that was closed.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := tryOpen(t, jetstream.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := s.Accept(ctxFor(t, 10*time.Second), storetest.NewRecord(fmt.Sprintf("callback-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	return dir
}

// block gives the file with the accept stream's messages.
func block(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(jetstream.StreamDir(dir, "accept"), "msgs", "*.blk"))
	if err != nil || len(files) != 1 {
		t.Fatalf("blocks %v, %v", files, err)
	}
	return files[0]
}

func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsSaid(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string
	}{
		{"the stream's meta.inf is corrupt", func(t *testing.T, dir string) {
			edit(t, filepath.Join(jetstream.StreamDir(dir, "accept"), "meta.inf"), func([]byte) []byte { return []byte("{") })
		}, "meta.inf"},
		{"the stream's folder is gone", func(t *testing.T, dir string) {
			if err := os.RemoveAll(jetstream.StreamDir(dir, "accept")); err != nil {
				t.Fatal(err)
			}
		}, "it ends at message 0, but 5 were stored"},
		{"the end of the block is cut off", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(filepath.Dir(block(t, dir)), "index.db"))
			edit(t, block(t, dir), func(b []byte) []byte { return b[:len(b)-100] })
		}, "but 5 were stored"},
		{"a byte in the last pack is flipped", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(filepath.Dir(block(t, dir)), "index.db"))
			edit(t, block(t, dir), flip("callback-4"))
		}, ""},
		{"a byte in a pack in between is flipped", func(t *testing.T, dir string) { edit(t, block(t, dir), flip("callback-2")) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filled(t, 5)
			c.damage(t, dir)
			for range 2 { // the second start must not find it mended by the first
				s, err := tryOpen(t, jetstream.Options{Dir: dir, Logger: quiet()})
				if err == nil {
					closeStore(t, s)
				}
				var damage *jetstream.DamageError
				if !errors.As(err, &damage) {
					t.Fatalf("opening a damaged store: %v", err)
				}
				if damage.Dir != dir || damage.Stream != "aftermath_accept" || !strings.Contains(err.Error(), c.want) {
					t.Errorf("it says: %v", err)
				}
			}
		})
	}
}

func flip(in string) func([]byte) []byte {
	return func(b []byte) []byte {
		b[bytes.Index(b, []byte("name="+in))+5] ^= 0x20
		return b
	}
}

func TestMarkOfALaterRelease(t *testing.T) {
	dir := filled(t, 1)
	edit(t, filepath.Join(dir, "mark.json"), func(b []byte) []byte { return bytes.Replace(b, []byte(`"version":1`), []byte(`"version":2`), 1) })
	if _, err := tryOpen(t, jetstream.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "version 2: a newer release") {
		t.Errorf("got %v", err)
	}
}
