package ruletest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/aftermath-rules/aftermath/actions"
)

// render compares the fields that a test names with what the rule's actions make of the pair.
func (c *comparison) render(w Want, m match, label string) {
	done := map[string]rendering{}
	for _, want := range w.Render {
		full, field := "", ""
		for _, action := range m.rule.Actions {
			for _, name := range []string{action, m.rule.ActionName(action)} {
				if rest, ok := strings.CutPrefix(want.Field, name+"."); ok && (full == "" || len(rest) < len(field)) {
					full, field = action, rest
				}
			}
		}
		if full == "" {
			c.fail("%s has no action that %s could be of", label, want.Field)
			c.row("  "+want.Field, "  there is no such action among "+bracketed(m.rule.Actions), false)
			continue
		}
		r, ok := done[full]
		if !ok {
			r = c.rendering(full, m)
			done[full] = r
		}
		got, ok := lookup(r.fields, field)
		if !ok || got == nil && r.err != nil {
			c.fail("%s of %s is not what was expected", want.Field, label)
			c.row("  "+want.Field+": "+want.shown(), "  "+want.Field+": "+r.missing(field), false)
			continue
		}
		if !want.equal(got) {
			c.fail("%s of %s is not what was expected", want.Field, label)
			c.row("  "+want.Field+": "+want.shown(), "  "+want.Field+": "+shown(got), false)
		}
	}
}

// rendering is what an action makes of a delivery.
type rendering struct {
	fields map[string]any
	err    error
}

func (c *comparison) rendering(action string, m match) rendering {
	inst, ok := c.set.Action(action)
	if !ok { // can't be: the set was compiled
		return rendering{err: fmt.Errorf("there is no action %s", action)}
	}
	fields, err := inst.Render(Delivery(c.set, actions.Rule{Name: m.rule.Name, Labels: m.rule.Labels}, action, c.cb, m.pair))
	return rendering{fields, err}
}

// missing says why a field is not there.
func (r rendering) missing(field string) string {
	if r.err != nil {
		return strings.ReplaceAll(r.err.Error(), "\n", "; ")
	}
	return fmt.Sprintf("the action has no field %q; it has %s", field, strings.Join(slices.Sorted(maps.Keys(r.fields)), ", "))
}

// lookup finds a dotted path: fields may have dots in their names, and what follows leads down into a tree.
func lookup(v any, path string) (any, bool) {
	if path == "" {
		return v, true
	}
	switch v := v.(type) {
	case map[string]any:
		if x, ok := v[path]; ok {
			return x, true
		}
		for i := len(path) - 1; i > 0; i-- {
			if path[i] != '.' {
				continue
			}
			if x, ok := v[path[:i]]; ok {
				if found, ok := lookup(x, path[i+1:]); ok {
					return found, true
				}
			}
		}
	case []any:
		number, rest, _ := strings.Cut(path, ".")
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(v) {
			return lookup(v[i], rest)
		}
	case string, bool, nil, int, int64, float64:
	default: // a struct or a map of another kind: as it goes into JSON
		if tree, err := asJSON(v); err == nil && reflect.TypeOf(tree) != reflect.TypeOf(v) {
			return lookup(tree, path)
		}
	}
	return nil, false
}

// equal tells whether a rendered value is what the test expects: a text as it is written, all else by its value in JSON.
func (r *Rendered) equal(got any) bool {
	if text, ok := got.(string); ok && r.plain {
		return text == r.Text
	}
	a, errA := asJSON(r.Value)
	b, errB := asJSON(got)
	return errA == nil && errB == nil && reflect.DeepEqual(a, b)
}

// asJSON gives a value as JSON has it, so that an int equals an int64.
func asJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var out any
	err = dec.Decode(&out)
	return out, err
}

func (r *Rendered) shown() string {
	if r.plain {
		if _, text := r.Value.(string); text {
			return shown(r.Text)
		}
	}
	return shown(r.Value)
}

// shown writes a value on one line, its special characters escaped.
func shown(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	return strings.TrimSuffix(b.String(), "\n")
}
