package natscluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aftermath-rules/aftermath/internal/e2e/program"
)

// Binary is nats-server, built.
type Binary string

// Build builds nats-server into dir, of the version in go.mod.
func Build(dir string) (Binary, error) {
	path := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build nats-server: %w\n%s", err, out)
	}
	return Binary(path), nil
}

// Cluster is some servers that know of each other.
type Cluster struct {
	Servers []*Server
	t       testing.TB
	held    []net.Listener // addresses of servers that have not started yet

	mu  sync.Mutex
	cut map[string]bool // servers that are cut off from the others, by name
}

// Server is one of them.
type Server struct {
	Name    string
	c       *Cluster
	binary  Binary
	config  string
	log     string
	clients *proxy
	routes  *proxy
	cmd     *exec.Cmd
	paused  bool
}

// Start starts a cluster of n servers and waits until it can store. n of 1 is a server without a cluster. It is ended with the test.
func (b Binary) Start(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, cut: make(map[string]bool)}
	for i := range n {
		c.add(b, fmt.Sprintf("n%d", i+1))
	}
	for _, s := range c.Servers {
		s.configure(t, n)
	}
	t.Cleanup(c.stop)
	c.free()
	for _, s := range c.Servers {
		s.Start()
	}
	c.await(func(ctx context.Context, js jetstream.JetStream) error {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "probe", Subjects: []string{"probe"}, Replicas: n}); err != nil {
			return err
		}
		return js.DeleteStream(ctx, "probe")
	})
	return c
}

func (c *Cluster) add(b Binary, name string) {
	s := &Server{Name: name, c: c, binary: b}
	var err error
	s.clients, err = newProxy(c.hold(), false, func(string) bool { return true })
	if err == nil {
		s.routes, err = newProxy(c.hold(), true, func(from string) bool { return !c.isCut(name) && !c.isCut(from) })
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.Servers = append(c.Servers, s)
}

// hold gives a loopback address that nobody listens on, and holds it until the servers start, so that no two get the same.
func (c *Cluster) hold() string {
	c.t.Helper()
	l := program.Reserve(c.t)
	c.held = append(c.held, l)
	return l.Addr().String()
}

// free lets the servers have the addresses that are held for them.
func (c *Cluster) free() {
	for _, l := range c.held {
		l.Close()
	}
	c.held = nil
}

func (s *Server) configure(t testing.TB, n int) {
	dir := t.TempDir()
	s.log = filepath.Join(dir, "log")
	text := fmt.Sprintf("server_name: %s\nlisten: %q\nclient_advertise: %q\nlog_file: %q\nmax_payload: 8MB\nwrite_deadline: 5s\n"+
		"jetstream {store_dir: %q, sync_interval: always}\n", s.Name, s.clients.to, s.clients.addr(), s.log, filepath.Join(dir, "data"))
	if n > 1 {
		var others []string
		for _, o := range s.c.Servers {
			if o != s {
				others = append(others, fmt.Sprintf("%q", "nats://"+o.routes.addr()))
			}
		}
		text += fmt.Sprintf("cluster {name: test, listen: %q, advertise: %q, pool_size: -1, routes: [%s]}\nping_interval: 2s\n",
			s.routes.to, s.routes.addr(), strings.Join(others, ", "))
	}
	s.config = program.Write(t, dir, "nats.conf", text)
}

// URL is what an aftermath node connects to: any of the servers.
func (c *Cluster) URL() string {
	var urls []string
	for _, s := range c.Servers {
		urls = append(urls, s.URL())
	}
	return strings.Join(urls, ",")
}

// URL is where clients reach this server.
func (s *Server) URL() string { return "nats://" + s.clients.addr() }

// Start starts the process.
func (s *Server) Start() {
	s.c.t.Helper()
	s.cmd = exec.Command(string(s.binary), "-c", s.config)
	if err := s.cmd.Start(); err != nil {
		s.c.t.Fatal(err)
	}
}

// Kill kills the process, paused or not.
func (s *Server) Kill() {
	if s.cmd != nil {
		s.cmd.Process.Kill() // it may have ended
		s.cmd.Wait()
		s.cmd, s.paused = nil, false
	}
}

// Pause stops the process where it is, until Resume.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP, true) }

// Resume lets a paused process go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT, false) }

func (s *Server) signal(sig syscall.Signal, paused bool) {
	s.c.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.c.t.Fatal(err)
	}
	s.paused = paused
}

// Cut cuts the server off from the others; its clients still reach it.
func (s *Server) Cut() { s.c.setCut(s.Name, true) }

// Mend undoes Cut.
func (s *Server) Mend() { s.c.setCut(s.Name, false) }

func (c *Cluster) setCut(name string, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut[name] = cut
}

func (c *Cluster) isCut(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut[name]
}

// Heal starts what is killed, resumes what is paused and mends what is cut.
func (c *Cluster) Heal() {
	for _, s := range c.Servers {
		s.Mend()
		switch {
		case s.cmd == nil:
			s.Start()
		case s.paused:
			s.Resume()
		}
	}
}

// AwaitReady waits until the cluster answers about its streams.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	c.await(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.AccountInfo(ctx)
		return err
	})
}

// await waits until ask gives no error.
func (c *Cluster) await(ask func(context.Context, jetstream.JetStream) error) {
	c.t.Helper()
	program.Within(c.t, time.Minute, "the NATS servers to be ready", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		nc, err := nats.Connect(c.URL(), nats.Timeout(time.Second))
		if err != nil {
			return false
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return false
		}
		return ask(ctx, js) == nil
	})
}

func (c *Cluster) stop() {
	for _, s := range c.Servers {
		s.Kill()
		s.clients.close()
		s.routes.close()
	}
	if c.t.Failed() {
		for _, s := range c.Servers {
			if b, err := os.ReadFile(s.log); err == nil {
				lines := slices.DeleteFunc(strings.Split(string(b), "\n"), func(l string) bool { return !strings.Contains(l, "[WRN]") && !strings.Contains(l, "[ERR]") })
				c.t.Logf("%s said last:\n%s", s.Name, program.Tail(strings.Join(lines, "\n"), 10))
			}
		}
	}
}

// Door is a way to all servers of its own, which can be cut: what one client has.
type Door struct {
	URL     string
	proxies []*proxy
	cut     atomic.Bool
}

// Door makes one. It ends with the test.
func (c *Cluster) Door() *Door {
	c.t.Helper()
	d := &Door{}
	var urls []string
	for _, s := range c.Servers {
		p, err := newProxy(s.clients.to, false, func(string) bool { return !d.cut.Load() })
		if err != nil {
			c.t.Fatal(err)
		}
		d.proxies = append(d.proxies, p)
		urls = append(urls, "nats://"+p.addr())
	}
	c.t.Cleanup(func() {
		for _, p := range d.proxies {
			p.close()
		}
	})
	d.URL = strings.Join(urls, ",")
	return d
}

// Cut cuts the client off from all servers.
func (d *Door) Cut() { d.cut.Store(true) }

// Mend undoes Cut.
func (d *Door) Mend() { d.cut.Store(false) }

// Leader gives the server that leads a stream; nil where none does.
func (c *Cluster) Leader(stream string) *Server {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	nc, err := nats.Connect(c.URL(), nats.Timeout(time.Second))
	if err != nil {
		return nil
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil
	}
	st, err := js.Stream(ctx, stream)
	if err != nil || st.CachedInfo().Cluster == nil {
		return nil
	}
	for _, s := range c.Servers {
		if s.Name == st.CachedInfo().Cluster.Leader {
			return s
		}
	}
	return nil
}
