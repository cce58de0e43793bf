package actionstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/aftermath-rules/aftermath/actions"
)

// Config is what the suite needs to know of a type. An action is written as the fields of a rules file, without its type.
type Config struct {
	Good    []string          // actions that can be built; each is also run, against receivers that refuse and that hang
	Bad     []string          // actions that must be refused when they are loaded
	Secrets map[string]string // variables for ${env:NAME} in Good; their values must not show anywhere
	Env     *actions.Env      // where the type needs more than Env gives; nil otherwise
}

const (
	grace      = 2 * time.Second // how long after its context's end an attempt may take
	tooLong    = 30 * time.Second
	concurrent = 8
)

// Run is the conformance suite: what the engine counts on, and what a user of the type may count on.
func Run(t *testing.T, typ actions.Type, c Config) {
	for name, value := range c.Secrets {
		t.Setenv(name, value)
	}
	s := &suite{typ: typ, Config: c}
	t.Run("unknown keys are refused", s.refusesUnknownKeys)
	t.Run("the schema names every field", s.hasSchema)
	for i, bad := range c.Bad {
		t.Run(fmt.Sprintf("bad %d is refused", i), func(t *testing.T) { s.refuses(t, bad) })
	}
	if len(c.Good) == 0 {
		t.Error("the suite needs at least one good action")
	}
	for i, good := range c.Good {
		t.Run(fmt.Sprintf("good %d", i), func(t *testing.T) {
			t.Run("New connects nowhere, writes nothing and starts nothing", func(t *testing.T) { s.newIsQuiet(t, good) })
			t.Run("nothing changed, the same action", func(t *testing.T) { s.isCarriedOver(t, good) })
			t.Run("it ends with its context", func(t *testing.T) { s.endsWithContext(t, good) })
			t.Run("an ended context sends nothing", func(t *testing.T) { s.endedContext(t, good) })
			t.Run("hostile accounts, many at once", func(t *testing.T) { s.survivesHostility(t, good) })
			t.Run("a preview shows no secret", func(t *testing.T) { s.previews(t, good) })
			t.Run("it can be closed twice", func(t *testing.T) { s.closes(t, good) })
		})
	}
}

type suite struct {
	typ actions.Type
	Config
}

func (s *suite) env(t testing.TB) actions.Env {
	if s.Env != nil {
		return *s.Env
	}
	return Env(t)
}

func (s *suite) build(t testing.TB, yaml string, env actions.Env) *actions.Instance {
	t.Helper()
	return BuildEnv(t, s.typ, yaml, env)
}

func (s *suite) refusesUnknownKeys(t *testing.T) {
	yaml := "no_such_field: 1"
	if len(s.Good) > 0 {
		yaml = strings.TrimRight(s.Good[0], "\n") + "\n" + yaml
	}
	if problems := Problems(t, s.typ, yaml); !strings.Contains(strings.Join(problems, "\n"), "no_such_field") {
		t.Errorf("an unknown key is not reported: %q", problems)
	}
}

func (s *suite) hasSchema(t *testing.T) {
	registry, err := actions.NewRegistry(s.typ)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(registry.Schema()); !strings.Contains(text, s.typ.Name()) || !strings.Contains(text, "timeout") {
		t.Errorf("the schema does not describe the type: %s", text)
	}
}

func (s *suite) refuses(t *testing.T, bad string) {
	problems := Problems(t, s.typ, bad)
	if len(problems) == 0 {
		t.Errorf("this was loaded:\n%s", bad)
	}
	for _, p := range problems {
		s.noSecret(t, "a problem", p)
	}
}

func (s *suite) newIsQuiet(t *testing.T, good string) {
	env := s.env(t)
	env.LogFile = nil // as check has it
	env.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
		t.Errorf("New connects to %s", address)
		return nil, errors.New("not while loading")
	}
	before := goleak.IgnoreCurrent()
	s.build(t, good, env)
	if err := goleak.Find(before); err != nil {
		t.Errorf("New started a goroutine: %v", err)
	}
}

func (s *suite) isCarriedOver(t *testing.T, good string) {
	env := s.env(t)
	first := s.build(t, good, env)
	second, problems := build(t, s.typ, good, env, first)
	if len(problems) > 0 || second != first {
		t.Errorf("the same configuration made another action; problems: %v", problems)
	}
}

