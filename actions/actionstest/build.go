// Package actionstest tests action types: a conformance suite that any type can run in a few lines, and the helpers to build an
// action from YAML and to make deliveries for it, friendly and hostile ones.
package actionstest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Build makes an action of the type from the fields of a rules file, written without the type, in the environment that Env gives.
// ${env:NAME} may name any variable. Problems end the test. The action is closed when the test ends.
func Build(t testing.TB, typ actions.Type, yaml string) *actions.Instance {
	t.Helper()
	return BuildEnv(t, typ, yaml, Env(t))
}

// BuildEnv is Build in an environment of one's own.
func BuildEnv(t testing.TB, typ actions.Type, yaml string, env actions.Env) *actions.Instance {
	t.Helper()
	instance, problems := build(t, typ, yaml, env, nil)
	if len(problems) > 0 || instance == nil {
		t.Fatalf("the action cannot be built:\n%s\n\n%s", problems.Error(), yaml)
	}
	t.Cleanup(func() {
		if err := instance.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return instance
}

// Problems builds an action as Build does and gives what is wrong with it, each as "action.yaml:LINE:COLUMN: message"; the first
// line of yaml is line 2, after the type. None means that the action could be built.
func Problems(t testing.TB, typ actions.Type, yaml string) []string {
	t.Helper()
	instance, problems := build(t, typ, yaml, Env(t), nil)
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	if instance != nil {
		if err := instance.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	return lines
}

// Env is an environment in which connections to loopback addresses alone are made, log files lie in a folder of the test, and any
// file can be read.
func Env(t testing.TB) actions.Env {
	dir := t.TempDir()
	return actions.Env{
		Logger:   zap.NewNop(),
		Dial:     dialLoopback,
		ReadFile: os.ReadFile,
		LogFile: func(path string, _ int64, _ int) (io.WriteCloser, error) {
			return os.OpenFile(filepath.Join(dir, filepath.Base(path)), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		},
		SMTP: actions.SMTP{Host: "127.0.0.1", Port: 1, TLS: "none", From: "aftermath@example.com"},
	}
}

func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("this test connects to loopback addresses alone, not to " + host)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// build makes an action, or gives the problems.
func build(t testing.TB, typ actions.Type, yaml string, env actions.Env, prev *actions.Instance) (*actions.Instance, strictyaml.Problems) {
	t.Helper()
	registry, err := actions.NewRegistry(typ)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := strictyaml.Parse("action.yaml", []byte("type: "+typ.Name()+"\n"+strings.TrimLeft(yaml, "\n")))
	if err != nil {
		var problems strictyaml.Problems
		if errors.As(err, &problems) {
			return nil, problems
		}
		t.Fatal(err)
	}
	dec := &strictyaml.Decoder{Doc: doc}
	instance := registry.Build(dec, doc.Root, typ.Name(), actions.Builder{
		Scope:   &lang.Scope{Lists: map[string]*lang.List{"vips": lang.NewList([]string{"alice"})}},
		Secrets: &secrets.Resolver{Env: []string{"*"}},
		Env:     env,
		Prev:    func(string) *actions.Instance { return prev },
	})
	return instance, dec.Problems()
}
