package lang

import (
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
)

// names are the names of a condition with the zero value of their type.
var names = map[string]any{
	"From_Account":    "",
	"To_Account":      "",
	"CallbackCommand": "",
	"ClientIP":        "",
	"OptPlatform":     "",
	"RequestId":       "",
	"SdkAppid":        0,
	"PairCount":       0,
	"PairIndex":       0,
	"Mutual":          false,
	"Time":            time.Time{},
}

// templateNames are what templates may name besides. Inside, a name and its field are one word.
var templateNames = map[string]any{
	"Rule.Name":        "",
	"Rule.Labels":      map[string]string{},
	"Delivery.ID":      "",
	"Delivery.Attempt": 0,
}

// functions are all functions of the language: expr's own, and those of overrides.
var functions = set("len", "lower", "upper", "trim", "trimPrefix", "trimSuffix", "indexOf", "lastIndexOf", "int", "float",
	"string", "abs", "min", "max", "floor", "ceil", "round", "cidr", "sample", "inZone")

// timeMethods are the methods of a time. Inside, Time.Hour() is a call of the function "Time.Hour".
var timeMethods = map[string]func(time.Time) int{
	"Hour":    time.Time.Hour,
	"Minute":  time.Time.Minute,
	"Weekday": func(t time.Time) int { return int(t.Weekday()) },
	"Day":     time.Time.Day,
	"Month":   func(t time.Time) int { return int(t.Month()) },
	"Year":    time.Time.Year,
	"Unix":    func(t time.Time) int { return int(t.Unix()) },
}

// timeMethod gives the method that the function "Time.Hour" and its like stand for, or nil.
func timeMethod(function string) func(time.Time) int {
	method, ok := strings.CutPrefix(function, "Time.")
	if !ok {
		return nil
	}
	return timeMethods[method]
}

// keywords are expr's words that are neither names nor functions.
var keywords = set("true", "false", "nil", "not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let",
	"if", "else")

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// newConfig describes the language to expr's parser, type checker and compiler.
func newConfig(lists map[string]*List, template bool) *conf.Config {
	env := maps.Clone(names)
	for name := range lists {
		if ValidListName(name) == nil {
			env[name] = map[string]struct{}{}
		}
	}
	if template {
		maps.Copy(env, templateNames)
	}
	c := conf.New(env)
	if !template {
		c.Expect = reflect.Bool
	}
	for name, f := range overrides() {
		types := make([]reflect.Type, len(f.types))
		for i, t := range f.types {
			types[i] = reflect.TypeOf(t)
		}
		c.Functions[name] = &builtin.Function{Name: name, Func: f.run, Types: types}
	}
	return c
}

// config gives the scope's shared configuration. The caller holds s.mu.
func (s *Scope) config(template bool) *conf.Config {
	at := &s.condition
	if template {
		at = &s.template
	}
	if *at == nil {
		*at = newConfig(s.Lists, template)
	}
	return *at
}
