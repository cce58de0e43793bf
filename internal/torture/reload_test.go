package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// While callbacks come in at a steady rate the rules are changed again and again: no callback fails, and each pair is decided by one
// set. Every set has a rule at its beginning and one at its end, in two files, that take every pair and bear the set's mark in
// their names; so a mixture would show in what a pair gave.
//
// What it cannot show: a mixture within one rule, since the marks tell rules apart and not their parts.
func TestTortureReload(t *testing.T) {
	t.Run("by POST reload", func(t *testing.T) {
		reloadUnderLoad(t, rounds(100), func(s *program.Server, _ string) {
			if code, body := s.Request(http.MethodPost, "/api/v1/reload"); code != http.StatusOK {
				t.Fatalf("reload: %d %s", code, body)
			}
		})
	})
	t.Run("by file", func(t *testing.T) {
		reloadUnderLoad(t, max(rounds(100)/20, 3), func(s *program.Server, before string) {
			program.Eventually(t, "the change to be seen", func() bool { return s.Status().Rules.Running.Hash != before })
		})
	})
}

// reloadUnderLoad changes the rules so many times; reload makes the program take what is on disk in place of the set before.
func reloadUnderLoad(t *testing.T, times int, reload func(s *program.Server, before string)) {
	l := newLedger()
	l.matches = 2
	marks := newMarks(l)
	hook := newReceiver(t, l)
	hook.behave(marks.take)
	dir := newFolder(t, "", "")
	writeMarked(t, dir, hook.URL)
	choose(t, dir, 0)
	s := built.Start(t, dir)

	rate := 300.0
	if *roundsFlag > 0 {
		rate = 1000
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	send := newSender(t, l, 64)
	send.client.Timeout = program.Patience // who waits is answered, however slow the machine
	send.failed = func(err error) { t.Errorf("a callback got no answer: %v", err) }
	var sending sync.WaitGroup
	var latencies *load.Histogram
	sending.Go(func() { latencies = send.run(ctx, s.Callback, load.Plan{Rate: rate, Concurrency: 64}) })
	for i := range times {
		before := s.Status().Rules.Running.Hash
		choose(t, dir, (i+1)%markCount)
		reload(s, before)
		if t.Failed() {
			break
		}
	}
	stop()
	sending.Wait()
	c := l.check(t, s, "first", "last")
	if c.refused > mayRefuse(64) || c.unknown > 0 {
		t.Errorf("%d callbacks were refused and %d not answered", c.refused, c.unknown)
	}
	marks.check(t)
	t.Logf("%d reloads: %v; decided by %d different sets; answered: median %s, 99 %% within %s", times, c, len(marks.hashes),
		latencies.Quantile(0.5), latencies.Quantile(0.99))
}

// markCount is how many sets there are: each reload brings the next one, around and around.
const markCount = 64

// writeMarked writes all sets, each into a folder of its own, as if they had been there for long: what was just written is not taken
// before it has stood still for a while.
func writeMarked(t *testing.T, dir, url string) {
	t.Helper()
	for mark := range markCount {
		rule := func(place string) string {
			return fmt.Sprintf("rules:\n  - {name: %s-%d, condition: PairCount > 0, actions: [hook]}\n", place, mark)
		}
		for name, text := range map[string]string{
			"a.yaml": "actions: {hook: {type: webhook, url: " + url + "}}\n" + rule("first"),
			"z.yaml": rule("last"),
		} {
			file := program.Write(t, dir, filepath.Join("rules", "..set"+strconv.Itoa(mark), name), text)
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, name := range []string{"a.yaml", "z.yaml"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, "rules", name)); err != nil {
			t.Fatal(err)
		}
	}
}

// choose makes a set the one that is on disk, in one step: the rules are links through ..data, as in a ConfigMap.
func choose(t *testing.T, dir string, mark int) {
	t.Helper()
	tmp := filepath.Join(dir, "rules", "..tmp")
	err := os.Symlink("..set"+strconv.Itoa(mark), tmp)
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, "rules", "..data"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// marks notes which sets decided each pair.
type marks struct {
	ledger *ledger

	mu     sync.Mutex
	sets   map[string][2]decided // by account: what its first and its last rule say
	hashes map[string]string     // the mark of each set, by hash
}

// decided is what a delivery says of the set that decided it.
type decided struct{ mark, hash string }

func newMarks(l *ledger) *marks {
	return &marks{ledger: l, sets: map[string][2]decided{}, hashes: map[string]string{}}
}

// take is the receiver's.
func (m *marks) take(w http.ResponseWriter, r *http.Request) {
	var event struct {
		Data struct {
			From string `json:"From_Account"`
			Rule string
			Set  string `json:"rule_set"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	place, mark, _ := strings.Cut(event.Data.Rule, "-")
	m.ledger.arrived(place, event.Data.From, r.Header.Get("webhook-id"))
	m.mu.Lock()
	defer m.mu.Unlock()
	both, side := m.sets[event.Data.From], 0
	if place == "last" {
		side = 1
	}
	both[side] = decided{mark, event.Data.Set}
	m.sets[event.Data.From] = both
}

// check wants each pair decided by one set, and each hash to stand for one mark.
func (m *marks) check(t *testing.T) {
	t.Helper()
	mixed := 0
	for account, both := range m.sets {
		if both[0] != both[1] {
			if mixed++; mixed <= 5 {
				t.Errorf("%s: its first rule is of %+v, its last one of %+v", account, both[0], both[1])
			}
		}
		for _, d := range both {
			if mark, known := m.hashes[d.hash]; known && mark != d.mark {
				t.Errorf("set %s is said to have the rules of mark %s and of mark %s", d.hash, mark, d.mark)
			}
			m.hashes[d.hash] = d.mark
		}
	}
	if mixed > 0 {
		t.Errorf("%d pairs were decided by a mixture of two sets", mixed)
	}
}
