// Command pager is aftermath with one more type of action: it sends a line to a paging gateway.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/cmd"
)

type pager struct {
	Gateway string         `yaml:"gateway" required:"true" doc:"The paging gateway, as host:port."`
	Text    actions.Header `yaml:"text" required:"true" doc:"What the page says, in one line."`
	env     actions.Env
}

func newPager(p pager, env actions.Env) (actions.Action, error) { p.env = env; return p, nil }

func (p pager) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	text, err := p.Text.Render(d)
	if err != nil {
		return actions.Result{}, err
	}
	conn, err := p.env.Dial(ctx, "tcp", p.Gateway)
	if err != nil {
		return actions.Result{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, err = fmt.Fprintln(conn, d.ID, text)
	return actions.Result{Detail: "paged", Sent: []byte(text)}, err
}

func main() { os.Exit(cmd.Main(actions.Define("pager", actions.Spec[pager]{New: newPager}))) }
