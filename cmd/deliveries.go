package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/adminclient"
	"github.com/aftermath-rules/aftermath/internal/history"
)

// deliveryFlags choose deliveries.
type deliveryFlags struct {
	config                               string
	serve                                serveFlags
	status, rule, action, account, since string
	json                                 bool
}

func (f *deliveryFlags) choose(cmd *cobra.Command, status bool) {
	flags := cmd.Flags()
	if status {
		flags.StringVar(&f.status, "status", "", "pending, dead, done or discarded")
		completeWords(cmd, "status", "pending", "dead", "done", "discarded")
	} else {
		flags.StringVar(&f.status, "status", "", "dead, which is what it takes in any case")
		completeWords(cmd, "status", "dead")
	}
	flags.StringVar(&f.rule, "rule", "", "those of a rule, by its `NAME`")
	flags.StringVar(&f.action, "action", "", "those of an action, by its `NAME`")
	flags.StringVar(&f.account, "account", "", "those with an account on either side of the pair")
	flags.StringVar(&f.since, "since", "", "those made since a `TIME` (2026-11-22T08:00:00Z), or so long ago (24h, 7d)")
}

// filters gives what was chosen, by name; of a status, one of those that the command takes. A flag with an empty value, such as that of a
// variable that is not set, is a mistake: without it more deliveries would be taken than were meant.
func (f *deliveryFlags) filters(flags *pflag.FlagSet, statuses ...string) (map[string]string, error) {
	all := map[string]string{"status": f.status, "rule": f.rule, "action": f.action, "account": f.account, "since": f.since}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case all[name] != "":
		case flags.Changed(name):
			return nil, usageErrorf("--%s is empty", name)
		default:
			delete(all, name)
		}
	}
	if f.status != "" && !slices.Contains(statuses, f.status) {
		return nil, usageErrorf("--status is %s, not %q", strings.Join(statuses, " or "), f.status)
	}
	if f.since != "" {
		if _, err := sinceWhen(f.since, time.Now()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func newDeliveriesCommand(reg *actions.Registry) *cobra.Command {
	f := &deliveryFlags{}
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List, show, replay and discard deliveries of a running serve",
		Long: `deliveries talks to the admin port of the serve that -c FILE, or --admin URL, names. A delivery is one action for one pair that a rule
matched: pending until it is done, or dead once it is given up. A dead letter stays until it is replayed or discarded.`,
		Example: `  aftermath deliveries list --status dead --since 24h
  aftermath deliveries show 0123456789abcdef0123456789abcdef
  aftermath deliveries replay --action crm --yes
  aftermath deliveries list --admin http://127.0.0.1:9090 --token "$ADMIN_TOKEN" --json`,
	}
	group(cmd)
	cmd.PersistentFlags().StringVarP(&f.config, "config", "c", defaultConfig, "the configuration `FILE` of the serve to talk to")
	f.serve.add(cmd.PersistentFlags())
	cmd.PersistentFlags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.AddCommand(newListCommand(f), newShowCommand(f), newChangeCommand(f, replaying), newChangeCommand(f, discarding))
	for _, c := range cmd.Commands() {
		if c.Flags().Lookup("rule") != nil {
			completeFlag(c, "rule", completeNames(reg, ruleNames))
			completeFlag(c, "action", completeNames(reg, actionNames))
		}
	}
	return cmd
}

func newListCommand(f *deliveryFlags) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List deliveries, newest first",
		Example: `  aftermath deliveries list --status dead --rule vip-lost-a-friend
  aftermath deliveries list --account alice --since 7d --limit 500`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageErrorf("--limit takes a number from 1 on, not %d", limit)
			}
			filters, err := f.filters(cmd.Flags(), history.Pending, history.Dead, history.Done, history.Discarded)
			if err != nil {
				return err
			}
			client, err := f.serve.client(cmd, f.config)
			if err != nil {
				return err
			}
			list, next, err := listDeliveries(cmd.Context(), client, filters, limit)
			if err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), map[string]any{"deliveries": list, "next": next})
			}
			if err := printDeliveries(cmd.OutOrStdout(), list); err != nil {
				return err
			}
			if next != "" {
				fmt.Fprintf(cmd.ErrOrStderr(), "the newest %d; there are more: see --limit\n", len(list))
			}
			return nil
		},
	}
	f.choose(cmd, true)
	cmd.Flags().IntVar(&limit, "limit", 50, "how many at most")
	return cmd
}

// pageSize is how many the server gives at once.
const pageSize = 1000

