package e2e

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// On an existing JetStream cluster the program does what it does on its own store, over restarts of either side.
func TestExistingNATS(t *testing.T) {
	natsDir := t.TempDir()
	run := func(port int) *natsserver.Server {
		t.Helper()
		n, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: natsDir, NoSigs: true, SyncAlways: true})
		must(t, err)
		n.Start()
		if !n.ReadyForConnections(10 * time.Second) {
			t.Fatal("the NATS server does not start")
		}
		return n
	}
	n := run(natsserver.RANDOM_PORT)
	url := n.ClientURL()
	defer func() { n.Shutdown(); n.WaitForShutdown() }()

	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config("nats: {url: '"+url+"', replicas: 1}\n"))
	write(t, dir, "rules/a.yaml", ruleNamed("all"))
	s := start(t, dir)
	s.Deliver("a", "b")
	eventually(t, "the first delivery", func() bool { return s.Status().Counts.Deliveries.Done == 1 })

	port := n.Addr().(*net.TCPAddr).Port
	n.Shutdown()
	n.WaitForShutdown()
	if code, answer, err := s.Post("", packet("lost", "in time")); err != nil || code != 503 {
		t.Errorf("without the cluster: %d %s %v", code, answer, err)
	}
	n = run(port)
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
}
