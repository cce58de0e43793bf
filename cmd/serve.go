package cmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/admin"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/history"
	"github.com/aftermath-rules/aftermath/internal/netguard"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/systemd"
	"github.com/aftermath-rules/aftermath/rules"
)

const (
	answerTime = 5 * time.Second  // for requests under way when serve is asked to stop
	drainTime  = 10 * time.Second // for attempts that run then
	closeTime  = 10 * time.Second // for the store to write what it has
)

func newServeCommand(reg *actions.Registry) *cobra.Command {
	var path string
	var strict bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Receive callbacks, match them and run the actions",
		Long: `serve receives callbacks until it is told to stop (SIGTERM or ctrl-C). It follows every edit of the rules while it runs; SIGHUP, or a
change of the configuration, applies tokens, certificates and the log level.`,
		Example: `  aftermath serve -c /etc/aftermath/aftermath.yaml
  aftermath serve --strict     # with ./aftermath.yaml; refuse to start on broken rules, even where the last good ones are at hand`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := untilInterrupted(cmd.Context())
			defer stop()
			defer endAfter(ctx, drainTime+answerTime+closeTime, func() { os.Exit(exitFailure) })()
			return serve(ctx, reg, path, strict, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `FILE`")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 1 on broken rules instead of running the last good ones")
	return cmd
}

// endAfter calls end where the process has not ended a while after it was told to, since something hangs, such as a log that nobody
// reads: all that matters is stored. It waits no more once the function that it gives is called.
func endAfter(ctx context.Context, wait time.Duration, end func()) (ended func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-done:
			return
		case <-ctx.Done():
		}
		select {
		case <-done:
		case <-time.After(wait):
			end()
		}
	}()
	return func() { close(done) }
}

// defaultConfig is read where no configuration is named.
const defaultConfig = "aftermath.yaml"

// service is what serve is made of.
type service struct {
	started  time.Time
	cfg      *config.Config
	log      *zap.Logger
	level    zap.AtomicLevel
	mask     *secrets.Mask
	store    store
	files    *logentry.Files
	metrics  *prometheus.Registry
	engine   *engine.Engine
	history  *history.History
	feed     *admin.Feed
	rules    *rules.Live
	verifier *callback.Verifier
	ports    *ports
	follower *follower
	series   *admin.Series
	byRule   *admin.RuleSeries
	manager  *systemd.Notifier // nil where no service manager wants to hear

	adminToken atomic.Pointer[actions.Secret] // of the moment
}

// serve is the wiring, in one straight line: what fails, fails before a callback is taken.
func serve(ctx context.Context, reg *actions.Registry, path string, strict bool, stdout, stderr io.Writer) (err error) {
	// From the first moment: a reload that is asked for while a large store opens may not end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	cfg, err := config.Load(path)
	if err != nil {
		return problemsError(stderr, err)
	}
	s := &service{started: time.Now(), cfg: cfg, mask: &secrets.Mask{}, metrics: prometheus.NewRegistry()}
	s.mask.Add(cfg.SecretValues()...)
	s.log, s.level = newLogger(cfg.Log, stderr)
	defer func() { _ = s.log.Sync() }() // stderr may be a terminal, which has nothing to sync
	s.warn(cfg.Warnings)
	limitMemory()
	s.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	if s.store, err = openStore(ctx, cfg, s.log, s.metrics); err != nil {
		return unlessStopped(ctx, err)
	}
	defer func() { err = errors.Join(err, s.closeStore()) }()
	defer func() { err = unlessStopped(ctx, err) }()

	s.files = logentry.NewFiles(logFolder(cfg))
	defer func() { err = errors.Join(err, s.files.Close()) }()

	redactKey, err := redactKey(cfg)
	if err != nil {
		return err
	}
	s.history = history.New(history.Options{
		Path: filepath.Join(cfg.Data, historyFile), Source: s.store, Keep: cfg.Keep.Deliveries, Logger: s.log,
		Busy: func() bool { return s.engine.Busy() },
	})
	s.feed, s.byRule = admin.NewFeed(), admin.NewRuleSeries()
	s.engine = engine.New(engine.Options{
		Store: s.store, Logger: s.log, Registerer: s.metrics, Mask: s.mask,
		Dedupe: cfg.Callback.Dedupe, SenderRetries: cfg.Callback.SenderRetries, Drain: drainTime,
		RedactAccounts: cfg.Log.RedactAccounts, RedactKey: redactKey, Recorded: s.recorded,
	})

	if !awaitsCluster(s.store) {
		if err := s.engine.Load(ctx); err != nil {
			return err
		}
	}

	if s.ports, err = listen(cfg); err != nil {
		return err
	}
	defer s.ports.close()
	if s.manager, err = systemd.NewNotifier(os.Getenv); err != nil {
		s.log.Warn("the service manager does not hear how it goes", zap.Error(err)) // which is no reason not to do the work
	}
	defer s.manager.Close()
	guard := netguard.New(cfg.Network.Denied(), cfg.Network.Allowed(), netguard.Own(s.ports.addresses()...))
	s.rules = rules.NewLive(&rules.Loader{
		Roots:    []string{cfg.Rules},
		Registry: reg,
		Env:      actions.Env{Logger: s.log, Dial: guard.DialContext, LogFile: logFiles(cfg, s.files), SMTP: cfg.SMTP},
		Permit:   permit(cfg),
		Mask:     s.mask,
		Exclude:  []string{cfg.Data},
	}, rules.LiveOptions{
		LastGood: filepath.Join(cfg.Data, "rules-last-good"),
		Poll:     cfg.Poll,
		OnSwap:   s.engine.Swap,
		OnReload: s.reloaded,
	})
	if err := s.rules.Start(ctx, strict); err != nil {
		return problemsError(stderr, err)
	}
	if err := s.makePorts(); err != nil {
		return err
	}
	s.follower = newFollower(s, path, hup)
	s.hello(stdout)
	return s.run(ctx)
}