// listDeliveries gets the newest deliveries that fit, page by page.
func listDeliveries(ctx context.Context, client *adminclient.Client, filters map[string]string, limit int) (all []history.Delivery, next string, err error) {
	query := url.Values{}
	for name, value := range filters {
		query.Set(name, value)
	}
	all = []history.Delivery{}
	for len(all) < limit {
		query.Set("limit", strconv.Itoa(min(limit-len(all), pageSize)))
		var page struct {
			Deliveries []history.Delivery `json:"deliveries"`
			Next       string             `json:"next"`
		}
		if err := client.Get(ctx, "deliveries", query, &page); err != nil {
			return nil, "", err
		}
		all, next = append(all, page.Deliveries...), page.Next
		if next == "" {
			break
		}
		query.Set("cursor", next)
	}
	return all, next, nil
}

func newShowCommand(f *deliveryFlags) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a delivery and each of its attempts",
		Example: `  aftermath deliveries show 0123456789abcdef0123456789abcdef`,
		Args:    exactArgs(1, "the id of a delivery"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] == "" {
				return usageErrorf("the id is empty")
			}
			client, err := f.serve.client(cmd, f.config)
			if err != nil {
				return err
			}
			var d shownDelivery
			if err := client.Get(cmd.Context(), "deliveries/"+url.PathEscape(args[0]), nil, &d); err != nil {
				return err
			}
			if f.json {
				return writeJSON(cmd.OutOrStdout(), d)
			}
			return d.print(cmd.OutOrStdout())
		},
	}
}

// change is what is done to dead letters.
type change struct {
	verb, done, path string
	byTime           bool                                                                               // a time alone may choose them
	one              func(ctx context.Context, client *adminclient.Client, path string, into any) error // to one delivery, by its path
}

var (
	replaying = change{verb: "replay", done: "replayed", path: "deliveries/replay", byTime: true,
		one: func(ctx context.Context, client *adminclient.Client, path string, into any) error {
			return client.Post(ctx, path+"/replay", nil, into)
		}}
	discarding = change{verb: "discard", done: "discarded", path: "deliveries/discard",
		one: func(ctx context.Context, client *adminclient.Client, path string, into any) error {
			return client.Delete(ctx, path, into)
		}}
)

func newChangeCommand(f *deliveryFlags, c change) *cobra.Command {
	var yes, all bool
	cmd := &cobra.Command{
		Use:   c.verb + " [ID...]",
		Short: strings.ToUpper(c.verb[:1]) + c.verb[1:] + " dead letters",
		Long: c.verb + ` takes the ids of dead letters, or filters, and then all dead letters that fit them. On a terminal it says how many and asks first;
elsewhere it needs --yes without any of ` + c.choosers() + `. Where it ends early, what is ` + c.done + ` stays
` + c.done + `: run it again for the rest.`,
		Example: `  aftermath deliveries ` + c.verb + ` 0123456789abcdef0123456789abcdef
  aftermath deliveries ` + c.verb + ` --rule vip-lost-a-friend --since 24h
  aftermath deliveries ` + c.verb + ` --all --yes`,
		RunE: func(cmd *cobra.Command, ids []string) error {
			filters, err := f.filters(cmd.Flags(), history.Dead)
			if err != nil {
				return err
			}
			switch {
			case slices.Contains(ids, ""):
				return usageErrorf("an id is empty")
			case len(ids) > 0 && (len(filters) > 0 || all):
				return usageErrorf("%s takes ids or filters, not both", c.verb)
			case len(ids) == 0 && len(filters) == 0 && !all:
				return usageErrorf("%s takes ids or filters, or --all for every dead letter", c.verb)
			}
			if all { // as the admin port wants it said
				filters["status"] = history.Dead
			}
			client, err := f.serve.client(cmd, f.config)
			if err != nil {
				return err
			}
			if len(ids) > 0 {
				return changeEach(cmd, client, c, ids, f.json)
			}
			if !yes {
				if err := confirm(cmd, client, c, filters); err != nil {
					return err
				}
			}
			return changeAll(cmd, client, c, filters, f.json)
		},
	}
	f.choose(cmd, false)
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask: needed for every dead letter where nobody can answer")
	cmd.Flags().BoolVar(&all, "all", false, "every dead letter")
	return cmd
}

// changeEach goes on after one that can't be changed, and ends with exit code 1 then.
func changeEach(cmd *cobra.Command, client *adminclient.Client, c change, ids []string, asJSON bool) error {
	failed := false
	for _, id := range ids {
		var got struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}
		if err := c.one(cmd.Context(), client, "deliveries/"+url.PathEscape(id), &got); err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "aftermath:", err)
			failed = true
			continue
		}
		if asJSON {
			if err := writeJSON(cmd.OutOrStdout(), got); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", got.ID, c.done)
	}
	if failed {
		return &exitError{code: exitFailure}
	}
	return nil
}

// chooses tells whether filters choose among all dead letters. What can't be undone is not chosen by a time alone, which may let all through.
func (c change) chooses(filters map[string]string) bool {
	return filters["rule"]+filters["action"]+filters["account"] != "" || c.byTime && filters["since"] != ""
}

