package torture

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// pendingRules send the accounts that begin with "dead" to one action and those that begin with "well" to another.
const pendingRules = `
actions:
  dead: {type: webhook, url: "%[1]s/dead", concurrency: 8, retry: {min: 1s, max: 10s}}
  well: {type: webhook, url: "%[1]s/well", concurrency: 32}
rules:
  - {name: dead, condition: 'From_Account startsWith "dead"', actions: [dead]}
  - {name: well, condition: 'From_Account startsWith "well"', actions: [well]}
`

// manyPairs is how many pairs a packet of this test has.
const manyPairs = 100

// Many deliveries that wait for a dead receiver take little room on disk and in memory, do not delay a start nor another action's
// deliveries, and reach the receiver when it is back without a storm, each once.
//
//	go test ./internal/torture -run TestTorturePending -v -timeout 0 -torture.rounds 1000
//
// A round is a callback of 100 pairs: 1,000 make 100,000 pending deliveries. The speeds are for a quiet machine to judge: they are printed, and
// beside them what a healthy delivery costs the program's processor, which other programs falsify less. Both are measured with the history at
// rest: what became pending a moment ago is written into it for some seconds more, as what succeeded is. In the long form they are measured once
// more when the receiver has been dead for a minute: what is put off comes back and is put off again, the longer it has been the less often.
// A short run prints the same twice.
func TestTorturePending(t *testing.T) {
	callbacks := rounds(50)
	pending := callbacks * manyPairs
	to := newGauge(t)
	dir := newFolder(t, fmt.Sprintf(pendingRules, to.URL), "")
	s := built.Start(t, dir)
	// The first of each route opens connections; what follows measures. The memory that pending deliveries take is what there is more of
	// than after as many that succeeded at once: a burst of either leaves the collector's room behind.
	to.fill(t, s, "well", "warm", 1)
	idle := residentMemory(t, s.PID())
	alone := measured(t, s, func() float64 { return to.fill(t, s, "well", "a", callbacks) })
	rss := residentMemory(t, s.PID())

	to.dead.Store(true)
	died := time.Now()
	sent := to.send(t, s, "dead", "d", callbacks)
	program.Within(t, 5*time.Minute, "all to be pending", func() bool {
		st := s.Status()
		return st.Counts.Waiting == 0 && int(st.Counts.Deliveries.Pending) == pending
	})
	grown := residentMemory(t, s.PID()) - rss
	beside := measured(t, s, func() float64 { return to.fill(t, s, "well", "b", callbacks) })
	later := beside
	if *roundsFlag > 0 {
		program.Within(t, 2*time.Minute, "the receiver to be dead for a minute", func() bool { return time.Since(died) > time.Minute })
		later = measured(t, s, func() float64 { return to.fill(t, s, "well", "c", callbacks) })
	}
	program.Within(t, time.Minute, "what has arrived to be recorded", func() bool {
		return int(s.Status().Counts.Deliveries.Pending) == pending
	})
	parked, all := folderSize(t, dir, "aftermath_later"), folderSize(t, dir, "")
	s.Kill()
	before := time.Now()
	s = built.Start(t, dir)
	starting := time.Since(before)
	if got := int(s.Status().Counts.Deliveries.Pending); got != pending {
		t.Errorf("%d deliveries are pending after a kill, want %d", got, pending)
	}

	to.dead.Store(false)
	before = time.Now()
	st := handled(t, s)
	drained := time.Since(before)
	t.Logf("%d pending deliveries: %d bytes each on disk (%.1f MB; the whole data folder has %.1f MB), %.1f MB more memory than after as many that succeeded (%.1f MB more than idle), a start in %s; healthy "+
		"deliveries at %.0f/s at once, %.0f/s after a minute, %.0f/s alone (%.2f, %.2f; for %.0f, %.0f and %.0f µs of the processor each); drained in %s, at most %d at once",
		pending, parked/int64(pending), float64(parked)/1e6, float64(all)/1e6, float64(grown)/1e6, float64(grown+rss-idle)/1e6, starting.Round(time.Millisecond),
		beside.speed, later.speed, alone.speed, beside.speed/alone.speed, later.speed/alone.speed,
		beside.cpu*1e6/float64(pending), later.cpu*1e6/float64(pending), alone.cpu*1e6/float64(pending), drained.Round(time.Millisecond), to.most["dead"])
	// What was put off before is gone from the stream, and from the disk once its last file is full: on a slow machine that is much.
	if most := 300*int64(pending) + 4<<20; parked > most {
		t.Errorf("%d pending deliveries take %d bytes on disk, want %d at most", pending, parked, most)
	}
	if *roundsFlag > 0 && grown > 100e6 {
		t.Errorf("%d pending deliveries take %d bytes of memory", pending, grown)
	}
	to.check(t, "dead", sent, 8)
	if d := st.Counts.Deliveries; d.Done != d.Created || d.Dead+d.Discarded != 0 {
		t.Errorf("in the end the counts are %+v", d)
	}
}

