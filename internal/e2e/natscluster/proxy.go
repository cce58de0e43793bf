package natscluster

import (
	"net"
	"regexp"
	"sync"
	"time"
)

// link decides whether bytes between two ends pass now.
type link func(from string) (passes bool)

// proxy listens in front of a server's port.
type proxy struct {
	l       net.Listener
	to      string
	link    link
	named   bool // who connects says its name: a route
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

func newProxy(to string, named bool, pass link) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{l: l, to: to, link: pass, named: named, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.serve(in) })
	}
}

// add keeps a connection so that close ends it; it tells whether the proxy is open.
func (p *proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *proxy) close() {
	p.l.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// routeName is in the INFO that a server sends first of all about itself; its CONNECT has but an id.
var routeName = regexp.MustCompile(`"server_name":"([^"]+)"`)

func (p *proxy) serve(in net.Conn) {
	defer p.drop(in)
	if !p.add(in) || !p.link("") {
		return
	}
	out, err := net.DialTimeout("tcp", p.to, time.Second)
	if err != nil {
		return
	}
	defer p.drop(out)
	if !p.add(out) {
		return
	}
	w := &wire{proxy: p}
	var both sync.WaitGroup
	both.Go(func() { w.pump(out, in, true) })
	both.Go(func() { w.pump(in, out, false) })
	both.Wait()
}

// wire is one connection through the proxy.
type wire struct {
	proxy *proxy
	mu    sync.Mutex
	from  string // the server that has connected, once it has said so
}

func (w *wire) name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.from
}

// pump copies what src says to dst, while the link is whole; what comes while it is not is dropped, and the connection with it when
// the link is whole again: a stream must not lose a part.
func (w *wire) pump(dst, src net.Conn, fromClient bool) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 64<<10)
	torn := false
	for {
		n, err := src.Read(buf)
		if fromClient && w.proxy.named && w.name() == "" {
			if m := routeName.FindSubmatch(buf[:n]); m != nil {
				w.mu.Lock()
				w.from = string(m[1])
				w.mu.Unlock()
			}
		}
		whole := w.proxy.link(w.name())
		switch {
		case !whole:
			torn = true
		case torn:
			return
		default:
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