// choosers are the flags of filters that choose.
func (c change) choosers() string {
	if c.byTime {
		return "--rule, --action, --account or --since"
	}
	return "--rule, --action or --account"
}

// confirm asks whoever sits at the terminal. Where nobody does, only what filters choose is done unasked.
func confirm(cmd *cobra.Command, client *adminclient.Client, c change, filters map[string]string) error {
	asks := toTerminal(cmd.InOrStdin())
	if !asks && c.chooses(filters) {
		return nil
	}
	count := map[string]any{"count": true}
	for name, value := range filters {
		count[name] = value
	}
	var got struct {
		Found int `json:"found"`
	}
	if err := client.Post(cmd.Context(), c.path, count, &got); err != nil {
		return err
	}
	what := plural(got.Found, "dead letter")
	if !c.chooses(filters) && filters["since"] == "" {
		what = "all of the " + what
	}
	switch {
	case got.Found == 0:
		return nil
	case !asks:
		return failuref("this would %s %s, and nothing was %s: add --yes to do it, or choose with %s", c.verb, what, c.done, c.choosers())
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s %s? [y/N] ", c.verb, what)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return failuref("nothing was %s", c.done)
	}
	return nil
}

func changeAll(cmd *cobra.Command, client *adminclient.Client, c change, filters map[string]string, asJSON bool) error {
	errs := cmd.ErrOrStderr()
	shows := toTerminal(errs)
	text, err := client.PostLong(cmd.Context(), c.path, filters, func(line json.RawMessage) {
		var p engine.Progress
		if shows && json.Unmarshal(line, &p) == nil {
			fmt.Fprintf(errs, "\r\x1b[K%d of %d %s", p.Done, p.Found, c.done)
		}
	})
	if shows {
		fmt.Fprint(errs, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(cmd.OutOrStdout(), text)
	}
	var result map[string]int
	if err := json.Unmarshal(text, &result); err != nil {
		return fmt.Errorf("the answer of the admin port: %w", err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d of %s %s\n", result[c.done], plural(result["found"], "dead letter"), c.done)
	return err
}

func printDeliveries(w io.Writer, list []history.Delivery) error {
	p := painter(w)
	colours := map[string]func(string) string{"done": p.good, "dead": p.bad, "discarded": p.faint}
	t := table{
		rows:  [][]string{{"ID", "CREATED", "STATUS", "ATTEMPTS", "RULE", "ACTION", "FROM", "TO", "LAST ERROR"}},
		fixed: 4,
		style: func(column int, cell string) func(string) string {
			if colour := colours[cell]; column == 2 && colour != nil {
				return colour
			}
			return func(s string) string { return s }
		},
	}
	for i := range list {
		d := &list[i]
		t.rows = append(t.rows, []string{d.ID, d.Created.Local().Format(time.DateTime), d.Status, strconv.Itoa(d.Attempts),
			plain(d.Rule, 40), plain(d.Action, 40), plain(d.From, 32), plain(d.To, 32), plain(d.LastError, 60)})
	}
	return t.write(w)
}

// plain gives a text that cannot do anything to a terminal or a table, cut to a width.
func plain(text string, most int) string { return shortened(visible(text), most) }

// shownDelivery is a delivery with its attempts.
type shownDelivery struct {
	history.Delivery
	History []history.Attempt `json:"history"`
}

func (d *shownDelivery) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	line("id", d.ID)
	line("status", d.Status)
	line("rule", plain(d.Rule, 200))
	line("action", plain(d.Action, 200)+" ("+plain(d.Type, 40)+")")
	line("from account", plain(d.From, 200))
	line("to account", plain(d.To, 200))
	line("callback", plain(d.Callback, 200))
	line("reprocessed by", plain(d.Reprocess, 200))
	line("created", d.Created.Local().Format(time.RFC3339))
	if d.NextAttempt != nil {
		line("next attempt", d.NextAttempt.Local().Format(time.RFC3339))
	}
	line("last error", plain(d.LastError, 1000))
	if err := t.Flush(); err != nil {
		return err
	}
	for _, a := range d.History {
		fmt.Fprintf(w, "\n%s  %s after %.1f ms, attempt %d\n", a.At.Local().Format(time.RFC3339), a.Outcome, a.Took, a.Attempt)
		for _, part := range []struct{ name, text string }{{"error", a.Error}, {"detail", a.Detail}, {"sent", a.Sent}, {"received", a.Received}} {
			if part.text != "" {
				fmt.Fprintf(w, "  %s:\n%s\n", part.name, indented(part.text))
			}
		}
	}
	return nil
}

// indented shows a text of several lines without what could do something to a terminal.
func indented(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = "    " + plain(line, 4096)
	}
	return strings.Join(lines, "\n")
}
