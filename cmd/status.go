package cmd

import (
	"context"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
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

func (s *service) status() admin.Status {
	st := s.engine.Status()
	counts := admin.CountsOf(st.Totals)
	counts.Waiting = st.Waiting
	return admin.Status{
		Version: Version, Uptime: time.Since(s.started).Seconds(), Rules: s.rulesStatus(), Counts: counts,
		Store: s.store.Status(), History: s.history.State(), Actions: st.Actions,
	}
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
