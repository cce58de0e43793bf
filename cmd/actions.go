package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/logentry"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/netguard"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/trial"
	"github.com/aftermath-rules/aftermath/rules"
)

func newActionsCommand(reg *actions.Registry) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "actions",
		Short:   "Try configured actions",
		Example: "  aftermath actions test crm --dry-run",
	}
	group(cmd)
	cmd.AddCommand(newActionsTestCommand(reg))
	return cmd
}

func newActionsTestCommand(reg *actions.Registry) *cobra.Command {
	var path string
	var dryRun, asJSON bool
	var running serveFlags
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Send one sample delivery through a configured action",
		Long: `test sends one delivery, of alice who deleted bob, through the action NAME as it is configured, and shows what went out and what
came back; secrets are masked. An action that is written in a rule is called RULE/TYPE, or RULE/NAME where it has a name.

It connects where the network section allows, under the action's time-out, and is no part of any queue: nothing is stored, counted
or tried again. An action whose own dry_run is true is only rendered. With --admin it is the running serve that does it, with the
rules and the secrets that it has.`,
		Example: `  aftermath actions test crm --dry-run                                  # only render; needs no secret
  aftermath actions test crm -c /etc/aftermath/aftermath.yaml
  aftermath actions test crm --admin http://127.0.0.1:9090`,
		Args: exactArgs(1, "the name of one action"),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := &trial.Report{}, error(nil)
			if running.url != "" {
				err = running.testAction(cmd, path, args[0], dryRun, report)
			} else {
				report, err = testAction(cmd, reg, path, args[0], dryRun)
			}
			if err != nil {
				return err
			}
			if asJSON {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				_, err = io.WriteString(cmd.OutOrStdout(), reported(report, painter(cmd.OutOrStdout())))
			}
			if err == nil && !report.OK {
				return &exitError{code: exitFailure}
			}
			return err
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeNames(reg, actionNames)(cmd, args, word)
		},
	}
	cmd.Flags().StringVarP(&path, "config", "c", defaultConfig, "the configuration `FILE`")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only render what would be sent")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	running.add(cmd.Flags())
	cmd.Flags().Lookup("admin").Usage = "let the serve with the admin port at this `URL` do it"
	return cmd
}

// testAction lets a running serve try an action.
func (a *serveFlags) testAction(cmd *cobra.Command, path, name string, dryRun bool, report *trial.Report) error {
	client, err := a.client(cmd, path)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Post(cmd.Context(), "actions/"+url.PathEscape(name)+"/test", map[string]bool{"dry_run": dryRun}, report)
}

// testAction loads the rules with the secrets of one action, and tries it.
func testAction(cmd *cobra.Command, reg *actions.Registry, path, name string, dryRun bool) (*trial.Report, error) {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	cfg, err := config.Load(path, config.IgnoreSecrets())
	if err != nil {
		return nil, problemsError(stderr, err)
	}
	loader := offlineLoader(reg, cfg, nil)
	set, inst, err := oneAction(ctx, loader, name, stderr)
	if err != nil {
		return nil, err
	}
	app := cfg.Callback.Apps[0].SdkAppid
	if dryRun || inst.Options.DryRun {
		return trial.Run(ctx, set, inst, app, true, nil), nil
	}
	if inst.Type != "webhook" && inst.Type != "log" { // another type may send mail
		if cfg, err = config.Load(path, config.SecretsOf("smtp")); err != nil {
			return nil, problemsError(stderr, err)
		}
	}
	mask := &secrets.Mask{}
	mask.Add(cfg.SecretValues()...)
	files := logentry.NewFiles(logFolder(cfg))
	defer func() { _ = files.Close() }() // what was written is on its way: nothing is left to do about it
	log, _ := newLogger(cfg.Log, stderr)
	guard := netguard.New(cfg.Network.Denied(), cfg.Network.Allowed(), netguard.Own(ownPorts(cfg)...))
	loader.Env = actions.Env{Logger: log, Dial: guard.DialContext, LogFile: logFiles(cfg, files), SMTP: cfg.SMTP}
	loader.Permit.IgnoreSecrets, loader.Permit.SecretsOf, loader.Mask = false, name, mask
	if set, inst, err = oneAction(ctx, loader, name, stderr); err != nil {
		return nil, err
	}
	defer closeInstances(set)
	return trial.Run(ctx, set, inst, app, false, mask), nil
}

func closeInstances(set *rules.RuleSet) {
	for _, inst := range set.Instances() {
		_ = inst.Close() // the process ends: nothing is left to do about it
	}
}

// oneAction loads the rules and gives one of their actions.
func oneAction(ctx context.Context, loader *rules.Loader, name string, stderr io.Writer) (*rules.RuleSet, *actions.Instance, error) {
	set, err := loadRules(ctx, loader, stderr)
	if err != nil {
		return nil, nil, err
	}
	inst, ok := set.Action(name)
	if !ok {
		return nil, nil, failuref("there is no action %q%s", name, set.SuggestAction(name))
	}
	return set, inst, nil
}

// ownPorts are where a serve of this configuration listens, which its actions may not call.
func ownPorts(cfg *config.Config) []netip.AddrPort {
	var own []netip.AddrPort
	for _, listen := range []string{cfg.Callback.Listen, cfg.Admin.Listen} {
		if at, err := net.ResolveTCPAddr("tcp", listen); err == nil && at.Port != 0 {
			own = append(own, at.AddrPort())
		}
	}
	return own
}

// reported writes a report as people read it.
func reported(r *trial.Report, p paint) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s): delivery %s of the rule %s, %s -> %s\n", p.bold(r.Action), r.Type, r.Delivery, r.Rule, visible(r.From), visible(r.To))
	section := func(title, text string) {
		if text != "" {
			fmt.Fprintf(&b, "%s\n  %s\n", p.faint(title), strings.ReplaceAll(visibleLines(strings.TrimRight(text, "\n")), "\n", "\n  "))
		}
	}
	var fields []string
	for _, field := range slices.Sorted(maps.Keys(r.Rendered)) {
		fields = append(fields, field+": "+onOneLine(r.Rendered[field]))
	}
	section("rendered", strings.Join(fields, "\n"))
	section("sent", r.Sent)
	section("received", r.Received)
	switch {
	case !r.OK && r.DryRun:
		fmt.Fprintf(&b, "%s: %s\n", p.bad("it cannot be rendered"), visible(r.Error))
	case r.DryRun:
		b.WriteString("dry run: nothing was sent\n")
	case r.OK:
		fmt.Fprintf(&b, "%s after %d ms: %s\n", p.good("done"), r.TookMS, visible(cmp.Or(r.Detail, "the action says nothing more")))
	default:
		then := "a delivery would be a dead letter now"
		if r.Retried {
			then = "a delivery would be tried again"
		}
		fmt.Fprintf(&b, "%s after %d ms: %s (%s)\n", p.bad("failed"), r.TookMS, visible(r.Error), then)
	}
	return b.String()
}

// onOneLine writes a rendered value: a text as it is, but for its line breaks, all else as JSON.
func onOneLine(v any) string {
	if s, ok := v.(string); ok {
		return strings.ReplaceAll(s, "\n", `\n`)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}
