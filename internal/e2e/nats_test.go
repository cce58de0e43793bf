package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/natscluster"
)

func natsServers(t *testing.T, n int) *natscluster.Cluster {
	t.Helper()
	binary, err := natscluster.Build(t.TempDir())
	must(t, err)
	return binary.Start(t, n)
}

// onCluster makes a node's folder.
func onCluster(t *testing.T, url, more string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(fmt.Sprintf("nats: {url: '%s', replicas: 1%s}\n", url, more)))
	write(t, dir, "rules/a.yaml", "rules:\n  - name: all\n    condition: PairCount > 0\n    actions:\n      "+
		"- {type: log, message: '{{ From_Account }}', file: seen.jsonl}\n")
	return dir
}

// On an existing JetStream server the program does what it does on its own store, over restarts of either side.
func TestExistingNATS(t *testing.T) {
	c := natsServers(t, 1)
	dir := onCluster(t, c.URL(), ", spool: false")
	s := start(t, dir)
	s.Deliver("a", "b")
	eventually(t, "the first delivery", func() bool { return s.Status().Counts.Deliveries.Done == 1 })

	c.Servers[0].Kill()
	if code, answer, err := s.Post("", packet("lost", "in time")); err != nil || code != 503 {
		t.Errorf("without the cluster: %d %s %v", code, answer, err)
	}
	c.Heal()
	eventually(t, "callbacks to be stored again", func() bool {
		code, _, err := s.Post("", packet("c", "d"))
		return err == nil && code == 200
	})
	eventually(t, "the second delivery", func() bool { return len(jsonLines(t, filepath.Join(dir, "seen.jsonl"))) >= 2 })
	if code := s.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	s = start(t, dir)
	if d := s.Status().Counts.Deliveries; d.Done < 2 {
		t.Errorf("after a restart: %+v", d)
	}

	s.Stop()
	c.Servers[0].Kill()
	s = start(t, dir) // it waits 10 s for the cluster, and goes on without
	if code, body := s.Request("GET", "/readyz"); code != 503 || !strings.Contains(string(body), "the cluster is not there yet") {
		t.Errorf("readyz of a node that started without the cluster: %d %s", code, body)
	}
	c.Heal()
	eventually(t, "readyz to be 200", func() bool {
		code, _ := s.Request("GET", "/readyz")
		return code == 200
	})
	s.Deliver("e", "f")
}

// spoolStatus is the part of status and readyz that says what a node keeps alone.
type spoolStatus struct {
	Store struct {
		OK    bool
		Spool struct {
			Callbacks, Bytes uint64
			Oldest           time.Time
			Away             string
		}
	}
}

func spoolOf(t *testing.T, s *server, path string, want int) spoolStatus {
	t.Helper()
	code, body := s.Request("GET", path)
	var st spoolStatus
	if err := json.Unmarshal(body, &st); err != nil || code != want {
		t.Fatalf("%s: %d %s %v", path, code, body, err)
	}
	return st
}

// While the cluster is away a node takes callbacks, says what it keeps, and keeps it over a kill; a node that starts then does too.
func TestSpool(t *testing.T) {
	c := natsServers(t, 1)
	dir := onCluster(t, c.URL(), "")
	s := start(t, dir)
	s.Deliver("u0", "friend")
	eventually(t, "the first delivery", func() bool { return s.Status().Counts.Deliveries.Done == 1 })
	c.Servers[0].Kill()
	for i := range 20 {
		s.Deliver(fmt.Sprint("u", i+1), "friend")
	}
	for _, path := range []string{"/api/v1/status", "/readyz"} {
		st := spoolOf(t, s, path, 200).Store
		if !st.OK || st.Spool.Callbacks != 20 || st.Spool.Bytes == 0 || st.Spool.Oldest.IsZero() || st.Spool.Away == "" {
			t.Errorf("%s without the cluster: %+v", path, st)
		}
	}
	refused := s.Status().Counts.Refused
	s.Kill()
	s = start(t, dir) // it waits 10 s for the cluster, and goes on without
	for i := range 20 {
		s.Deliver(fmt.Sprint("u", i+21), "friend")
	}
	if refused = max(refused, s.Status().Counts.Refused); refused > 1 { // one may be, where the disk stood still for longer than a callback may wait
		t.Errorf("%d callbacks were refused before they were taken", refused)
	}
	if st := spoolOf(t, s, "/readyz", 200).Store; st.Spool.Callbacks != 40 || st.Spool.Away == "" {
		t.Errorf("started without the cluster: %+v", st)
	}
	c.Heal()
	eventually(t, "all deliveries", func() bool { return s.Status().Counts.Deliveries.Done == 41 })
	eventually(t, "the spool to be empty", func() bool { return spoolOf(t, s, "/readyz", 200).Store.Spool.Callbacks == 0 })
	if got := s.Status().Counts; got.Callbacks != 41 || got.Repeats > refused || got.Waiting != 0 {
		t.Errorf("counts %+v", got)
	}
	seen := map[any]int{}
	for _, line := range jsonLines(t, filepath.Join(dir, "seen.jsonl")) {
		seen[line["message"]]++
	}
	if len(seen) != 41 {
		t.Errorf("%d of 41 callbacks are in the log", len(seen))
	}
}
