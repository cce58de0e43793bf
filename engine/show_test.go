package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/aftermath-rules/aftermath/actions"
)

// TestNothingSecretIsShown has an action put a secret into everything that an attempt leaves behind.
func TestNothingSecretIsShown(t *testing.T) {
	const secret = "s3cr3t-canary-value"
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.Mask.Add(secret)
		w.receive["k"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
			res := actions.Result{Detail: secret, Sent: []byte("x" + secret), Received: []byte(secret + "y")}
			switch d.Attempt {
			case 1:
				return res, errors.New("no " + secret)
			case 2:
				panic(secret)
			case 3:
				return res, nil
			}
			return res, nil
		}
		w.receive["dead"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			return actions.Result{}, actions.Permanent(errors.New(secret))
		}
		w.start(`rules: [{name: r, condition: "true", actions: [{type: fn, key: k}, {type: fn, name: dead, key: dead}]}]`)
		w.send("", "a>b")
		ended := w.expect(1, 1)
		stored, err := json.Marshal(ended)
		if err != nil {
			t.Fatal(err)
		}
		logged := dump(t, w)
		for letter, err := range w.mem.DeadLetters(context.Background()) {
			if err != nil || strings.Contains(fmt.Sprint(letter), secret) {
				t.Errorf("dead letter %v, %v", letter, err)
			}
		}
		for where, text := range map[string]string{"store": string(stored), "log": logged, "status": fmt.Sprint(w.eng.Status())} {
			if strings.Contains(text, secret) {
				t.Errorf("the secret is in the %s: %s", where, text)
			}
		}
		if !strings.Contains(logged, "the action panicked") || !strings.Contains(string(stored), "x[secret]") && !strings.Contains(logged, "[secret]") {
			t.Errorf("log: %s", logged)
		}
	})
}

func TestOneLineAnAttempt(t *testing.T) {
	tests := []struct {
		name   string
		redact bool
	}{{"accounts shown", false}, {"accounts redacted", true}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.opt.RedactAccounts, w.opt.RedactKey = test.redact, []byte("key")
				w.receive["k"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
					err := errors.New("POST https://x/zoe%2Fadmin and zoe/admin: refused")
					if d.Attempt > 1 {
						err = nil
					}
					return actions.Result{Detail: "to yves"}, err
				}
				w.start(`
rules:
  - {name: r, condition: "true", actions: [{type: fn, key: k}]}
  - {name: dry, condition: "true", actions: [{type: fn, key: k, dry_run: true, text: "{{ From_Account }}"}]}
`)
				w.send("", "zoe/admin>yves")
				w.expect(2, 0)
				lines := w.log.FilterMessageSnippet("delivery ").FilterField(zapField("rule", "r")).All()
				if len(lines) != 2 || lines[0].Level != zapcore.WarnLevel || lines[1].Level != zapcore.InfoLevel {
					t.Fatalf("%d lines: %v", len(lines), lines)
				}
				fields := lines[0].ContextMap()
				for _, name := range []string{"delivery", "callback", "rule", "rule_set", "action", "type", "attempt", "outcome", "took_ms", "next", "error"} {
					if fields[name] == nil {
						t.Errorf("the line has no %s: %v", name, fields)
					}
				}
				logged := dump(t, w)
				for _, account := range []string{"zoe", "yves"} {
					if strings.Contains(logged, account) == test.redact {
						t.Errorf("%s in the log: %t\n%s", account, !test.redact, logged)
					}
				}
			})
		})
	}
}

