package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// probe is an action type with a field of every kind.
type probe struct {
	Text    Text              `yaml:"text"`
	URL     URL               `yaml:"url"`
	HTML    HTML              `yaml:"html"`
	Header  Header            `yaml:"header"`
	Headers map[string]Header `yaml:"headers"`
	To      []Address         `yaml:"to"`
	Tree    Tree              `yaml:"tree"`
	Secret  Secret            `yaml:"secret"`
	Plain   string            `yaml:"plain"`
	Level   string            `yaml:"level" enum:"low,high"`
	File    string            `yaml:"file"`
	Nested  struct {
		Text Text `yaml:"text"`
		N    int  `yaml:"n"`
	} `yaml:"nested"`
	Doors []door           `yaml:"doors"`
	Gates map[string]*door `yaml:"gates"`
}

// door is a struct within the configuration, with tags of its own.
type door struct {
	Name string `yaml:"name" required:"true"`
	Side string `yaml:"side" enum:"left,right"`
}

type probeAction struct {
	config probe
	closed int
	run    func(context.Context, *Delivery) (Result, error)
}

func (a *probeAction) Run(ctx context.Context, d *Delivery) (Result, error) { return a.run(ctx, d) }
func (a *probeAction) Close() error                                         { a.closed++; return nil }
func (a *probeAction) Preview(*Delivery) (map[string]any, error) {
	return map[string]any{"preview": "with " + a.config.Secret.Reveal()}, nil
}

func probeType() Type {
	return Define("probe", Spec[probe]{
		Summary:  "For tests.",
		Defaults: func() probe { return probe{Level: "low", Text: Literal("default")} },
		New: func(c probe, env Env) (Action, error) {
			if value, ok := strings.CutPrefix(c.Plain, "bad "); ok {
				return nil, &FieldError{"plain", fmt.Errorf("%q is bad", value)}
			}
			switch c.Plain {
			case "panic":
				panic("out of order")
			case "refuse":
				return nil, errors.New("refused")
			case "refuse fields":
				return nil, errors.Join(&FieldError{"nested.n", errors.New("is odd")}, &FieldError{"to.1", errors.New("is full")})
			}
			if c.File != "" {
				if _, err := env.ReadFile(c.File); err != nil {
					return nil, &FieldError{"file", err}
				}
			}
			return &probeAction{config: c}, nil
		},
	})
}

