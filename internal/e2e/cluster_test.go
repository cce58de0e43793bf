package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// Two nodes on one cluster: what one took the other may handle, each delivery says which rule set decided it, either lists and replays
// what died at any, the counts are those of both, and the work of a node that dies is taken over.
func TestTwoNodes(t *testing.T) {
	c := natsServers(t, 1)
	var broken, hang atomic.Bool
	calls := make(chan string, 1000) // the rule set that each says
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct {
			Data struct {
				RuleSet string `json:"rule_set"`
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			return // its sender was killed
		}
		calls <- event.Data.RuleSet
		switch {
		case broken.Load():
			w.WriteHeader(http.StatusGone)
		case hang.Load():
			<-r.Context().Done()
		}
	}))
	t.Cleanup(receiver.Close)
	rules := func(label string) string {
		return "rules:\n  - name: all\n    condition: PairCount > 0\n    labels: {set: " + label + "}\n    actions:\n      " +
			"- {type: webhook, name: hook, url: " + receiver.URL + ", timeout: 3s, retry: {min: 250ms, max: 1s}}\n"
	}
	var nodes []*server
	for _, label := range []string{"one", "two"} {
		dir := onCluster(t, c.URL(), "")
		write(t, dir, "rules/a.yaml", rules(label))
		nodes = append(nodes, start(t, dir))
	}
	sets := map[string]bool{}
	for _, n := range nodes {
		sets[n.Status().Rules.Running.Hash] = true
	}
	if len(sets) != 2 {
		t.Fatalf("the nodes run %v", sets)
	}
	const n = 40
	for i := range n {
		nodes[i%2].Deliver(fmt.Sprint("u", i), "friend")
	}
	same := func(what string, ok func(st program.Status) bool) {
		t.Helper()
		for _, node := range nodes {
			eventually(t, what+" at each node", func() bool { return ok(node.Status()) })
		}
	}
	same("all deliveries", func(st program.Status) bool { return st.Counts.Deliveries.Done == n && st.Counts.Callbacks == n })
	decided := map[string]int{}
	for range n {
		decided[<-calls]++
	}
	for set := range decided {
		if !sets[set] {
			t.Errorf("deliveries were decided by the set %q, which no node runs", set)
		}
	}
	t.Logf("decided by %v", decided)

	broken.Store(true)
	nodes[0].Deliver("dies", "friend")
	same("the dead letter", func(st program.Status) bool { return st.Counts.Deliveries.Dead == 1 })
	broken.Store(false)
	for _, node := range nodes {
		eventually(t, "the dead letter in the list", func() bool { return len(node.Deliveries("status=dead")) == 1 })
	}
	id, _ := nodes[1].Deliveries("status=dead")[0]["id"].(string)
	if code, body := nodes[1].Send(http.MethodPost, "/api/v1/deliveries/"+id+"/replay", ""); code != 200 {
		t.Errorf("replay at the other node: %d %s", code, body)
	}
	same("the replay", func(st program.Status) bool { d := st.Counts.Deliveries; return d.Dead == 0 && d.Done == n+1 })

	for len(calls) > 0 {
		<-calls
	}
	hang.Store(true)
	for i := range 10 {
		nodes[i%2].Deliver(fmt.Sprint("v", i), "friend")
	}
	for range 10 {
		<-calls // every attempt has begun, at whichever node
	}
	hang.Store(false)
	nodes[0].Kill()
	killed := time.Now()
	program.Within(t, 2*time.Minute, "the other node to take over", func() bool {
		d := nodes[1].Status().Counts.Deliveries
		return d.Done == n+11 && d.Pending == 0
	})
	t.Logf("taken over %s after the kill", time.Since(killed).Round(time.Second))

	// A folder that an embedded store was in is not taken for a node's.
	old := t.TempDir()
	write(t, old, "aftermath.yaml", config(""))
	write(t, old, "rules/a.yaml", rules("old"))
	s := start(t, old)
	s.Stop()
	write(t, old, "aftermath.yaml", config(fmt.Sprintf("nats: {url: '%s', replicas: 1}\n", c.URL())))
	s = launch(t, old, nil)
	if code := s.Exit(); code != 1 || !strings.Contains(s.Log(), "it holds an embedded store") {
		t.Errorf("on an embedded store's folder: exit %d\n%s", code, s.Log())
	}
}

// A node that is cut off for so long that its work is given to another one drops what it has begun: both have made the attempts, under
// the same ids, and each delivery is counted once, in the counts and in the history of either.
func TestNodeCutOff(t *testing.T) {
	c := natsServers(t, 1)
	const n = 10
	release := make(chan struct{})
	var mu sync.Mutex
	calls := map[string]int{} // by delivery id
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		id := r.Header.Get("Webhook-Id")
		mu.Lock()
		calls[id]++
		first := calls[id] == 1
		mu.Unlock()
		if first && strings.HasPrefix(r.URL.Path, "/slow") {
			<-release
		}
	}))
	t.Cleanup(receiver.Close)
	called := func(times int) (ids int) {
		mu.Lock()
		defer mu.Unlock()
		for _, have := range calls {
			if have == times {
				ids++
			}
		}
		return ids
	}
	rules := "rules:\n  - name: all\n    condition: PairCount > 0\n    actions:\n      - {type: webhook, name: hook, url: " + receiver.URL +
		"/slow, timeout: 3m, retry: {min: 250ms, max: 1s}}\n"
	door := c.Door()
	var nodes []*server
	for _, url := range []string{door.URL, c.URL()} {
		dir := onCluster(t, url, "")
		write(t, dir, "rules/a.yaml", rules)
		nodes = append(nodes, start(t, dir))
		if len(nodes) == 1 { // alone, so that it has them all
			for i := range n {
				nodes[0].Deliver(fmt.Sprint("u", i), "friend")
			}
			eventually(t, "the first node's attempts", func() bool { return called(1) == n })
		}
	}
	door.Cut()
	program.Within(t, 2*time.Minute, "the other node to do it again", func() bool {
		return called(2) == n && nodes[1].Status().Counts.Deliveries.Done == n
	})
	close(release) // now the first node's attempts succeed too
	door.Mend()
	nodes[0].Deliver("v", "friend")
	for i, node := range nodes {
		program.Within(t, time.Minute, "all to be counted", func() bool { return node.Status().Counts.Deliveries.Done > n })
		if got := node.Status().Counts; got.Deliveries.Created != n+1 || got.Deliveries.Done != n+1 || got.Callbacks != n+1 {
			t.Errorf("node %d counts %+v", i+1, got)
		}
		eventually(t, "the history", func() bool { return len(node.Deliveries("status=done")) == n+1 })
	}
	if called(2) != n || called(1) != 1 {
		t.Errorf("%d deliveries were made twice and %d once, want %d and 1", called(2), called(1), n)
	}
}
