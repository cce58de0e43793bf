package webhook

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/netguard"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build makes the action that a rules file in dir would make of the YAML.
func build(t testing.TB, env actions.Env, dir, yaml string) (*actions.Instance, error) {
	t.Helper()
	reg, err := actions.NewRegistry(Type())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := strictyaml.Parse("rules.yaml", []byte("type: webhook\n"+yaml))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, yaml)
	}
	if env.Dial == nil {
		env.Dial = (&net.Dialer{}).DialContext
	}
	env.ReadFile = func(path string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, path)) }
	dec := &strictyaml.Decoder{Doc: doc}
	instance := reg.Build(dec, doc.Root, "crm", actions.Builder{Env: env})
	if problems := dec.Problems(); len(problems) > 0 {
		return nil, problems
	}
	t.Cleanup(func() { instance.Close() })
	return instance, nil
}

func mustBuild(t testing.TB, yaml string) *actions.Instance {
	t.Helper()
	instance, err := build(t, actions.Env{Dial: netguard.New(netguard.DefaultDeny(), nil, nil).DialContext}, "", yaml)
	if err != nil {
		t.Fatal(err)
	}
	return instance
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func delivery() *actions.Delivery {
	return &actions.Delivery{
		ID:          "d1e2f3",
		Attempt:     1,
		Action:      "crm",
		Rule:        actions.Rule{Name: "vip-lost-a-friend", Labels: map[string]string{"team": "care"}},
		RuleSet:     "abc123",
		CallbackID:  "cb42",
		Pair:        callback.Pair{From: "vip_1", To: "bob"},
		SdkAppid:    1400000000,
		ClientIP:    "192.0.2.7",
		OptPlatform: "iOS",
		RequestId:   "5f4d6a1e",
		PairCount:   1,
		Time:        time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
}
