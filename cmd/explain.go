package cmd

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/explain"
)

// explainOptions are the flags of explain.
type explainOptions struct {
	config, rule, callback, at string
	query                      []string
	queryFile                  string
	json                       bool
	admin                      serveFlags
}

func newExplainCommand(reg *actions.Registry) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:   "explain [flags] PACKET",
		Short: "Say which rules match a packet, and why",
		Long: `explain says for each pair of a packet (a file, or - for standard input) and for each rule whether it matches, and shows the value
of each part of its condition; what decided is marked. Of more than 100 rules it shows those that match and the nearest misses;
--rule shows one of them. With --callback the packet comes from the journal of a running serve.

The rules are those that the configuration names, as they are on disk. Nothing is sent, and no secret is needed.`,
		Example: `  aftermath explain packet.json
  aftermath explain -c /etc/aftermath/aftermath.yaml --rule vip-lost-a-friend --query 'OptPlatform=iOS&ClientIP=10.0.0.7' packet.json
  aftermath explain --callback 5m0k1v0e2q3r --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) > 1 || len(args) == 1 && o.callback != "":
				return usageErrorf("takes one packet: a file, - for standard input, or --callback ID")
			case len(args) == 0 && o.callback == "":
				return usageErrorf("needs a packet: a file, - for standard input, or --callback ID\nRun %s --help for an example.", cmd.CommandPath())
			case o.callback != "" && (len(o.query) > 0 || o.queryFile != "" || o.at != ""):
				return usageErrorf("--callback has a query and a time of its own: leave --query, --query-file and --at out")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(o.config, config.IgnoreSecrets())
			if err != nil {
				return problemsError(cmd.ErrOrStderr(), err)
			}
			cb, err := o.packet(cmd, cfg, args)
			if err != nil {
				return err
			}
			set, err := loadRules(cmd.Context(), offlineLoader(reg, cfg, nil), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			x, err := explain.Explain(cmd.Context(), set, cb, o.rule)
			if err != nil {
				return &exitError{code: exitFailure, err: err}
			}
			if o.json {
				return writeJSON(cmd.OutOrStdout(), x)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), explained(x, painter(cmd.OutOrStdout())))
			return err
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.config, "config", "c", defaultConfig, "the configuration `FILE` whose rules explain the packet")
	f.StringVar(&o.rule, "rule", "", "explain only the rule of this `NAME`")
	f.StringArrayVar(&o.query, "query", nil, "parameters of the packet's query, k=v or k=v&k=v (default SdkAppid: the configuration's first app)")
	f.StringVar(&o.queryFile, "query-file", "", "a file that holds parameters of the packet's query, k=v&k=v")
	f.StringVar(&o.at, "at", "", "the `TIME` at which the packet arrives, such as 2026-11-22T08:00:00Z (default: now)")
	f.StringVar(&o.callback, "callback", "", "explain the callback of this `ID` from the journal of a running serve")
	f.BoolVar(&o.json, "json", false, "print what POST /api/v1/explain answers")
	o.admin.add(cmd.Flags())
	completeFlag(cmd, "rule", completeNames(reg, ruleNames))
	return cmd
}

// packet gives the callback to explain.
func (o *explainOptions) packet(cmd *cobra.Command, cfg *config.Config, args []string) (*callback.Callback, error) {
	s, err := o.stored(cmd, cfg, args)
	if err != nil {
		return nil, err
	}
	cb, err := s.parse()
	if err != nil {
		return nil, packetError(err)
	}
	return cb, nil
}

func (o *explainOptions) stored(cmd *cobra.Command, cfg *config.Config, args []string) (*storedCallback, error) {
	if o.callback != "" {
		return o.fromJournal(cmd.Context(), cmd)
	}
	at := time.Now()
	if o.at != "" {
		var err error
		if at, err = time.Parse(time.RFC3339Nano, o.at); err != nil {
			return nil, usageErrorf("--at %q is no time such as 2026-11-22T08:00:00Z", o.at)
		}
	}
	params := o.query
	if o.queryFile != "" {
		b, err := os.ReadFile(o.queryFile)
		if err != nil {
			return nil, fileError("the query", o.queryFile, err)
		}
		params = append([]string{string(b)}, params...)
	}
	query, err := packetQuery(params, cfg.Callback.Apps[0].SdkAppid)
	if err != nil {
		return nil, err
	}
	data, err := readPacket(cmd, args[0])
	return &storedCallback{At: at, Query: query, Packet: data}, err
}

func (o *explainOptions) fromJournal(ctx context.Context, cmd *cobra.Command) (*storedCallback, error) {
	client, err := o.admin.client(cmd, o.config)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	s, err := fetchCallback(ctx, client, o.callback)
	if err != nil && !errors.As(err, new(*exitError)) {
		return nil, &exitError{code: exitFailure, err: err}
	}
	return s, err
}
