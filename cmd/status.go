package cmd

import (
	"context"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/admin"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
	"github.com/aftermath-rules/aftermath/internal/trial"
)

// rulesStatus says what runs and what is on disk.
func (s *service) rulesStatus() admin.Rules {
	state := s.rules.State()
	r := admin.Rules{Disk: admin.DiskRules{OK: state.DiskOK, CheckedAt: state.CheckedAt, Errors: state.Errors}}
	if r.Disk.Errors == nil {
		r.Disk.Errors = []strictyaml.Problem{}
	}
	if set := s.engine.RuleSet(); set != nil {
		r.Running = &admin.RunningRules{Hash: set.Hash, Rules: len(set.Rules), LoadedAt: set.LoadedAt, LastGood: state.LastGood}
	}
	return r
}

// statusLine says it in a line, for the service manager.
func (s *service) statusLine() string {
	r := s.rulesStatus()
	if r.Running == nil {
		return "no rule set runs"
	}
	line := plural(r.Running.Rules, "rule") + ", set " + r.Running.Hash
	switch {
	case r.Running.LastGood:
		line += ", THE LAST GOOD ONE: the rules on disk are broken"
	case !r.Disk.OK:
		line += "; the rules on disk are broken, see rules.disk.errors in the status"
	}
	return line
}

func (s *service) status() admin.Status {
	st := s.engine.Status()
	return admin.Status{
		Version: Version, Uptime: time.Since(s.started).Seconds(), Rules: s.rulesStatus(), Counts: countsOf(st),
		Store: s.store.Status(), History: s.history.State(), Actions: st.Actions,
	}
}

func countsOf(st engine.Status) admin.Counts {
	counts := admin.CountsOf(st.Totals)
	counts.Waiting = st.Waiting
	return counts
}

func (s *service) counts() admin.Counts { return countsOf(s.engine.Status()) }

// source reads a rules file that is on disk. A secret does not belong into one, and does not show if it is there.
func (s *service) source(name string) ([]byte, error) {
	text, err := s.rules.Source(name)
	return s.mask.Bytes(text), err
}

// readiness is false only while callbacks cannot be stored or no rule set runs: a broken set on disk is said, and no more.
func (s *service) readiness() admin.Readiness {
	store := s.store.Status()
	r := admin.Readiness{Ready: true, Store: store, Rules: s.rulesStatus()}
	if !store.OK {
		r.Ready, r.Why = false, append(r.Why, "callbacks cannot be stored: "+store.Error)
	}
	if r.Rules.Running == nil {
		r.Ready, r.Why = false, append(r.Why, "no rule set runs")
	}
	return r
}

func (s *service) reload(ctx context.Context) (admin.Rules, error) {
	_, err := s.rules.Reload(ctx)
	return s.rulesStatus(), err
}

// actionTester sends sample deliveries of an app through actions of the running set, beside their queues.
func (s *service) actionTester(app int64) func(ctx context.Context, name string, dryRun bool) *trial.Report {
	return func(ctx context.Context, name string, dryRun bool) (report *trial.Report) {
		set := s.engine.RuleSet()
		if set == nil {
			return nil
		}
		s.engine.Borrow(name, func(inst *actions.Instance) { report = trial.Run(ctx, set, inst, app, dryRun, s.mask) })
		return report
	}
}
