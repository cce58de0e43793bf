package engine

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/callback"
)

// metrics are the engine's part of what is shown at /metrics. No label names an account, a rule or a secret.
type metrics struct {
	callbacks       map[callback.Outcome]prometheus.Counter
	callbackSeconds prometheus.Histogram
	pairs           prometheus.Counter
	matches         prometheus.Counter
	shadowMatches   prometheus.Counter
	conditionErrors prometheus.Counter
	repeats         prometheus.Counter
	deliveries      *prometheus.CounterVec
	seconds         *prometheus.HistogramVec
	abandoned       prometheus.Gauge
	reloads         *prometheus.CounterVec
	reloaded        prometheus.Gauge
}

func newMetrics(e *Engine, reg prometheus.Registerer) *metrics {
	f := &factory{reg}
	m := &metrics{
		callbacks: make(map[callback.Outcome]prometheus.Counter),
		callbackSeconds: f.histogram("aftermath_callback_seconds", "Time from the first byte of a request to its answer.",
			prometheus.ExponentialBuckets(0.0005, 2, 13)),
		pairs:           f.counter("aftermath_pairs_total", "Pairs that the rules have seen."),
		matches:         f.counter("aftermath_matches_total", "Pairs matched by a rule, once for each rule; shadow rules apart."),
		shadowMatches:   f.counter("aftermath_shadow_matches_total", "Pairs matched by a shadow rule, once for each rule."),
		conditionErrors: f.counter("aftermath_condition_errors_total", "Conditions that failed at run time."),
		repeats:         f.counter("aftermath_repeats_total", "Stored callbacks that were repeats of earlier ones."),
		deliveries: f.counters("aftermath_deliveries_total", "How attempts ended (done, retry, dead), and deliveries put off without one (parked).",
			"type", "outcome"),
		seconds:   f.histograms("aftermath_delivery_seconds", "How long attempts took.", prometheus.ExponentialBuckets(0.001, 2, 16), "type"),
		abandoned: f.gauge("aftermath_abandoned_attempts", "Attempts that still run though their time is over."),
		reloads:   f.counters("aftermath_rules_reload_total", "Reloads of the rules, by outcome: ok or error.", "outcome"),
		reloaded:  f.gauge("aftermath_rules_last_reload_successful", "1 where the rules on disk run, 0 where they were refused."),
	}
	callbacks := f.counters("aftermath_callbacks_total", "Requests at the callback port, by how they ended.", "outcome")
	for _, o := range callback.Outcomes() {
		m.callbacks[o] = callbacks.WithLabelValues(string(o))
	}
	for _, outcome := range []string{"ok", "error"} {
		m.reloads.WithLabelValues(outcome)
	}
	f.watch(e)
	return m
}

// watch registers the gauges that look at the engine when they are asked.
func (f *factory) watch(e *Engine) {
	f.gaugeFunc("aftermath_deliveries_pending", "Deliveries that have not ended.", func() float64 {
		t := e.Totals()
		return float64(t.Pending())
	})
	f.gaugeFunc("aftermath_dead_letters", "Deliveries that were given up.", func() float64 { return float64(e.Totals().Dead) })
	f.gaugeFunc("aftermath_loose_deliveries", "Deliveries in memory.", func() float64 { return float64(len(e.loose)) })
	f.gaugeFunc("aftermath_unrecorded_events", "Events in memory that wait to be recorded.", func() float64 {
		return float64(e.ledger.waiting())
	})
	f.gaugeFunc("aftermath_breakers_open", "Actions that are spared since they keep failing.", func() float64 {
		open := 0
		now := time.Now()
		for _, r := range e.runners.all() {
			if s := r.state(now); s.Breaker == "open" || s.Breaker == "probing" {
				open++
			}
		}
		return float64(open)
	})
	f.gaugeFunc("aftermath_rules", "Rules of the running set.", func() float64 {
		if rs := e.RuleSet(); rs != nil {
			return float64(len(rs.Rules))
		}
		return 0
	})
}

// show shows the series of the types that a set's actions have from the first moment, so that what is alerted on is there, and its
// first increase is seen.
func (m *metrics) show(instances []*actions.Instance) {
	shown := map[string]bool{}
	for _, a := range instances {
		if shown[a.Type] {
			continue
		}
		shown[a.Type] = true
		for _, outcome := range []string{OutcomeDone, OutcomeRetry, OutcomeDead, OutcomeParked} {
			m.deliveries.WithLabelValues(a.Type, outcome)
		}
		m.seconds.WithLabelValues(a.Type)
	}
}

// count counts what was recorded.
func (m *metrics) count(events []Event) {
	var t Totals
	for i := range events {
		t.Add(&events[i])
		if d := events[i].Ended; d != nil {
			m.deliveries.WithLabelValues(d.Type, d.Outcome).Inc()
		}
	}
	m.pairs.Add(float64(t.Pairs))
	m.matches.Add(float64(t.Matches))
	m.shadowMatches.Add(float64(t.ShadowMatches))
	m.conditionErrors.Add(float64(t.ConditionErrors))
	m.repeats.Add(float64(t.Repeats))
}

// factory makes metrics and registers them where there is a registerer.
type factory struct{ reg prometheus.Registerer }

func register[C prometheus.Collector](f *factory, c C) C {
	if f.reg != nil {
		f.reg.MustRegister(c)
	}
	return c
}

func (f *factory) counter(name, help string) prometheus.Counter {
	return register(f, prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help}))
}

func (f *factory) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return register(f, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

func (f *factory) gauge(name, help string) prometheus.Gauge {
	return register(f, prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help}))
}

func (f *factory) gaugeFunc(name, help string, value func() float64) {
	register(f, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (f *factory) histogram(name, help string, buckets []float64) prometheus.Histogram {
	return register(f, prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}))
}

func (f *factory) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(f, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels))
}