// speed is how fast deliveries went, and how many seconds of the processor the program took meanwhile.
type speed struct{ speed, cpu float64 }

// measured calls f once the history is at rest, and gives what f does, and what that took of the processor until it is at rest again.
func measured(t testing.TB, s *program.Server, f func() float64) speed {
	t.Helper()
	// It says how far it is, not how far it has to go.
	atRest := func() {
		var at uint64
		since := time.Now()
		program.Within(t, time.Minute, "the history to catch up", func() bool {
			_, body := s.Request(http.MethodGet, "/api/v1/status")
			var st struct{ History struct{ Seq uint64 } }
			if err := json.Unmarshal(body, &st); err != nil || st.History.Seq != at {
				at, since = st.History.Seq, time.Now()
			}
			return time.Since(since) > time.Second
		})
	}
	atRest()
	before := processorTime(t, s.PID())
	v := f()
	atRest()
	return speed{v, processorTime(t, s.PID()) - before}
}

// processorTime is how many seconds of the processor a process has taken; 0 where the system does not say.
func processorTime(t testing.TB, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ") // behind the program's name
	var ticks float64
	for _, field := range strings.Fields(rest)[11:13] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return ticks / 100
}

// gauge is a receiver that counts deliveries, and how many come at once.
type gauge struct {
	URL  string
	dead atomic.Bool

	mu      sync.Mutex
	arrived map[string]map[string]int // by route and account, how often
	now     map[string]int            // by route, requests under way
	most    map[string]int
}

func newGauge(t testing.TB) *gauge {
	g := &gauge{arrived: map[string]map[string]int{"dead": {}, "well": {}}, now: map[string]int{}, most: map[string]int{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.URL = server.URL
	return g
}

func (g *gauge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route := strings.TrimPrefix(r.URL.Path, "/")
	g.mu.Lock()
	g.now[route]++
	g.most[route] = max(g.most[route], g.now[route])
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now[route]--
	}()
	var event struct {
		Data struct {
			From string `json:"From_Account"`
		}
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &event)
	}
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case route == "dead" && g.dead.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.arrived[route][event.Data.From]++
	}
}

// send posts callbacks and gives the accounts in them.
func (g *gauge) send(t testing.TB, s *program.Server, route, name string, callbacks int) (accounts []string) {
	t.Helper()
	var wg sync.WaitGroup
	for c := range callbacks {
		var pairs []string
		for p := range manyPairs {
			account := fmt.Sprintf("%s-%s-%d-%d", route, name, c, p)
			accounts = append(accounts, account)
			pairs = append(pairs, fmt.Sprintf(`{"From_Account":%q,"To_Account":"friend"}`, account))
		}
		packet := `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[` + strings.Join(pairs, ",") + `]}`
		wg.Go(func() {
			if err := s.PostOK(packet); err != nil {
				t.Errorf("callback %d: %v", c, err)
			}
		})
		if c%8 == 7 {
			wg.Wait()
		}
	}
	wg.Wait()
	return accounts
}

// fill sends callbacks and waits until all of it has arrived; it gives how many deliveries did in a second.
func (g *gauge) fill(t testing.TB, s *program.Server, route, name string, callbacks int) float64 {
	t.Helper()
	before := g.count(route)
	started := time.Now()
	n := len(g.send(t, s, route, name, callbacks))
	program.Within(t, 5*time.Minute, "all deliveries to "+route, func() bool { return g.count(route)-before >= n })
	return float64(n) / time.Since(started).Seconds()
}

func (g *gauge) count(route string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.arrived[route])
}

// check wants each of the accounts to have arrived once, but for what ran at a kill, and never more than so many at once.
func (g *gauge) check(t testing.TB, route string, accounts []string, concurrency int) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	lost, again := 0, 0
	for _, account := range accounts {
		switch n := g.arrived[route][account]; {
		case n == 0:
			lost++
		case n > 1:
			again++
		}
	}
	if lost > 0 || again > 0 || len(g.arrived[route]) != len(accounts) {
		t.Errorf("of %d deliveries %d were lost and %d came again; %d arrived", len(accounts), lost, again, len(g.arrived[route]))
	}
	if g.most[route] > concurrency {
		t.Errorf("%d deliveries came at once, the action's concurrency is %d", g.most[route], concurrency)
	}
}

// residentMemory is how much memory a process takes, in bytes; 0 where the system does not say.
func residentMemory(t testing.TB, pid int) int64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(data))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// folderSize is how many bytes the files have whose path, below the data folder, has name in it.
func folderSize(t testing.TB, dir, name string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, name) {
			return nil // a file may vanish meanwhile
		}
		if info, err := d.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
