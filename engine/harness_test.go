package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/actions/email"
	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/engine/storetest"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an engine on a store in memory, with actions that the test writes as functions.
type world struct {
	t     testing.TB
	mem   *storetest.Memory
	store engine.Store // mem, or what the test wraps around it
	opt   engine.Options
	log   *observer.ObservedLogs
	reg   *prometheus.Registry

	mu       sync.Mutex
	receive  map[string]receiver // by the action's key
	got      []got
	closed   map[string]int
	accepted int

	eng  *engine.Engine
	stop func()
}

type receiver func(ctx context.Context, d *actions.Delivery) (actions.Result, error)

// got is one attempt that a receiver has seen.
type got struct {
	key string
	d   actions.Delivery
	at  time.Time
}

type fnConfig struct {
	Key  string       `yaml:"key" doc:"The receiver."`
	Text actions.Text `yaml:"text" doc:"Something to render."`
}

type fnAction struct {
	w *world
	c fnConfig
}

func (a *fnAction) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	a.w.mu.Lock()
	a.w.got = append(a.w.got, got{key: a.c.Key, d: *d, at: time.Now()})
	receive := a.w.receive[a.c.Key]
	a.w.mu.Unlock()
	if receive == nil {
		return actions.Result{Detail: "ok"}, nil
	}
	return receive(ctx, d)
}

func (a *fnAction) Close() error {
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.closed[a.c.Key]++
	return nil
}

func newWorld(t testing.TB) *world {
	core, logs := observer.New(zapcore.DebugLevel)
	w := &world{
		t: t, mem: storetest.NewMemory(), log: logs, receive: make(map[string]receiver), closed: make(map[string]int),
		reg: prometheus.NewRegistry(),
	}
	w.opt = engine.Options{Logger: zap.New(core), Mask: &secrets.Mask{}, Dedupe: 10 * time.Minute}
	w.store = w.mem
	return w
}

// rules compiles rules files.
func (w *world) rules(text string) *rules.RuleSet {
	w.t.Helper()
	types := actions.Define("fn", actions.Spec[fnConfig]{New: func(c fnConfig, _ actions.Env) (actions.Action, error) {
		return &fnAction{w: w, c: c}, nil
	}})
	registry, err := actions.NewRegistry(types, email.Type())
	if err != nil {
		w.t.Fatal(err)
	}
	file, err := rules.Parse("rules.yaml", []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	var prev *rules.RuleSet
	if w.eng != nil {
		prev = w.eng.RuleSet()
	}
	set, err := rules.Compile([]*rules.File{file}, rules.Options{
		Registry: registry, Env: actions.Env{Logger: zap.NewNop(), Dial: new(net.Dialer).DialContext}, Prev: prev, Mask: w.opt.Mask,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return set
}

// start runs an engine with the rules until the test ends or stop is called.
func (w *world) start(text string) {
	w.t.Helper()
	w.eng = nil
	w.opt.Store, w.opt.Registerer = w.store, w.reg
	set := w.rules(text)
	w.eng = engine.New(w.opt)
	w.eng.Swap(set)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.eng.Run(ctx) }()
	var once sync.Once
	w.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				w.t.Errorf("Run: %v", err)
			}
		})
	}
	w.t.Cleanup(w.stop)
}

// restart stops the engine and runs a new one on what it stored, as after a crash.
func (w *world) restart(text string) {
	w.stop()
	w.mem.SetFail(nil)
	w.mem = w.mem.Reopen()
	w.store, w.reg = w.mem, prometheus.NewRegistry()
	w.start(text)
}

// send accepts a callback of pairs such as "a>b", with a RequestId or "".
func (w *world) send(requestID string, pairs ...string) {
	w.t.Helper()
	if err := w.eng.Accept(context.Background(), packet(w.t, requestID, pairs...)); err != nil {
		w.t.Fatal(err)
	}
	w.accepted++
}

func packet(t testing.TB, requestID string, pairs ...string) *callback.Callback {
	t.Helper()
	type pair struct{ From_Account, To_Account string }
	list := []pair{}
	for _, p := range pairs {
		from, to, _ := strings.Cut(p, ">")
		list = append(list, pair{from, to})
	}
	body, err := json.Marshal(map[string]any{"CallbackCommand": callback.Command, "PairList": list})
	if err != nil {
		t.Fatal(err)
	}
	query := "SdkAppid=1400000000&CallbackCommand=" + callback.Command + "&contenttype=json&OptPlatform=iOS"
	if requestID != "" {
		query += "&RequestId=" + requestID
	}
	cb, err := callback.Parse(query, body, time.Now().UTC())
	if err != nil {
		t.Fatal(err)
	}
	return cb
}

// seen gives the attempts that a receiver has seen.
func (w *world) seen(key string) []got {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []got
	for _, g := range w.got {
		if g.key == key {
			all = append(all, g)
		}
	}
	return all
}

