package actions

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Options are the fields that every action has.
type Options struct {
	Timeout     time.Duration `yaml:"timeout" doc:"How long one attempt may take."`
	Retry       Retry         `yaml:"retry" doc:"When a failed attempt is repeated."`
	Concurrency int           `yaml:"concurrency" doc:"How many attempts may run at once."`
	Rate        Rate          `yaml:"rate" doc:"How many attempts may start per time, such as 50/s."`
	DryRun      bool          `yaml:"dry_run" doc:"Render and log what would be sent, and send nothing."`
}

// Retry is the schedule of repeated attempts: exponential with jitter.
type Retry struct {
	MaxAttempts int           `yaml:"max_attempts" doc:"How many attempts in all; 0: as many as fit."`
	For         time.Duration `yaml:"for" doc:"How long after the first attempt another may start."`
	Min         time.Duration `yaml:"min" doc:"The wait after the first failure."`
	Max         time.Duration `yaml:"max" doc:"The longest wait between two attempts."`
	Permanent   []int         `yaml:"permanent" doc:"Status or reply codes after which there is no retry."`
}

// DefaultOptions are the options of an action that sets none.
func DefaultOptions() Options {
	return Options{
		Timeout:     15 * time.Second,
		Retry:       Retry{For: 72 * time.Hour, Min: time.Second, Max: time.Hour},
		Concurrency: 16,
	}
}

const (
	maxTimeout     = time.Hour
	maxConcurrency = 10_000
)

// decodeOptions reads the options of the mapping n, and checks them against each other.
func decodeOptions(d *strictyaml.Decoder, n *yaml.Node) Options {
	o := DefaultOptions()
	d.Decode(n, &o)
	o.Retry.widen(n)
	at := func(path string) *yaml.Node { return nodeAt(n, path) }
	check := func(ok bool, path, format string, args ...any) {
		if !ok && !d.Faulty(at(path)) {
			d.Problemf(at(path), "%s", path+" "+fmt.Sprintf(format, args...))
		}
	}
	check(o.Timeout > 0 && o.Timeout <= maxTimeout, "timeout", "must be more than 0 and at most %s", "1h")
	check(o.Concurrency >= 1 && o.Concurrency <= maxConcurrency, "concurrency", "must be from 1 to %d", maxConcurrency)
	r := o.Retry
	check(r.MaxAttempts >= 0, "retry.max_attempts", "must not be negative; 0 means as many as fit into retry.for")
	check(r.For >= 0, "retry.for", "must not be negative")
	check(r.Min > 0, "retry.min", "must be more than 0")
	check(r.Max > 0, "retry.max", "must be more than 0")
	if r.Min > 0 && r.Max > 0 {
		check(r.Min <= r.Max, "retry.min", "must not be more than retry.max")
	}
	for i, code := range r.Permanent {
		check(code >= 100 && code <= 599, "retry.permanent."+strconv.Itoa(i), "must be a status or reply code, from 100 to 599")
	}
	return o
}

// widen moves the default of min or max out of the way of the other one where only that is set.
func (r *Retry) widen(n *yaml.Node) {
	if r.Min <= r.Max {
		return
	}
	_, minSet := lookup(n, "retry.min")
	_, maxSet := lookup(n, "retry.max")
	switch {
	case maxSet && !minSet && r.Max > 0:
		r.Min = r.Max
	case minSet && !maxSet:
		r.Max = r.Min
	}
}

// Rate is a number of attempts per second; 0 is unlimited. In YAML: 50/s, 10/m, 100/h.
type Rate struct{ PerSecond float64 }

var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// UnmarshalNode decodes a rate such as 50/s.
func (r *Rate) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	rate, err := parseRate(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.Problemf(n, "a rate is a number per second, minute or hour, such as 50/s, 10/m or 100/h")
		return
	}
	*r = rate
}

func parseRate(s string) (Rate, error) {
	count, unit, _ := strings.Cut(strings.TrimSpace(s), "/")
	seconds, ok := rateUnits[unit]
	if !ok {
		return Rate{}, fmt.Errorf("no unit in %q", s)
	}
	n, err := strconv.ParseUint(count, 10, 31)
	if err != nil {
		return Rate{}, err
	}
	if n == 0 {
		return Rate{}, fmt.Errorf("a rate of 0 would never run")
	}
	return Rate{float64(n) / seconds}, nil
}

// JSONSchema describes the field in the configuration's schema.
func (Rate) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": `^[1-9][0-9]*/[smh]$`}
}