// unlessStopped gives err unless it is that serve was told to stop while it started, which is none.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// run runs all parts until ctx ends or one of them fails, and stops them so that the callback port is closed for as short a time as may
// be, should another process be about to take it over: first what handles callbacks, which may take a while, then what takes them.
// What comes in between is stored, and handled by the next start.
func (s *service) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	handling, stopHandling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHandling()
	answering, stopAnswering := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAnswering()
	part := func(name string, wg *sync.WaitGroup, run func() error) {
		wg.Go(func() {
			if err := run(); err != nil {
				stop(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	var handlers, receiving, others sync.WaitGroup
	part("engine", &handlers, func() error { return s.engine.Run(handling) })
	part("history", &others, func() error { return s.history.Run(ctx) })
	part("rules", &others, func() error { return s.rules.Run(ctx) })
	part("configuration", &others, func() error { return s.follower.run(ctx) })
	part("series", &others, func() error { return s.series.Run(ctx) })
	part("admin port", &others, s.ports.serveAdmin)
	part("callback port", &receiving, s.ports.serveCallbacks)
	part("watchdog", &others, func() error { s.manager.Watch(answering, s.ports.alive); return nil })
	s.manager.Ready(s.statusLine())

	<-ctx.Done()
	s.manager.Stopping("stopping: attempts that run are finished, the rest stays stored")
	s.log.Info("stopping", zap.Duration("at_most", drainTime+answerTime+closeTime))
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	stopHandling()
	handlers.Wait()
	err = errors.Join(err, s.ports.stopCallbacks())
	receiving.Wait()
	s.feed.Close()
	stopAnswering()
	err = errors.Join(err, s.ports.stopAdmin())
	others.Wait()
	return err
}

func (s *service) closeStore() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return s.store.Close(ctx)
}

// permit is what the configuration lets rules files use: never a variable that it uses itself.
func permit(cfg *config.Config) rules.Permit {
	return rules.Permit{Env: cfg.RulesMay.Env, DenyEnv: cfg.Env(), Files: cfg.RulesMay.Files,
		Logs: func(path string) string { return lives(cfg, path) }}
}

// redactKey is the key of redacted accounts: kept in the data folder, so that an account looks the same after a restart.
func redactKey(cfg *config.Config) ([]byte, error) {
	if !cfg.Log.RedactAccounts {
		return nil, nil
	}
	file := filepath.Join(cfg.Data, "redact.key")
	key, err := os.ReadFile(file)
	if err == nil && len(key) == 32 {
		return key, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, 32)
	rand.Read(key) // it never gives an error
	return key, renameio.WriteFile(file, key, 0o600)
}

// historyFile is the read model's, in the data folder. It may be deleted at any time.
const historyFile = "history.db"

// recorded tells those who show outcomes what came.
func (s *service) recorded(seq uint64, events []engine.Event) {
	s.history.Take(seq, events)
	s.feed.Outcomes(events)
	s.byRule.Recorded(events)
}

// reloaded tells the log and the metrics what came of a change on disk.
func (s *service) reloaded(r rules.Reload) {
	s.engine.ObserveReload(r.Err)
	s.feed.Reload(s.rulesStatus())
	s.manager.Status(s.statusLine())
	if r.NotKept != nil {
		s.log.Error("the rules run, but could not be kept as the last good ones", zap.Error(r.NotKept))
	}
	if r.Err != nil {
		what := "the rules on disk are broken: the running ones stay"
		if r.LastGood {
			what = "THE RULES ON DISK ARE BROKEN: the last good ones run instead; mend the files, or start with --strict to refuse this"
		}
		for _, line := range problemLines(r.Err) {
			s.log.Error(what, zap.String("problem", line), zap.String("running", r.Set.Hash))
		}
		return
	}
	s.warn(r.Set.Warnings)
	what := "rules loaded"
	if !r.Swapped {
		what = "the rules on disk are again the ones that run"
	}
	s.log.Info(what, zap.String("rule_set", r.Set.Hash), zap.Int("rules", len(r.Set.Rules)), zap.Duration("took", r.Took))
}

// warn logs warnings, each with its place.
func (s *service) warn(warnings rules.Problems) {
	for _, w := range warnings {
		w.Warning = false // the line's level says it
		s.log.Warn(w.String())
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// hostOf is how a client on this machine reaches a listener.
func hostOf(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
