package torture

import (
	"context"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
	"github.com/aftermath-rules/aftermath/internal/load"
)

// sockets are held as a service manager holds them, and passed on to one program after the other.
type sockets struct{ files []*os.File }

func newSockets(t testing.TB) *sockets {
	s := &sockets{}
	for range 2 { // callback and admin
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		s.files = append(s.files, file)
	}
	return s
}

// start starts the program on the sockets. LISTEN_PID must be its own, which only a shell that becomes it can say.
func (s *sockets) start(t testing.TB, dir string) *program.Server {
	t.Helper()
	serve := built.Command(dir, []string{"LISTEN_FDS=2", "LISTEN_FDNAMES=callback:admin"})
	cmd := exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`}, serve.Args...)...)
	cmd.Env, cmd.ExtraFiles = serve.Env, s.files
	server := program.Launch(t, cmd)
	server.WaitUntilUp()
	return server
}

// The program is stopped and started again and again on sockets that its parent holds, while callbacks come in at a steady rate: no
// connection is refused, no request is cut off or refused, and nothing is lost.
//
// What it cannot show: a sender that sends on a connection which has been idle for half a second at the very moment at which it is closed;
// Go's client, like most, sends such a request again by itself when not a byte of it had been taken.
func TestTortureRestart(t *testing.T) {
	l := newLedger()
	hook := newReceiver(t, l)
	dir := newFolder(t, allRules(hook.URL), "")
	held := newSockets(t)
	s := held.start(t, dir)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	send := newSender(t, l, 64)
	send.client.Timeout = program.Patience // who waits is served, however slow the machine
	send.failed = func(err error) { t.Errorf("a callback got no answer: %v", err) }
	var sending sync.WaitGroup
	var latencies *load.Histogram
	sending.Go(func() { latencies = send.run(ctx, s.Callback, load.Plan{Rate: 200, Concurrency: 64}) })

	restarts := rounds(5)
	var down time.Duration
	for range restarts {
		enough := l.ok.Load() + 50
		program.Eventually(t, "callbacks to be answered", func() bool { return l.ok.Load() >= enough })
		began := time.Now()
		if code := s.Stop(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, program.Tail(s.Log(), 5))
		}
		s = held.start(t, dir)
		down += time.Since(began)
	}
	stop()
	sending.Wait()
	l.handled(t, s)
	l.readLog(t, dir)
	c := l.check(t, s, "hook", "log")
	if c.refused > mayRefuse(64) || c.unknown > 0 {
		t.Errorf("%d callbacks were refused and %d not answered", c.refused, c.unknown)
	}
	t.Logf("%d restarts of %s on average: %v; answered: median %s, 99 %% within %s, all within %s", restarts,
		(down / time.Duration(restarts)).Round(time.Millisecond), c, latencies.Quantile(0.5), latencies.Quantile(0.99), latencies.Quantile(1))
}
