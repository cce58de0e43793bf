package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/admin"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/systemd"
)

// ports are the two that serve listens on.
type ports struct {
	path      string
	tls       *callback.TLS // nil for plain HTTP
	callbacks net.Listener
	adminPort net.Listener

	callbackServer *callback.Server
	adminServer    *http.Server
}

// Names of the sockets that a service manager may pass.
const (
	callbackSocket = "callback"
	adminSocket    = "admin"
)

// listen opens both ports, but for those that the service manager has opened already. Nothing is taken from them yet.
func listen(cfg *config.Config) (*ports, error) {
	p := &ports{path: cfg.Callback.Path}
	if cfg.Callback.TLS.Cert != "" {
		var err error
		if p.tls, err = callback.LoadTLS(tlsFiles(cfg)); err != nil {
			return nil, fmt.Errorf("callback.tls: %w", err)
		}
	}
	passed, err := systemd.Listeners(os.Getenv, callbackSocket, adminSocket)
	if err != nil {
		return nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	p.callbacks, p.adminPort = passed[callbackSocket], passed[adminSocket]
	if p.callbacks == nil {
		if p.callbacks, err = net.Listen("tcp", cfg.Callback.Listen); err != nil {
			return nil, fmt.Errorf("callback.listen: %w", err)
		}
	}
	if p.adminPort == nil {
		if p.adminPort, err = net.Listen("tcp", cfg.Admin.Listen); err != nil {
			return nil, errors.Join(fmt.Errorf("admin.listen: %w", err), p.callbacks.Close())
		}
	}
	if err := p.guarded(cfg.Admin.Token); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// guarded gives an error where others than this machine could reach the admin port and no token would keep them out. The
// configuration was checked for that; but the socket may be the service manager's, and the address the one of before an edit.
func (p *ports) guarded(token actions.Secret) error {
	if at, ok := p.adminPort.Addr().(*net.TCPAddr); token.Reveal() != "" || ok && at.IP.IsLoopback() {
		return nil
	}
	return fmt.Errorf("admin.token is required, since the admin port listens on %s, which is not a loopback address", p.adminPort.Addr())
}

// addresses are where the program listens, which its own actions may not call.
func (p *ports) addresses() []netip.AddrPort {
	var own []netip.AddrPort
	for _, l := range []net.Listener{p.callbacks, p.adminPort} {
		if at, ok := l.Addr().(*net.TCPAddr); ok {
			own = append(own, at.AddrPort())
		}
	}
	return own
}

func (p *ports) callbackURL() string {
	scheme := "http"
	if p.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + hostOf(p.callbacks.Addr()) + p.path
}

func (p *ports) adminURL() string { return "http://" + hostOf(p.adminPort.Addr()) }

// makePorts makes what answers at the ports.
func (s *service) makePorts() error {
	cb := s.cfg.Callback
	var err error
	s.verifier, err = callback.NewVerifier(callbackApps(s.cfg), callback.VerifierOptions{Path: cb.Path, MaxBody: int64(cb.MaxBody), MaxAge: cb.MaxAge})
	if err != nil {
		return err
	}
	options := callback.HandlerOptions{Wait: cb.Wait, SenderRetries: cb.SenderRetries, Observe: s.engine.ObserveCallback}
	if s.cfg.Keep.Quarantine > 0 {
		options.Quarantine = s.quarantine
	}
	handler := callback.NewHandler(s.verifier, s.engine.Accept, options)
	s.ports.callbackServer = callback.NewServer(handler, callback.ServerOptions{Wait: cb.Wait, TLS: s.ports.tls, Log: s.log})

	s.adminToken.Store(&s.cfg.Admin.Token)
	s.series = admin.NewSeries(s.counts, s.metrics)
	s.ports.adminServer = &http.Server{
		Handler: admin.New(admin.Options{
			Workbench: admin.Workbench{RuleSet: s.engine.RuleSet, TestAction: s.actionTester(cb.Apps[0].SdkAppid)},
			Token:     func() string { return s.adminToken.Load().Reveal() }, Hosts: adminHosts(s.cfg), Gatherer: s.metrics, Logger: s.log,
			Ready: s.readiness, Status: s.status, Reload: s.reload,
			Page: admin.Page{
				Mask: s.mask, Files: s.rules.Files, Source: s.source, Try: s.rules.Try, Tests: s.rules.Tests, LoadOpen: s.rules.LoadOpen,
				Series: s.series, RuleSeries: s.byRule,
			},
			Engine: s.engine, History: s.history, Journal: s.store, Feed: s.feed,
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	s.ports.adminServer.ErrorLog, err = zap.NewStdLogAt(s.log, zap.WarnLevel)
	return err
}

// quarantine keeps a packet that was refused. That it can't be kept changes nothing for the sender.
func (s *service) quarantine(ctx context.Context, r *callback.Refused) {
	q := &engine.Quarantined{At: r.Received, Query: r.Query, Body: r.Body, Error: r.Err.Error()}
	if err := s.engine.Quarantine(ctx, q); err != nil {
		s.log.Error("a refused packet could not be quarantined", zap.Error(err))
	}
}

func callbackApps(cfg *config.Config) []callback.App {
	apps := make([]callback.App, len(cfg.Callback.Apps))
	for i, a := range cfg.Callback.Apps {
		apps[i].SdkAppid = a.SdkAppid
		for _, t := range a.Tokens {
			apps[i].Tokens = append(apps[i].Tokens, t.Reveal())
		}
	}
	return apps
}

func tlsFiles(cfg *config.Config) callback.TLSFiles {
	t := cfg.Callback.TLS
	return callback.TLSFiles{Cert: t.Cert, Key: t.Key, ClientCA: t.ClientCA}
}

// adminHosts are the names that the admin port answers to where there is no token.
func adminHosts(cfg *config.Config) []string {
	names := cfg.Admin.Hosts
	if host, _, err := net.SplitHostPort(cfg.Admin.Listen); err == nil {
		names = append(names[:len(names):len(names)], host)
	}
	return names
}

func (p *ports) serveCallbacks() error { return p.callbackServer.Serve(p.callbacks) }

// alive asks the admin port whether the process works.
func (p *ports) alive(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.adminURL()+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/healthz answers %s", resp.Status)
	}
	return nil
}

func (p *ports) serveAdmin() error {
	if err := p.adminServer.Serve(p.adminPort); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// stopCallbacks takes no more and lets what is under way be answered.
func (p *ports) stopCallbacks() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	return p.callbackServer.Shutdown(ctx)
}

// stopAdmin ends the admin port. A request that takes long is cut off: it changes nothing by half.
func (p *ports) stopAdmin() error {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := p.adminServer.Shutdown(ctx); err != nil {
		return p.adminServer.Close()
	}
	return nil
}

// close closes the listeners, should they not have been closed by what served them.
func (p *ports) close() {
	_ = p.callbacks.Close()
	_ = p.adminPort.Close()
}
