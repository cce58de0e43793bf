package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/backtest"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
	"github.com/aftermath-rules/aftermath/rules"
)

// backtestOptions are the flags of backtest.
type backtestOptions struct {
	config, since, packets string
	failOnChange, json     bool
	admin                  serveFlags
}

func newBacktestCommand(reg *actions.Registry) *cobra.Command {
	var o backtestOptions
	cmd := &cobra.Command{
		Use:   "backtest [flags] RULES...",
		Short: "Run stored callbacks through other rules and say what would change",
		Long: `backtest takes the callbacks that a running serve has in its journal, runs them through the rules that run there and through RULES
(files or folders), and tells rule by rule what the first fire for (before), what the second would (now), and examples of each
difference. With --packets it takes the callbacks from a file, no serve is needed, and before is what the rules of the configuration
fire for, as they are on disk. It runs no action and needs no secret but the admin token.

A file of packets has JSON lines {query, packet, at}, which GET /api/v1/callbacks gives with Accept: application/x-ndjson. Packets
alone and pages of that address do too.

A change is a pair that a rule gains or loses, or a rule that fires and has other actions. That an action itself was edited is
none. With --fail-on-change any change is exit code 1.`,
		Example: `  aftermath backtest -c /etc/aftermath/aftermath.yaml --since 24h ./rules
  aftermath backtest --packets packets.jsonl --fail-on-change ./rules      # for a pull request's check`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("needs the RULES to try: a folder or files\nRun %s --help for an example.", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, reg, args) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", defaultConfig, "the configuration `FILE`: it names serve's admin port and, with --packets, the rules of before")
	f.StringVar(&o.since, "since", "24h", "how far back to go: a `DURATION` such as 24h or 7d, or a time; with --packets all of them by default")
	f.StringVar(&o.packets, "packets", "", "take the callbacks from a `FILE` of JSON lines {query, packet, at} (- for standard input)")
	f.BoolVar(&o.failOnChange, "fail-on-change", false, "exit with 1 where anything would change")
	f.BoolVar(&o.json, "json", false, "print JSON")
	o.admin.add(cmd.Flags())
	return cmd
}

func (o *backtestOptions) run(cmd *cobra.Command, reg *actions.Registry, roots []string) error {
	since, err := sinceWhen(o.since, time.Now())
	if err != nil {
		return err
	}
	if o.packets != "" && !cmd.Flags().Changed("since") {
		since = time.Time{}
	}
	cfg, err := config.Load(o.config, config.IgnoreSecrets())
	if err != nil {
		return problemsError(cmd.ErrOrStderr(), err)
	}
	now, err := loadRules(cmd.Context(), offlineLoader(reg, cfg, roots), cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	b := &backtester{since: since, now: time.Now(), warn: cmd.ErrOrStderr(), step: spinner(cmd.ErrOrStderr())}
	if o.packets != "" {
		before, err := loadRules(cmd.Context(), offlineLoader(reg, cfg, nil), cmd.ErrOrStderr())
		if err != nil {
			return err
		}
		b.run, b.before = backtest.New(before, now), backtestSide{Paths: []string{cfg.Rules}, RuleSet: before.Hash, Rules: len(before.Rules)}
	}
	start := time.Now()
	if err := o.feed(cmd, b, now); err != nil {
		return err
	}
	b.step(-1)
	b.took = time.Since(start)
	report := b.report()
	report.Now = backtestSide{Paths: roots, RuleSet: now.Hash, Rules: len(now.Rules)}
	if o.json {
		err = writeJSON(cmd.OutOrStdout(), report)
	} else {
		_, err = io.WriteString(cmd.OutOrStdout(), report.text(painter(cmd.OutOrStdout())))
	}
	if err == nil && o.failOnChange && report.Changed > 0 {
		return &exitError{code: exitFailure}
	}
	return err
}

// sinceWhen reads a duration back from now, or a time.
func sinceWhen(s string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return at, nil
	}
	d, err := strictyaml.ParseDuration(s)
	if err != nil {
		return time.Time{}, usageErrorf("--since %q is no duration such as 24h or 7d, and no time such as 2026-11-22T08:00:00Z", s)
	}
	return now.Add(-d), nil
}

// feed runs all callbacks of the source.
func (o *backtestOptions) feed(cmd *cobra.Command, b *backtester, now *rules.RuleSet) error {
	if o.packets != "" {
		return b.fromFile(cmd.Context(), cmd.InOrStdin(), o.packets)
	}
	client, err := o.admin.client(cmd, o.config)
	if err != nil {
		return err
	}
	defer client.Close()
	err = b.fromJournal(cmd.Context(), client, now)
	if err != nil && !errors.As(err, new(*exitError)) && !errors.Is(err, context.Canceled) {
		return &exitError{code: exitFailure, err: err}
	}
	return err
}

// backtestReport is what a backtest came to.
type backtestReport struct {
	Before    backtestSide    `json:"before"`
	Now       backtestSide    `json:"now"`
	Callbacks uint64          `json:"callbacks"`
	Pairs     uint64          `json:"pairs"`
	Skipped   uint64          `json:"skipped"` // stored packets that are no friend-delete packets
	Changed   int             `json:"changed"` // rules
	TookMS    int64           `json:"took_ms"`
	Rules     []backtest.Rule `json:"rules"`
}

// backtestSide is one of the two rule sets that are compared.
type backtestSide struct {
	Running bool     `json:"running,omitempty"` // it is what serve runs
	Paths   []string `json:"paths,omitempty"`   // where it was loaded from
	RuleSet string   `json:"rule_set"`
	Rules   int      `json:"rules"`
}

func (s *backtestSide) String() string {
	if s.Running {
		return fmt.Sprintf("%s that serve runs, set %s", plural(s.Rules, "rule"), visible(s.RuleSet))
	}
	return fmt.Sprintf("%s of %s, set %s", plural(s.Rules, "rule"), visible(strings.Join(s.Paths, ", ")), s.RuleSet)
}

func (b *backtester) report() *backtestReport {
	r := &backtestReport{Before: b.before, Callbacks: b.run.Callbacks, Pairs: b.run.Pairs, Skipped: b.skipped, TookMS: b.took.Milliseconds(), Rules: b.run.Rules()}
	for i := range r.Rules {
		if r.Rules[i].Changed() {
			r.Changed++
		}
	}
	return r
}

// trailing are the spaces that a table leaves where a row's last cell is empty.
var trailing = regexp.MustCompile(` +\n`)

// text prints the rules that fired or changed, and examples of each difference.
func (r *backtestReport) text(p paint) string {
	var b, rows strings.Builder
	quiet := 0
	table := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tBEFORE\tNOW\tGAINED\tLOST\tREMARKS")
	for i := range r.Rules {
		rule := &r.Rules[i]
		if !rule.Changed() && rule.Before+rule.Now+rule.ShadowBefore+rule.ShadowNow+rule.ErrorsBefore+rule.ErrorsNow == 0 && rule.State == "" {
			quiet++
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%s\t%s\t%s\n", rule.Rule, rule.Before, rule.Now, signed("+", rule.Gained), signed("-", rule.Lost), remarks(rule))
	}
	fmt.Fprintf(&b, "before  %s\nnow     %s\n\n", &r.Before, &r.Now)
	if quiet < len(r.Rules) {
		_ = table.Flush() // into memory
		b.WriteString(trailing.ReplaceAllString(rows.String(), "\n"))
	}
	if quiet > 0 {
		fmt.Fprintf(&b, "%s fired for no pair, then or now\n", plural(quiet, "rule"))
	}
	for i := range r.Rules {
		rule := &r.Rules[i]
		for j, x := range rule.Examples {
			if j == 0 {
				fmt.Fprintf(&b, "\n%s\n", p.bold(rule.Rule))
			}
			line := fmt.Sprintf("%-6s  %s -> %s  %s", x.Change, visible(x.From), visible(x.To), x.At.Format(time.RFC3339))
			if x.Callback != "" {
				line += "  callback " + visible(x.Callback)
			} else if x.RequestID != "" {
				line += "  RequestId " + visible(x.RequestID)
			}
			if x.Change == "lost" {
				line = p.bad(line)
			} else {
				line = p.good(line)
			}
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	fmt.Fprintf(&b, "\n%s, %s: ", plural(int(r.Callbacks), "callback"), plural(int(r.Pairs), "pair"))
	switch {
	case r.Pairs == 0:
		b.WriteString("nothing to compare\n")
	case r.Changed == 0:
		b.WriteString("nothing would change\n")
	default:
		fmt.Fprintf(&b, "%s would change\n", plural(r.Changed, "rule"))
	}
	if r.Skipped > 0 {
		fmt.Fprintf(&b, "%s left out: no friend-delete packets\n", plural(int(r.Skipped), "callback"))
	}
	return b.String()
}

func signed(sign string, n uint64) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("%s%d", sign, n)
}

func remarks(r *backtest.Rule) string {
	var all []string
	if r.State != "" {
		all = append(all, r.State)
	}
	if r.ActionsNow != nil {
		all = append(all, fmt.Sprintf("actions %s, now %s", strings.Join(r.ActionsBefore, " "), strings.Join(r.ActionsNow, " ")))
	}
	if r.ShadowBefore+r.ShadowNow > 0 {
		all = append(all, fmt.Sprintf("as a shadow %d, now %d", r.ShadowBefore, r.ShadowNow))
	}
	if r.ErrorsBefore+r.ErrorsNow > 0 {
		all = append(all, fmt.Sprintf("condition failed on %d, now %d", r.ErrorsBefore, r.ErrorsNow))
	}
	return strings.Join(all, "; ")
}

// spinner gives a function to call with the pairs of each callback, and at the end with less than 0. It shows how far it is on a
// terminal, and nothing elsewhere.
func spinner(w io.Writer) func(pairs int) {
	if !toTerminal(w) {
		return func(int) {}
	}
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("pairs"), progressbar.OptionShowCount(),
		progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return func(pairs int) { // a bar that cannot be drawn is no reason to stop
		if pairs < 0 {
			_ = bar.Finish()
			return
		}
		_ = bar.Add(pairs)
	}
}
