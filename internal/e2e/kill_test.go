package e2e

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Whatever was answered OK before a kill -9 is handled after the restart, each callback counted once.
//
// What this cannot show: the loss of pages that the kernel had not yet written, since the kernel outlives the process.
func TestKillLosesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/all.yaml", `
rules:
  - name: all
    condition: PairCount > 0
    actions:
      - type: log
        message: "{{ From_Account }}"
        file: seen.jsonl
`)
	const rounds, producers = 20, 16
	answered := map[string]bool{} // by account
	for round := range rounds {
		s := start(t, dir)
		var (
			mu   sync.Mutex
			wg   sync.WaitGroup
			stop = make(chan struct{})
		)
		for p := range producers {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					account := fmt.Sprintf("r%d-p%d-%d", round, p, i)
					code, answer, err := s.post("", packet(account, "friend"))
					if err != nil {
						return // the process is gone
					}
					if code == 200 && answer == answerOK {
						mu.Lock()
						answered[account] = true
						mu.Unlock()
					}
				}
			})
		}
		before := len(answered)
		eventually(t, "callbacks to be answered", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(answered) > before+20
		})
		time.Sleep(time.Duration(round*17%200) * time.Millisecond) // so that the kills fall at different moments
		s.kill()
		close(stop)
		wg.Wait()
	}

	s := start(t, dir)
	var st status
	eventually(t, "all deliveries to be done", func() bool {
		st = s.status()
		return st.Counts.Callbacks >= uint64(len(answered)) && st.Counts.Waiting == 0 && st.Counts.Deliveries.Pending == 0
	})
	seen := map[string]int{}
	eventually(t, "every callback that was answered OK to be in the log", func() bool {
		clear(seen)
		for _, line := range jsonLines(t, filepath.Join(dir, "seen.jsonl")) {
			if m, ok := line["message"].(string); ok {
				seen[m]++
			}
		}
		for account := range answered {
			if seen[account] == 0 {
				return false
			}
		}
		return true
	})
	// What was stored but not answered before the last kill may be handled after the answered ones are.
	eventually(t, "what is in the log to be counted", func() bool {
		st = s.status()
		return int(st.Counts.Callbacks) >= len(seen) && st.Counts.Deliveries.Pending == 0
	})
	repeats := 0
	for _, n := range seen {
		repeats += n - 1
	}
	if c := st.Counts; c.Callbacks != c.Pairs || c.Matches != c.Callbacks || c.Deliveries.Created != c.Matches || c.Deliveries.Done != c.Deliveries.Created {
		t.Errorf("the counts don't fit one pair, one match and one delivery a callback: %+v", c)
	}
	if int(st.Counts.Callbacks) != len(seen) {
		t.Errorf("%d callbacks counted, %d seen in the log", st.Counts.Callbacks, len(seen))
	}
	t.Logf("%d kills, %d callbacks answered OK, 0 lost, %d lines repeated", rounds, len(answered), repeats)
}
