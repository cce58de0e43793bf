package cmd

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/internal/config"
)

// follower applies changes of the configuration, and of the secrets and certificates that it names, to a running service.
type follower struct {
	s      *service
	path   string
	hup    <-chan os.Signal
	files  []string          // that the configuration on disk is made of
	print  [sha256.Size]byte // of them, as they were last read
	broken bool              // the configuration was, then
}

func newFollower(s *service, path string, hup <-chan os.Signal) *follower {
	files := s.cfg.Files()
	return &follower{s: s, path: path, hup: hup, files: files, print: fingerprint(files)}
}

// followEvery is how often the files are looked at, should the rules' poll be longer: those have a watch besides.
const followEvery = 2 * time.Second

// run looks at the files at every poll, and at SIGHUP, until ctx ends. A few small files cost less to read than a watch of their
// folders costs to get right, and file systems that tell of no change are served too.
func (f *follower) run(ctx context.Context) error {
	tick := time.NewTicker(min(f.s.cfg.Poll, followEvery))
	defer tick.Stop()
	for seen := f.print; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-f.hup:
			f.s.log.Info("SIGHUP: reading the configuration and the rules")
			f.s.manager.Reloading()
			f.apply(ctx)
			if _, err := f.s.rules.Reload(ctx); err != nil && ctx.Err() == nil {
				f.s.log.Error("the rules on disk were not taken", zap.Error(err))
			}
			f.s.manager.Ready(f.s.statusLine())
		case <-tick.C:
			now := fingerprint(f.files)
			if now != f.print && now == seen { // it has stood still for one poll
				f.apply(ctx)
			}
			seen = now
		}
	}
}

// apply takes over what can change while the service runs, and says what needs a restart.
func (f *follower) apply(ctx context.Context) {
	f.print = fingerprint(f.files)
	next, err := config.Load(f.path)
	mended := f.broken && err == nil
	f.broken = err != nil
	if err != nil {
		for _, line := range problemLines(err) {
			f.s.log.Error("the configuration is broken: nothing of it was applied", zap.String("problem", line))
		}
		return
	}
	f.files = next.Files()
	f.print = fingerprint(f.files)
	f.s.mask.Add(next.SecretValues()...)
	live, restart := config.Diff(f.s.cfg, next)
	if len(live) > 0 {
		if err := f.applyLive(ctx, next); err != nil {
			f.s.log.Error("the configuration could not be applied", zap.Error(err))
			f.broken = true
			return
		}
		f.s.log.Info("the configuration was applied", zap.Strings("keys", live))
	}
	if mended && len(live)+len(restart) == 0 {
		f.s.log.Info("the configuration on disk is again the one that runs")
	}
	if len(restart) > 0 {
		f.s.log.Warn("the configuration has changes that need a restart", zap.Strings("keys", restart))
	}
}

// applyLive changes what Diff calls live. What needs a restart stays in s.cfg as it runs, so that it is told the next time too.
func (f *follower) applyLive(ctx context.Context, next *config.Config) error {
	s := f.s
	applied := config.Applied(s.cfg, next)
	if err := s.ports.guarded(applied.Admin.Token); err != nil {
		return err
	}
	if s.ports.tls != nil {
		if err := s.ports.tls.Reload(tlsFiles(applied)); err != nil {
			return fmt.Errorf("callback.tls: %w", err)
		}
	}
	if err := s.verifier.SetApps(callbackApps(applied)); err != nil {
		return err
	}
	s.adminToken.Store(&applied.Admin.Token)
	s.level.SetLevel(logLevel(applied.Log))
	server := s.cfg.SMTP
	s.cfg = applied
	if applied.SMTP == server {
		return nil
	}
	if err := s.rules.SetSMTP(ctx, applied.SMTP); err != nil && ctx.Err() == nil {
		s.log.Error("the mail server applies once the rules on disk are mended", zap.Error(err))
	}
	return nil
}

// fingerprint sums the content of the files; one that cannot be read counts as such.
func fingerprint(files []string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range files {
		data, err := os.ReadFile(name)
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		fmt.Fprintf(h, "%q %x %v\n", name, sha256.Sum256(data), err)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// problemLines gives each problem of an error.
func problemLines(err error) []string { return strings.Split(strings.TrimSpace(err.Error()), "\n") }
