package cmd

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
)

// How much the heap may grow between two collections. It is made of what a collection costs, which is to look at all that may hold
// pointers: four times that, so that callbacks at full speed don't spend a core on it, and at least 64 MiB. Most of what is kept under load
// are buffers of the store, megabytes apiece, at which a collection needs not look; a percentage of all that is kept would let those
// quintuple. Where that would take the heap beyond 128 MiB, which with all else makes 256 MB, it is given half of it, less up to 32 MiB, or what
// there is.
const (
	leastRoom   = 64 << 20 // bytes
	roomPerScan = 4
	wantedHeap  = 128 << 20
	tightRoom   = 16 << 20
	mostSpared  = 32 << 20  // of half of what a collection's cost would allow
	wantedTotal = 160 << 20 // of all that the runtime takes, so that it gives back early what it does not need
)

// limitMemory sets the garbage collector's pace, and a soft limit: what the heap needs, and 160 MiB at least, but no more than a container
// leaves, so that garbage alone never costs the process its life. GOGC and GOMEMLIMIT, where they are set, hold instead.
func limitMemory() {
	p := pacer{limits: os.Getenv("GOMEMLIMIT") == "", most: math.MaxInt64}
	if limit := containerLimit("/"); limit > 0 && p.limits {
		p.most = containerShare(limit)
		debug.SetMemoryLimit(p.most)
	}
	if os.Getenv("GOGC") == "" {
		p.pace()
	}
}

// pacer sets the collector's pace now and after every collection.
type pacer struct {
	limits  bool  // it sets the soft limit as well
	most    int64 // that may be
	percent int   // as it was set last
	limit   int64 // as it was set last
}

func (p pacer) pace() {
	p.set(heapSizes())
	// The next collection finds that nobody has this any more. It holds a pointer, or it would share its memory with what lives longer.
	type sentinel struct{ _ *byte }
	runtime.AddCleanup(new(sentinel), pacer.pace, p)
}

// set sets what is to be different from before.
func (p *pacer) set(live, scanned uint64) {
	percent := collectorPercent(live, scanned)
	if percent != p.percent {
		p.percent = percent
		debug.SetGCPercent(percent)
	}
	if limit := min(softLimit(live, percent), p.most); p.limits && limit != p.limit {
		p.limit = limit
		debug.SetMemoryLimit(limit)
	}
}

// heapSizes gives how many bytes of the heap the last collection kept, and how many of them it had to look at.
func heapSizes() (live, scanned uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// collectorPercent is the room that the heap is given, as GOGC wants it: in percent of what is kept, in steps of ten.
func collectorPercent(live, scanned uint64) int {
	const smallest = 4 << 20 // what the collector takes a heap to keep that is smaller, or has not been collected yet
	room := max(leastRoom, roomPerScan*scanned)
	left := wantedHeap - min(live, wantedHeap)
	tight := roomPerScan/2*scanned - min(scanned, mostSpared)
	room = min(room, max(left, tight, tightRoom))
	return int(max(10*room/max(live, smallest), 1)) * 10
}

// softLimit lies above the room that the heap is given, in steps of 16 MiB: what lies at or below what is kept has the collector run all
// the time.
func softLimit(live uint64, percent int) int64 {
	const step = 16 << 20
	heap := live + live*uint64(percent)/100
	return int64((max(wantedTotal, heap+heap/8) + step - 1) / step * step)
}

// containerShare is what the Go runtime may take of a container's memory. The rest is for what it does not know of: the history's cache, the
// kernel's buffers of a thousand connections, and what waits to be written to the disk.
func containerShare(limit int64) int64 {
	return limit - max(limit/10, min(limit/4, 48<<20))
}

// recentShare is how many bytes of callbacks may be written within ten seconds, which the embedded store keeps in memory for so long: three
// eighths of what a container may use, or a sixteenth of the machine's memory. What is more is waited for, and refused in the end, so that
// large packets that don't compress cost no process its life. Others hardly come that far. 0 is no bound: the system tells nothing.
func recentShare(root string) int64 {
	const least = 64 << 20
	if limit := containerLimit(root); limit > 0 {
		return max(limit/8*3, least)
	}
	if total := machineMemory(root); total > 0 {
		return max(total/16, least)
	}
	return 0
}

// machineMemory is how many bytes the machine has; 0 where the system doesn't tell.
func machineMemory(root string) int64 {
	data, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "MemTotal:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64) // 0 where it is no number
			return kb << 10
		}
	}
	return 0
}

// containerLimit is the least memory limit of the process's control groups, in bytes, below the root of a file system; 0 where there
// is none. See the kernel's documentation of cgroup v2 (memory.max) and v1 (memory.limit_in_bytes).
func containerLimit(root string) int64 {
	data, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0
	}
	limit := int64(math.MaxInt64)
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		switch {
		case fields[0] == "0": // v2
		case strings.Contains(","+fields[1]+",", ",memory,"):
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// A limit of any group above holds too. In a container the group's own path may not be mounted; its root then is the group.
		for group := filepath.Clean("/" + fields[2]); ; group = filepath.Dir(group) {
			if data, err := os.ReadFile(filepath.Join(root, mount, group, file)); err == nil {
				if n, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64); err == nil && n > 0 {
					limit = min(limit, n)
				}
			}
			if group == "/" {
				break
			}
		}
	}
	if limit > math.MaxInt64/2 { // v1 writes "no limit" as a number of this size
		return 0
	}
	return limit
}
