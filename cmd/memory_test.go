package cmd

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestCollectorPercent(t *testing.T) {
	const mb = 1 << 20
	cases := []struct {
		name          string
		live, scanned uint64 // MiB
		want          int
	}{
		{"at the start", 4, 2, 1600},
		{"buffers of the store", 90, 8, 40},
		{"more of them", 160, 8, 10},
		{"many rules", 100, 60, 80},
		{"nothing kept yet", 0, 0, 1600},
		{"far more than is wanted", 100_000, 1, 10},
	}
	for _, c := range cases {
		if got := collectorPercent(c.live*mb, c.scanned*mb); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// However much is kept, the soft limit is beyond what the heap may grow to: or the collector would run all the time.
func TestSoftLimit(t *testing.T) {
	const mb = 1 << 20
	for live := uint64(0); live < 4096*mb; live += 10 * mb {
		percent := collectorPercent(live, live/16)
		limit := softLimit(live, percent)
		if least := live + live*uint64(percent)/100; uint64(limit) < least+least/10 || limit < wantedTotal {
			t.Fatalf("%d MiB kept, %d %%: the limit is %d MiB", live/mb, percent, limit/mb)
		}
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	p := pacer{limits: true, most: 600 * mb}
	for _, live := range []uint64{400 * mb, 800 * mb, 400 * mb} { // the percentage is the same for all
		p.set(live, mb)
		if got, want := debug.SetMemoryLimit(-1), min(softLimit(live, p.percent), 600*mb); got != want {
			t.Errorf("%d MiB are kept, and the limit is %d MiB, want %d", live/mb, got/mb, want/mb)
		}
	}
}

// The pace follows the heap from one collection to the next.
func TestPaceFollowsTheHeap(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	runtime.GC() // what tests before this one kept is gone
	pacer{}.pace()
	small := gcPercent()
	kept := make([]byte, 256<<20)
	deadline := time.Now().Add(time.Minute)
	for now := small; now >= small; now = gcPercent() {
		if time.Now().After(deadline) {
			t.Fatalf("the pace is still %d %%, with 256 MiB more kept", now)
		}
		runtime.GC()
	}
	runtime.KeepAlive(kept)
}

// gcPercent reads the collector's pace.
func gcPercent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

func TestContainerLimit(t *testing.T) {
	cases := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"v2, its own limit", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n"}, 1000},
		{"v2, a lower limit above", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "1000\n", "sys/fs/cgroup/a/memory.max": "500\n"}, 500},
		{"v2, none", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 0},
		{"v2 in a container, where the path is the host's", map[string]string{"proc/self/cgroup": "0::/../../host\n", "sys/fs/cgroup/memory.max": "700\n"}, 700},
		{"v1", map[string]string{"proc/self/cgroup": "5:cpu,memory:/x\n1:name=systemd:/\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "900\n"}, 900},
		{"v1, none", map[string]string{"proc/self/cgroup": "5:memory:/x\n", "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := containerLimit(writeAll(t, c.files)); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestRecentShare(t *testing.T) {
	const mb = 1 << 20
	machine := map[string]string{"proc/meminfo": "MemFree: 1 kB\nMemTotal:       2097152 kB\n"}
	limited := func(limit string) map[string]string {
		return map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": limit + "\n", "proc/meminfo": machine["proc/meminfo"]}
	}
	cases := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"a container", limited("268435456"), 96 * mb},
		{"a small container", limited("10485760"), 64 * mb},
		{"a container without a limit", limited("max"), 128 * mb},
		{"a machine", machine, 128 * mb},
		{"a system that tells nothing", nil, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := recentShare(writeAll(t, c.files)); got != c.want {
				t.Errorf("got %d MiB, want %d", got/mb, c.want/mb)
			}
		})
	}
}

// writeAll makes a folder with these files.
func writeAll(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