func registry(t testing.TB, types ...Type) *Registry {
	t.Helper()
	r, err := NewRegistry(types...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// build makes a probe from the fields of src.
func build(t testing.TB, src string, b Builder) (*Instance, strictyaml.Problems) {
	t.Helper()
	if !strings.Contains(src, "type:") {
		src = "type: probe\n" + src
	}
	doc, err := strictyaml.Parse("a.yaml", []byte(src))
	if err != nil {
		return nil, err.(strictyaml.Problems)
	}
	dec := &strictyaml.Decoder{Doc: doc}
	i := registry(t, probeType(), Define("other", Spec[struct{}]{New: func(struct{}, Env) (Action, error) { return nil, nil }})).Build(dec, doc.Root, "it", b)
	return i, dec.Problems()
}

// buildWith builds an action of any type of the registry, and gives the problems as text.
func buildWith(t testing.TB, reg *Registry, src string) string {
	t.Helper()
	doc, err := strictyaml.Parse("a.yaml", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	dec := &strictyaml.Decoder{Doc: doc}
	i := reg.Build(dec, doc.Root, "it", Builder{})
	if (i == nil) != (len(dec.Problems()) > 0) {
		t.Errorf("instance %v, problems %v", i, dec.Problems())
	}
	return dec.Problems().Error()
}

func mustBuild(t testing.TB, src string, b Builder) *Instance {
	t.Helper()
	i, problems := build(t, src, b)
	if len(problems) > 0 || i == nil {
		t.Fatalf("%s\n%v", src, problems)
	}
	return i
}

func configOf(i *Instance) *probe { return &i.action.(*probeAction).config }

func delivery() *Delivery {
	return &Delivery{
		ID: "d1", Attempt: 2, Action: "it", Rule: Rule{Name: "vip", Labels: map[string]string{"team": "care"}},
		Pair: callback.Pair{From: "alice", To: "bob"}, SdkAppid: 1400000000, OptPlatform: "iOS", PairCount: 1,
		CallbackCommand: callback.Command, Time: time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC),
	}
}

func environment(t testing.TB, pairs ...string) *secrets.Resolver {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
	return &secrets.Resolver{Env: []string{"*"}}
}

func TestBuildReportsEveryProblemAtItsPlace(t *testing.T) {
	for _, c := range []struct{ name, src, want string }{
		{"unknown type", "type: pobe", `a.yaml:1:7: there is no action type "pobe"; the types are other, probe`},
		{"no type", "x: {type: probe}", "a.yaml:1:1: the action has no type; the types are other, probe"},
		{"no mapping", "[type: probe]", "a.yaml:1:1: an action is a mapping with a type"},
		{"unknown key", "tiemout: 3s", `a.yaml:2:1: unknown key "tiemout"; did you mean timeout?; an action of type probe has `},
		{"unknown nested key", "nested: {m: 1}", "a.yaml:2:10: unknown key"},
		{"misspelt name in a template", "text: gone {{ Form_Account }}", "a.yaml:2:15: "},
		{"in a block", "text: |\n  one\n  two {{ Form_Account }}", "a.yaml:4:10: "},
		{"map in a text", "text: a {{ Rule.Labels }}", "a.yaml:2:12: this gives a map"},
		{"map as a whole text", `text: "{{ Rule.Labels }}"`, "a.yaml:2:11: this gives a map"},
		{"template that YAML takes for a mapping", "text: {{ From_Account }}", "a.yaml:2:7: "},
		{"comment behind a text", "text: Ticket #{{ PairIndex }}", "a.yaml:2:7: this text may have been cut"},
		{"comment that cut a text", "text: Ticket #1 is {{ PairIndex }} #2", "a.yaml:2:"},
		{"secret in an expression", `text: '{{ "${env:A}" + From_Account }}'`, "a.yaml:2:12: a secret cannot stand inside {{ }}"},
		{"secret that is not there", "text: see ${env:AFTERMATH_NOT_SET}", "a.yaml:2:11: ${env:AFTERMATH_NOT_SET}"},
		{"secrets that are not there", "text: ${env:NOT_ONE} {{ PairIndex }} ${env:NOT_TWO}, ${env:NOT_THREE}",
			"a.yaml:2:7: ${env:NOT_ONE}: the environment variable is not set\na.yaml:2:38: ${env:NOT_TWO}: the environment variable is not set\n" +
				"a.yaml:2:54: ${env:NOT_THREE}: the environment variable is not set"},
		{"secrets that are not there, in a plain string", "plain: ${env:NOT_ONE}-${env:NOT_TWO}", "a.yaml:2:8: ${env:NOT_ONE}: the environment variable is not set\na.yaml:2:23: ${env:NOT_TWO}: "},
		{"secret that is not there, in a plain string", "plain: see ${env:AFTERMATH_NOT_SET}", "a.yaml:2:12: ${env:AFTERMATH_NOT_SET}"},
		{"enum", "level: middle", "a.yaml:2:8: level must be one of low, high"},
		{"enum below", "doors: [{name: a, side: left}, {name: b, side: up}]", "a.yaml:2:48: doors.1.side must be one of left, right"},
		{"required below", "doors: [{side: left}]\ngates: {north: {}}", "a.yaml:2:9: doors.0.name is missing\na.yaml:3:16: gates.north.name is missing"},
		{"timeout", "timeout: 0s", "a.yaml:2:10: timeout must be more than 0"},
		{"concurrency none", "concurrency: 0", "a.yaml:2:14: concurrency must be from 1 to 10000"},
		{"concurrency too high", "concurrency: 10001", "a.yaml:2:14: concurrency must be from 1 to 10000"},
		{"rate without unit", "rate: 50", "a.yaml:2:7: a rate is a number"},
		{"rate of another unit", "rate: 50/d", "a.yaml:2:7: a rate is a number"},
		{"rate of nothing", "rate: 0/s", "a.yaml:2:7: a rate is a number"},
		{"retry upside down", "retry: {min: 1h, max: 1s}", "a.yaml:2:14: retry.min must not be more than retry.max"},
		{"negative attempts", "retry: {max_attempts: -1}", "a.yaml:2:23: retry.max_attempts must not be negative"},
		{"permanent code", "retry: {permanent: [404, 4]}", "a.yaml:2:26: retry.permanent.1 must be a status"},
		{"New refuses", "plain: refuse", "a.yaml:1:1: refused"},
		{"New refuses a field", "plain: refuse fields\nnested: {n: 3}\nto: [a@b.example, b@b.example]", "a.yaml:3:13: nested.n: is odd\na.yaml:4:19: to.1: is full"},
		{"New panics", "plain: panic", "a.yaml:1:1: the action type's own code panicked: out of order"},
		{"file that cannot be read", "file: ca.pem", "a.yaml:2:7: file: "},
		{"template in a key", `tree: {"{{ From_Account }}": 1}`, "a.yaml:2:8: a key takes no template"},
		{"secret in a key", `tree: {"${env:A}": 1}`, "a.yaml:2:8: a key takes no secret"},
		{"octal in a tree", "tree: {zip: 010}", "a.yaml:2:13: 010 is no plain decimal number"},
		{"infinity in a tree", "tree: [.inf]", "a.yaml:2:8: .inf is no number that JSON can write"},
		{"leaf of a tree", "tree:\n  a: [1, 'x {{ Nobody }}']", "a.yaml:3:16: "},
		{"line break in a header", "header: |\n  one\n", "a.yaml:3:3: a header is one line"},
		{"two addresses", "to: ['a@b.example, c@d.example']", "a.yaml:2:7: this is not exactly one mail address"},
		{"domain with a template", "to: ['ops@{{ From_Account }}']", "the domain of a mail address takes no template"},
		{"domain with a template inside", "to: ['ops@{{ From_Account }}.example']", "the domain of a mail address"},
		{"no domain", "to: ['{{ From_Account }}']", "the domain of a mail address takes no template"},
		{"list before an address", "to: ['a@b.example, {{ From_Account }}@b.example']", "a mail address with a template is one of"},
		{"several at once", "timeout: -1s\ntext: '{{ A }}'\nheader: '{{ B }}'", "a.yaml:2:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i, problems := build(t, c.src, Builder{Secrets: environment(t)})
			if c.want == "" {
				if len(problems) > 0 {
					t.Fatalf("problems: %v", problems)
				}
				return
			}
			if got := problems.Error(); !strings.Contains(got, c.want) || i != nil {
				t.Fatalf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What could not be decoded is reported once, and not held against its bounds as well.
func TestAFaultyOptionIsReportedOnce(t *testing.T) {
	for _, src := range []string{"retry: {permanent: [teapot]}", "timeout: soon", "retry: {min: soon}"} {
		if _, problems := build(t, src, Builder{}); len(problems) != 1 {
			t.Errorf("%s: %v", src, problems)
		}
	}
}

func TestOptionsDefaults(t *testing.T) {
	got := mustBuild(t, "plain: x", Builder{}).Options
	want := Options{Timeout: 15 * time.Second, Retry: Retry{For: 72 * time.Hour, Min: time.Second, Max: time.Hour}, Concurrency: 16}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = mustBuild(t, "retry: {max: 200ms, permanent: [404]}\nrate: 30/m\ndry_run: true\nconcurrency: 2\ntimeout: 1m", Builder{}).Options
	want = Options{Timeout: time.Minute, Retry: Retry{For: 72 * time.Hour, Min: 200 * time.Millisecond, Max: 200 * time.Millisecond, Permanent: []int{404}},
		Concurrency: 2, Rate: Rate{0.5}, DryRun: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRegistryRefuses(t *testing.T) {
	none := func(struct{}, Env) (Action, error) { return nil, nil }
	for _, c := range []struct {
		name, want string
		types      []Type
	}{
		{"a name twice", "there are two", []Type{Define("a", Spec[struct{}]{New: none}), Define("a", Spec[struct{}]{New: none})}},
		{"no name", `action type ""`, []Type{Define("", Spec[struct{}]{New: none})}},
		{"a bad name", `action type "A b"`, []Type{Define("A b", Spec[struct{}]{New: none})}},
		{"no New", "no New", []Type{Define("a", Spec[struct{}]{})}},
		{"no struct", "not a struct", []Type{Define("a", Spec[int]{New: func(int, Env) (Action, error) { return nil, nil }})}},
		{"a hidden option", "timeout hides", []Type{Define("a", Spec[struct {
			T int `yaml:"timeout"`
		}]{New: func(struct {
			T int `yaml:"timeout"`
		}, Env) (Action, error) {
			return nil, nil
		}})}},
		{"a field without a tag", "field T has no yaml tag", []Type{Define("a", Spec[struct{ T int }]{New: func(struct{ T int }, Env) (Action, error) { return nil, nil }})}},
		{"a field that cannot be decoded", "cannot be decoded", []Type{Define("a", Spec[struct {
			F func() `yaml:"f"`
		}]{New: func(struct {
			F func() `yaml:"f"`
		}, Env) (Action, error) {
			return nil, nil
		}})}},
		{"the zero Type", "action type", []Type{{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := NewRegistry(c.types...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
	two := registry(t, probeType(), Define("a", Spec[struct{}]{New: none})).Types()
	if len(two) != 2 || two[0].Name() != "a" || two[1].Name() != "probe" || two[1].Summary() != "For tests." {
		t.Errorf("types: %v", two)
	}
}

func TestCarriedOver(t *testing.T) {
	lists := map[string]*lang.List{"vips": lang.NewList([]string{"alice"}), "staff": lang.NewList(nil)}
	file := []byte("one")
	src := "text: '{{ From_Account in vips ? \"a\" : \"b\" }} ${env:ONE}'\nplain: ${env:TWO}\nfile: ca.pem"
	base := func() Builder {
		return Builder{
			Scope:   &lang.Scope{Lists: map[string]*lang.List{"vips": lists["vips"], "staff": lists["staff"]}},
			Secrets: environment(t, "ONE", "first", "TWO", "second"),
			Env:     Env{ReadFile: func(string) ([]byte, error) { return file, nil }},
		}
	}
	first := mustBuild(t, src, base())
	if got := first.Lists(); !cmp.Equal(got, []string{"vips"}) {
		t.Errorf("lists: %v", got)
	}
	prev := func(*Builder) {}
	for _, c := range []struct {
		name   string
		src    string
		change func(*Builder)
		same   bool
	}{
		{"nothing changed", src, prev, true},
		{"moved down the file", "\n\n" + src, prev, true},
		{"another text", src + "\nlevel: high", prev, false},
		{"an option", src + "\ntimeout: 3s", prev, false},
		{"a secret of a template", src, func(b *Builder) { b.Secrets = environment(t, "ONE", "other") }, false},
		{"a secret of a string", src, func(b *Builder) { b.Secrets = environment(t, "TWO", "other") }, false},
		{"the list that it uses", src, func(b *Builder) { b.Scope.Lists["vips"] = lang.NewList(nil) }, false},
		{"another list", src, func(b *Builder) { b.Scope.Lists["staff"] = lang.NewList(nil) }, true},
		{"the file that it read", src, func(b *Builder) { b.Env.ReadFile = func(string) ([]byte, error) { return []byte("two"), nil } }, false},
		{"the mail server", src, func(b *Builder) { b.Env.SMTP.Host = "mx.example" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := base()
			b.Prev = func(name string) *Instance {
				if name == "it" {
					return first
				}
				return nil
			}
			c.change(&b)
			if got := mustBuild(t, "type: probe\n"+c.src, b); (got == first) != c.same {
				t.Errorf("carried over: %v, want %v", got == first, c.same)
			}
		})
	}
}

func TestRender(t *testing.T) {
	i := mustBuild(t, `
text: "{{ From_Account }} lost {{ To_Account }} {{ Delivery.Attempt }} {{ Mutual }} {{ Time }} $${x} ${env:TOKEN}"
url: https://example.com/{{ From_Account }}?t=${env:TOKEN}
headers: {X-From: "{{ From_Account }}"}
to: ["{{ From_Account }}@example.com", "Ops <ops@example.com>"]
tree: {n: "{{ SdkAppid }}", b: "{{ Mutual }}", labels: "{{ Rule.Labels }}", at: "{{ Time }}", text: "n={{ SdkAppid }}", raw: [1, 2.5, true, null, "1", 2026-11-22, "${env:TOKEN}"]}
secret: ${env:TOKEN}
nested: {text: "{{ \"{{\" }} {{ \"}}\" }}"}
`, Builder{Secrets: environment(t, "TOKEN", "s3cr3t-value")})
	got, err := i.Render(delivery())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"preview":        "with [secret]",
		"text":           "alice lost bob 2 false 2026-11-22T08:00:00Z ${x} [secret]",
		"url":            "https://example.com/alice?t=[secret]",
		"headers.X-From": "alice",
		"to":             []any{"alice@example.com", `"Ops" <ops@example.com>`},
		"tree": map[string]any{"n": 1400000000, "b": false, "labels": map[string]any{"team": "care"}, "at": "2026-11-22T08:00:00Z",
			"text": "n=1400000000", "raw": []any{int64(1), 2.5, true, nil, "1", "2026-11-22", "[secret]"}},
		"nested.text": "{{ }}",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if s, err := configOf(i).Text.Render(delivery()); err != nil || !strings.HasSuffix(s, "s3cr3t-value") {
		t.Errorf("the action itself sees %q, %v", s, err)
	}
}

// An action type may quote what it refuses.
func TestRefusedSecretIsMasked(t *testing.T) {
	_, problems := build(t, "plain: bad ${env:TOKEN}", Builder{Secrets: environment(t, "TOKEN", "s3cr3t-value")})
	if got, want := problems.Error(), `a.yaml:2:8: plain: "[secret]" is bad`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRenderNamesTheFieldThatFails(t *testing.T) {
	d := delivery()
	d.Pair.From = "a\r\nBcc: everybody"
	i := mustBuild(t, "headers: {Subject: '{{ From_Account }}'}\ntext: '{{ From_Account }}'\nto: [a@b.example, '{{ From_Account }}@b.example']", Builder{})
	got, err := i.Render(d)
	if err == nil || !IsPermanent(err) || !strings.Contains(err.Error(), "headers.Subject: ") || !strings.Contains(err.Error(), "to.1: ") {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff([]any{"a@b.example", nil}, got["to"]); diff != "" {
		t.Errorf("what fails has no value: %s", diff)
	}
}

// A server may quote the password that it refused.
func TestSecretWrittenOutInTheFileIsMasked(t *testing.T) {
	i := mustBuild(t, "secret: wr0ng-password", Builder{})
	if got := i.masked(errors.New("535 no such password: wr0ng-password")).Error(); got != "535 no such password: [secret]" {
		t.Errorf("got %q", got)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const value = "s3cr3t-value"
	i := mustBuild(t, "secret: ${env:TOKEN}\ntext: ${env:TOKEN}\nurl: https://${env:TOKEN}.example/\ntree: ['${env:TOKEN}']\nto: ['${env:TOKEN}@b.example']",
		Builder{Secrets: environment(t, "TOKEN", value)})
	c := configOf(i)
	if c.Secret.Reveal() != value {
		t.Fatalf("Reveal gives %q", c.Secret.Reveal())
	}
	c.Plain = "" // a plain string is the type's own to keep
	var out bytes.Buffer
	for _, v := range []any{c, *c, c.Secret, &c.Secret, c.Text, c.URL, c.Tree, c.To, []Secret{c.Secret}, map[string]Secret{"a": c.Secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		if j, err := json.Marshal(v); err == nil {
			out.Write(j)
		}
		if y, err := yaml.Marshal(v); err == nil {
			out.Write(y)
		}
	}
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(&out), zap.DebugLevel)
	zap.New(core).Sugar().Infow("said", "any", c, "secret", c.Secret, "stringer", zap.Stringer("s", c.Secret))
	fmt.Fprint(&out, errors.Unwrap(fmt.Errorf("%w: %v", io.EOF, c.Secret)), fmt.Errorf("bad %v", c.Secret))
	text := strings.ToLower(out.String())
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(text, form) {
			t.Errorf("%q is shown", form)
		}
	}
	if !strings.Contains(text, masked) {
		t.Error("nothing is shown at all")
	}
}

func TestRunMasksAndSurvives(t *testing.T) {
	i := mustBuild(t, "secret: ${env:TOKEN}", Builder{Secrets: environment(t, "TOKEN", "s3cr3t-value")})
	a := i.action.(*probeAction)
	boom := errors.New("refused s3cr3t-value")
	a.run = func(context.Context, *Delivery) (Result, error) {
		return Result{Detail: "s3cr3t-value", Sent: []byte("s3cr3t-value"), Received: []byte("s3cr3t-value"), Code: 400}, Permanent(RetryAfter(boom, time.Minute))
	}
	res, err := i.Run(t.Context(), delivery())
	if strings.Contains(fmt.Sprintf("%s %s %s %v", res.Detail, res.Sent, res.Received, err), "s3cr3t") || res.Code != 400 {
		t.Errorf("got %+v, %v", res, err)
	}
	if after, ok := RetryAfterOf(err); !errors.Is(err, boom) || !IsPermanent(err) || !ok || after != time.Minute {
		t.Errorf("the error lost its meaning: %v", err)
	}
	a.run = func(context.Context, *Delivery) (Result, error) { panic("on purpose") }
	_, err = i.Run(t.Context(), delivery())
	var p *PanicError
	if !errors.As(err, &p) || !strings.Contains(string(p.Stack), "probeAction") || strings.Contains(err.Error(), "goroutine") || IsPermanent(err) {
		t.Errorf("a panic came out as %v", err)
	}
	for range 2 {
		if err := i.Close(); err != nil || a.closed != 1 {
			t.Errorf("closed %d times, %v", a.closed, err)
		}
	}
}