// settle waits, in a synctest bubble, until nothing is pending.
func (w *world) settle() {
	w.t.Helper()
	for i := range 100_000 {
		time.Sleep(time.Duration(1+i/10_000) * 250 * time.Millisecond) // some 38 hours: less than a delivery may take
		synctest.Wait()
		if s := w.eng.Status(); s.Waiting == 0 && s.Pending == 0 && s.Loose == 0 {
			return
		}
	}
	w.t.Fatalf("it never settled: %+v", w.eng.Status())
}

// balance checks the totals against the events and gives both, and the events by delivery.
func (w *world) balance() (engine.Totals, map[string][]engine.Ended) {
	w.t.Helper()
	ctx := context.Background()
	var want engine.Totals
	matched := make(map[engine.PackIndex]bool)
	created := make(map[string]bool)
	ended := make(map[string][]engine.Ended)
	final := make(map[string]string)
	for pack, err := range w.mem.Events(ctx, 0) {
		if err != nil {
			w.t.Fatal(err)
		}
		for _, ev := range pack.Events {
			if c := ev.Matched; c != nil {
				at := engine.PackIndex{Seq: c.Seq, Index: c.Index, Pair: c.FirstPair}
				if matched[at] {
					w.t.Errorf("callback %v was recorded twice", at)
				}
				matched[at] = true
				if c.Repeat {
					want.Repeats++
					continue
				}
				want.Pairs += uint64(c.Pairs)
				if c.FirstPair == 0 {
					want.Callbacks++
				}
				if c.FirstPair == 0 && !c.More && len(c.Matches) == 0 {
					want.Unmatched++
				}
				for _, h := range c.Matches {
					if h.Shadow {
						want.ShadowMatches++
					} else {
						want.Matches++
					}
				}
				for _, j := range c.Deliveries {
					if created[j.ID] {
						w.t.Errorf("delivery %s was made twice", j.ID)
					}
					created[j.ID] = true
					want.Created++
				}
				want.ConditionErrors += uint64(c.ConditionErrs)
			}
			if u := ev.Unmatched; u != nil {
				for i := range 1024 {
					at := engine.PackIndex{Seq: u.Seq, Index: i}
					if !u.Has(i) {
						continue
					}
					if matched[at] {
						w.t.Errorf("callback %v was recorded twice", at)
					}
					matched[at] = true
					want.Callbacks++
					want.Unmatched++
				}
				want.Pairs += uint64(u.Pairs)
			}
			if d := ev.Ended; d != nil {
				ended[d.Delivery] = append(ended[d.Delivery], *d)
				if !created[d.Delivery] {
					w.t.Errorf("delivery %s has an outcome and was never made", d.Delivery)
				}
				if d.Outcome == engine.OutcomeDone || d.Outcome == engine.OutcomeDead {
					if was := final[d.Delivery]; was != "" {
						w.t.Errorf("delivery %s ended twice: %s, then %s", d.Delivery, was, d.Outcome)
					}
					final[d.Delivery] = d.Outcome
					if d.Outcome == engine.OutcomeDone {
						want.Done++
					} else {
						want.Dead++
					}
				}
			}
		}
	}
	have, _, err := w.mem.Totals(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	have.Rules, want.Refused, want.Quarantined = nil, have.Refused, have.Quarantined
	if fmt.Sprint(*have) != fmt.Sprint(want) {
		w.t.Errorf("the stored totals are\n%+v, the events say\n%+v", *have, want)
	}
	dead := 0
	for letter, err := range w.mem.DeadLetters(ctx) {
		if err != nil {
			w.t.Fatal(err)
		}
		if final[letter.Job.ID] == engine.OutcomeDead {
			dead++
		}
	}
	if uint64(dead) != want.Dead {
		w.t.Errorf("%d of %d dead deliveries have their dead letter", dead, want.Dead)
	}
	return want, ended
}

// expect checks what the counts are once all is settled.
func (w *world) expect(done, dead uint64) map[string][]engine.Ended {
	w.t.Helper()
	w.settle()
	totals, ended := w.balance()
	if totals.Done != done || totals.Dead != dead || totals.Created != done+dead {
		w.t.Errorf("created %d, done %d, dead %d; want done %d, dead %d", totals.Created, totals.Done, totals.Dead, done, dead)
	}
	if live := w.eng.Totals(); live.Created != totals.Created || live.Done != done || live.Dead != dead || live.Pending() != 0 {
		w.t.Errorf("the engine counts %+v, the store %+v", live, totals)
	}
	return ended
}

// outcomes gives how a delivery's attempts ended, in order.
func outcomes(history []engine.Ended) string {
	var all []string
	for _, e := range history {
		all = append(all, e.Outcome)
	}
	return strings.Join(all, " ")
}

// only gives the single history there is.
func only(t testing.TB, ended map[string][]engine.Ended) []engine.Ended {
	t.Helper()
	if len(ended) != 1 {
		t.Fatalf("%d deliveries have a history, want 1", len(ended))
	}
	for _, history := range ended {
		return history
	}
	return nil
}