// endsWithContext lets every connection hang, as a receiver does that takes no packets.
func (s *suite) endsWithContext(t *testing.T, good string) {
	env := s.env(t)
	var running atomic.Bool // New must not connect, and another test says so: here it must not hang either
	env.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if !running.Load() {
			return nil, errors.New("not while loading")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	instance := s.build(t, good, env)
	running.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s.within(t, 50*time.Millisecond+grace, func() { s.attempt(t, ctx, instance, Delivery()) })
}

func (s *suite) endedContext(t *testing.T, good string) {
	env := s.env(t)
	var sent atomic.Int32
	env.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		if ctx.Err() == nil {
			sent.Add(1)
		}
		return nil, errors.New("refused")
	}
	instance := s.build(t, good, env)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.within(t, grace, func() { s.attempt(t, ctx, instance, Delivery()) })
	if sent.Load() > 0 {
		t.Error("it connects with a context that has ended: pass the context on")
	}
}

// survivesHostility runs hostile deliveries from several goroutines at once, against a receiver that refuses.
func (s *suite) survivesHostility(t *testing.T, good string) {
	env := s.env(t)
	env.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}
	instance := s.build(t, good, env)
	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel()
	s.within(t, tooLong, func() {
		var wg sync.WaitGroup
		for range concurrent {
			wg.Go(func() {
				// Its own, so that an action that changes one is found by that, not by a data race.
				for _, d := range append(HostileDeliveries(), Delivery()) {
					s.attempt(t, ctx, instance, d)
				}
			})
		}
		wg.Wait()
	})
}

// attempt runs one attempt and looks at what it left behind.
func (s *suite) attempt(t *testing.T, ctx context.Context, instance *actions.Instance, d *actions.Delivery) {
	before := *d
	before.Rule.Labels = maps.Clone(d.Rule.Labels)
	before.State = slices.Clone(d.State)
	res, err := instance.Run(ctx, d)
	var p *actions.PanicError
	if errors.As(err, &p) {
		t.Errorf("it panicked on %q and %q: %v\n%s", d.Pair.From, d.Pair.To, p.Value, p.Stack)
	}
	if !reflect.DeepEqual(before, *d) {
		t.Errorf("it changed the delivery %s, which every attempt must find the same", before.ID)
	}
	if len(res.State) > 64<<10 {
		t.Errorf("Result.State has %d bytes; the most is 64 KiB", len(res.State))
	}
	if err != nil {
		s.noSecret(t, "an error", err.Error())
	}
	s.noSecret(t, "a result", fmt.Sprintf("%s %s %s %s", res.Detail, res.Sent, res.Received, res.State))
}

func (s *suite) previews(t *testing.T, good string) {
	instance := s.build(t, good, s.env(t))
	fields, err := instance.Render(Delivery())
	if err != nil {
		t.Errorf("the sample delivery cannot be rendered: %v", err)
	}
	s.noSecret(t, "a preview", fmt.Sprint(fields))
	for _, d := range HostileDeliveries() {
		fields, err := instance.Render(d)
		var p *actions.PanicError
		if errors.As(err, &p) || err != nil && !actions.IsPermanent(err) {
			t.Errorf("rendering %q and %q: %v", d.Pair.From, d.Pair.To, err)
		}
		s.noSecret(t, "a preview", fmt.Sprint(fields, err))
	}
}

func (s *suite) closes(t *testing.T, good string) {
	env := s.env(t)
	env.LogFile = func(string, int64, int) (io.WriteCloser, error) { return os.OpenFile(os.DevNull, os.O_WRONLY, 0) }
	env.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	unused, used := s.build(t, good, env), s.build(t, good, env)
	before := goleak.IgnoreCurrent()
	s.attempt(t, t.Context(), used, Delivery())
	for _, instance := range []*actions.Instance{unused, used} {
		for range 2 {
			if err := instance.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("it left a goroutine behind: %v", err)
	}
}

// within fails the test where f takes longer than d.
func (s *suite) within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(d):
		stacks := make([]byte, 64<<10)
		t.Fatalf("it has not returned %s after it should have\n%s", grace, stacks[:runtime.Stack(stacks, true)])
	}
}

func (s *suite) noSecret(t *testing.T, where, text string) {
	t.Helper()
	for name, value := range s.Secrets {
		if value != "" && strings.Contains(text, value) {
			t.Errorf("%s shows the secret %s", where, name)
		}
	}
}
