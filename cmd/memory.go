package cmd

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent trades memory for time: the heap may grow to five times what lives before it is collected, so that callbacks at full
// speed don't spend a core on it.
const gcPercent = 400

// limitMemory sets the garbage collector's pace, and a soft limit a tenth below what the container may use, so that the pace never
// costs the process its life. GOGC and GOMEMLIMIT, where they are set, hold instead.
func limitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if limit := containerLimit("/"); limit > 0 {
		debug.SetMemoryLimit(limit - limit/10)
	}
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
