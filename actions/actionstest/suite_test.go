package actionstest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

// config is the configuration of a type that may have one fault.
type config struct {
	Server string       `yaml:"server" required:"true"`
	Text   actions.Text `yaml:"text" required:"true"`
	env    actions.Env
	fault  string
}

func (c *config) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	text, err := c.Text.Render(d)
	if err != nil {
		return actions.Result{}, err
	}
	switch c.fault {
	case "panics on quotes":
		if strings.Contains(d.Pair.From, `"`) {
			panic("a quote")
		}
	case "changes the delivery":
		d.ID = "another"
	case "changes the labels":
		d.Rule.Labels["team"] = "mine"
	case "forgets its context":
		ctx = context.Background()
	case "connects after the end":
		ctx = context.WithoutCancel(ctx)
	case "shows a secret":
		return actions.Result{}, fmt.Errorf("server %x refused", c.Server)
	case "keeps too much state":
		return actions.Result{State: make([]byte, 65<<10)}, nil
	case "leaves a goroutine":
		go func() { <-forever }()
	}
	conn, err := c.env.Dial(ctx, "tcp", c.Server)
	if err != nil {
		return actions.Result{}, err
	}
	defer conn.Close()
	_, err = fmt.Fprintln(conn, text)
	return actions.Result{}, err
}

var forever = make(chan struct{})

func typeWith(fault string) actions.Type {
	return actions.Define("sample", actions.Spec[config]{New: func(c config, env actions.Env) (actions.Action, error) {
		c.env, c.fault = env, fault
		switch fault {
		case "starts a goroutine":
			go func() { <-forever }()
		case "connects while loading":
			if conn, err := env.Dial(context.Background(), "tcp", "127.0.0.1:1"); err == nil {
				conn.Close()
			}
		case "closes with an error":
			return &unclosable{config: c}, nil
		}
		return &c, nil
	}})
}

type unclosable struct{ config }

func (*unclosable) Close() error { return errors.New("cannot be closed") }

func suiteOf(fault string) actionstest.Config {
	c := actionstest.Config{
		Good: []string{"server: 127.0.0.1:1\ntext: '{{ From_Account }}'"},
		Bad:  []string{"server: 127.0.0.1:1", "server: x\ntext: '{{ Nobody }}'"},
	}
	switch fault {
	case "has no good action":
		c.Good = nil
	case "takes what it should refuse":
		c.Bad = append(c.Bad, c.Good[0])
	case "shows a secret":
		c.Secrets = map[string]string{"SERVER_HEX": fmt.Sprintf("%x", "127.0.0.1:1")}
	}
	return c
}

func TestSuiteTakesASoundType(t *testing.T) { actionstest.Run(t, typeWith(""), suiteOf("")) }

const faultVariable = "ACTIONSTEST_FAULT"

// Each fault is tried in a process of its own, since the suite fails the test that runs it.
func TestSuiteFindsFaults(t *testing.T) {
	if fault, ok := os.LookupEnv(faultVariable); ok {
		actionstest.Run(t, typeWith(fault), suiteOf(fault))
		return
	}
	for fault, want := range map[string]string{
		"panics on quotes":            "it panicked on",
		"changes the delivery":        "it changed the delivery",
		"changes the labels":          "it changed the delivery",
		"forgets its context":         "it has not returned",
		"connects after the end":      "pass the context on",
		"shows a secret":              "an error shows the secret SERVER_HEX",
		"keeps too much state":        "Result.State has 66560 bytes",
		"leaves a goroutine":          "it left a goroutine behind",
		"starts a goroutine":          "New started a goroutine",
		"connects while loading":      "New connects to 127.0.0.1:1",
		"closes with an error":        "cannot be closed",
		"has no good action":          "needs at least one good action",
		"takes what it should refuse": "this was loaded",
	} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSuiteFindsFaults$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), faultVariable+"="+fault)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%v; the suite does not say %q:\n%s", err, want, out)
			}
		})
	}
}

func TestHostileAccountsAreAccountIDs(t *testing.T) {
	for name, account := range actionstest.HostileAccounts() {
		if account == "" || len(account) > 32 {
			t.Errorf("%s: %q has %d bytes; an account id has 1 to 32", name, account, len(account))
		}
	}
	if got, want := len(actionstest.HostileDeliveries()), 2*len(actionstest.HostileAccounts()); got != want {
		t.Errorf("%d deliveries, want %d", got, want)
	}
}