// TestRedactedAccountsAreNowhereInTheLog has conditions, templates and actions write an account into the log in their ways.
func TestRedactedAccountsAreNowhereInTheLog(t *testing.T) {
	const from, to = `Zoë "<Zed`, "Yves" // Go and JSON escape the first differently
	for _, test := range []struct{ name, rule, logged string }{
		{"a condition's error", `{name: r, condition: 'int(From_Account) > 1', actions: [{type: fn, key: k}]}`, "is no whole number"},
		{"a quoted error", `{name: r, condition: "true", actions: [{type: fn, key: quoted}]}`, "refused"},
		{"an error in capitals", `{name: r, condition: "true", actions: [{type: fn, key: upper}]}`, "refused"},
		{"a dry run", `{name: r, condition: "true", actions: [{type: fn, dry_run: true, text: "{{ From_Account }} left {{ lower(To_Account) }}"}]}`, " left account-"},
		{"an account in a rule's own text", `{name: r, condition: "true", actions: [{type: fn, dry_run: true, text: "Yves was left"}]}`, " was left"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.opt.RedactAccounts, w.opt.RedactKey = true, []byte("key")
				w.receive["quoted"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
					return actions.Result{}, actions.Permanent(fmt.Errorf("%q refused", "to "+d.Pair.From))
				}
				w.receive["upper"] = func(_ context.Context, d *actions.Delivery) (actions.Result, error) {
					return actions.Result{}, actions.Permanent(errors.New(strings.ToUpper(d.Pair.To) + " refused"))
				}
				w.start("rules: [" + test.rule + "]")
				w.send("", from+">"+to)
				w.settle()
				logged := strings.ToLower(dump(t, w))
				if !strings.Contains(logged, test.logged) {
					t.Errorf("the log does not say %q: %s", test.logged, logged)
				}
				for _, account := range []string{"zed", "yves"} {
					if strings.Contains(logged, account) {
						t.Errorf("%s is in the log: %s", account, logged)
					}
				}
			})
		})
	}
}

// TestRedactingADryRunTellsNothing: an account that is a piece of the program's own words must not be found by what is missing.
func TestRedactingADryRunTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.opt.RedactAccounts, w.opt.RedactKey = true, []byte("key")
		w.start(`rules: [{name: r, condition: "true", actions: [{type: fn, dry_run: true, text: hello}]}]`)
		w.send("", "sent>nothing")
		w.expect(1, 0)
		for _, line := range w.log.FilterMessageSnippet("delivery done").All() {
			if detail := fmt.Sprint(line.ContextMap()["detail"]); strings.Contains(detail, "account-") {
				t.Errorf("the detail is %q", detail)
			}
		}
	})
}

func zapField(name, value string) zapcore.Field {
	return zapcore.Field{Key: name, Type: zapcore.StringType, String: value}
}

// dump gives all that was logged, as JSON lines.
func dump(t *testing.T, w *world) string {
	t.Helper()
	enc := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"})
	var all strings.Builder
	for _, line := range w.log.All() {
		buf, err := enc.EncodeEntry(line.Entry, line.Context)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(buf.String() + "\n")
	}
	return all.String()
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receive["dead"] = func(context.Context, *actions.Delivery) (actions.Result, error) {
			return actions.Result{}, actions.Permanent(errors.New("no"))
		}
		w.receive["k"] = failTimes(1, errors.New("no"))
		w.start(`
rules:
  - {name: r, condition: "true", actions: [{type: fn, key: k}]}
  - {name: canary-rule, condition: "true", actions: [{type: fn, key: dead}]}
`)
		w.send("", "canary-account>b", "c>d")
		w.expect(2, 2)
		w.eng.ObserveCallback("ok", time.Millisecond)
		w.eng.ObserveReload(errors.New("broken"))
		families, err := w.reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		have := make(map[string]float64)
		for _, f := range families {
			for _, m := range f.Metric {
				name := f.GetName()
				for _, l := range m.Label {
					name += " " + l.GetValue()
				}
				have[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		for name, want := range map[string]float64{
			"aftermath_callbacks_total ok": 1, "aftermath_callback_seconds": 1, "aftermath_pairs_total": 2, "aftermath_matches_total": 4,
			"aftermath_deliveries_total done fn": 2, "aftermath_deliveries_total retry fn": 2, "aftermath_deliveries_total dead fn": 2,
			"aftermath_deliveries_total parked fn": 0, "aftermath_delivery_seconds fn": 6, "aftermath_deliveries_pending": 0, "aftermath_dead_letters": 2, "aftermath_rules": 2,
			"aftermath_rules_reload_total error": 1, "aftermath_rules_last_reload_successful": 0,
		} {
			if got, ok := have[name]; !ok || got != want {
				t.Errorf("%s is %v (there: %t), want %v", name, got, ok, want)
			}
		}
		for name := range have {
			if strings.Contains(name, "canary") {
				t.Errorf("a label shows too much: %s", name)
			}
		}
	})
}
