package jetstream_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		acceptForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

// open opens a store and closes it when the test ends.
func open(t testing.TB, o jetstream.Options) *jetstream.Store {
	t.Helper()
	s, err := tryOpen(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func tryOpen(t testing.TB, o jetstream.Options) (*jetstream.Store, error) {
	t.Helper()
	if o.Logger == nil {
		o.Logger = zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return jetstream.Open(ctx, o)
}

func closeStore(t testing.TB, s *jetstream.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

// opener makes the suite's Opener from options for a new store.
func opener(options func(*testing.T) jetstream.Options) storetest.Opener {
	used := make(map[engine.Store]jetstream.Options)
	remember := func(t *testing.T, o jetstream.Options) engine.Store {
		s := open(t, o)
		used[s] = o
		return s
	}
	return storetest.Opener{
		Open: func(t *testing.T) engine.Store { return remember(t, options(t)) },
		Reopen: func(t *testing.T, s engine.Store) engine.Store {
			closeStore(t, s.(*jetstream.Store))
			return remember(t, used[s])
		},
	}
}

func TestEmbedded(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(func(t *testing.T) jetstream.Options { return jetstream.Options{Dir: t.TempDir()} }))
}

// newServer runs a server with a listener on loopback, as an operator's cluster of one. Port -1 is any.
func newServer(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, MaxPayload: 8 << 20, SyncAlways: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server does not start")
	}
	return srv
}

func TestExternal(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(func(t *testing.T) jetstream.Options {
		return jetstream.Options{Dir: t.TempDir(), URL: newServer(t, t.TempDir(), server.RANDOM_PORT).ClientURL()}
	}))
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, jetstream.Options{Dir: dir})
	if _, err := tryOpen(t, jetstream.Options{Dir: dir}); !errors.Is(err, jetstream.ErrLocked) {
		t.Errorf("a second store on one folder: %v", err)
	}
}

func TestFolderMode(t *testing.T) {
	dir := t.TempDir() + "/data"
	open(t, jetstream.Options{Dir: dir})
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o700 {
		t.Errorf("the data folder has mode %o", mode)
	}
}
