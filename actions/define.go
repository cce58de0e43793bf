package actions

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/aftermath-rules/aftermath/internal/schema"
)

// Spec says what an action type is. C is its configuration: a struct with yaml tags whose fields may be strings, numbers, bools,
// time.Duration, slices, maps, structs, and this package's Text, Tree, Secret, URL, HTML, Header, Address and Rate. Further tags:
// doc (shown in the schema), enum ("a,b,c": the values that a string may have) and required ("true").
type Spec[C any] struct {
	Summary  string   // one line for the schema and the documentation
	Defaults func() C // nil: the zero value
	// New makes the action. It reads no network and starts no goroutine, so that check can call it. An error is reported at
	// the action's place; a *FieldError at the field's; joined errors each at its own.
	New func(C, Env) (Action, error)
}

// Type is a registered action type: a value of Define.
type Type struct {
	name string
	impl typeImpl
}

// Name is the type's name, as rules files write it.
func (t Type) Name() string { return t.name }

// Summary is one line about the type.
func (t Type) Summary() string { return t.impl.summary() }

// typeImpl is a Spec without its type parameter.
type typeImpl interface {
	summary() string
	config() any                              // a pointer to a new configuration, with its defaults
	make(config any, env Env) (Action, error) // a panic of the type's own code is an error
	schema() map[string]any                   // of the type's own fields
	check() (fields []configField, err error) // what keeps the type from being registered
}

// Define makes an action type of a name ([a-z0-9_-]+) and its Spec. What is wrong with them is said by NewRegistry.
func Define[C any](name string, spec Spec[C]) Type {
	return Type{name: name, impl: definition[C]{spec}}
}

type definition[C any] struct{ spec Spec[C] }

func (d definition[C]) summary() string { return d.spec.Summary }

func (d definition[C]) config() any {
	c := new(C)
	if d.spec.Defaults != nil {
		*c = d.spec.Defaults()
	}
	return c
}

func (d definition[C]) make(config any, env Env) (a Action, err error) {
	defer func() {
		if p := recover(); p != nil {
			a, err = nil, fmt.Errorf("the action type's own code panicked: %v", p)
		}
	}()
	a, err = d.spec.New(*config.(*C), env)
	if err == nil && a == nil {
		err = errors.New("the action type made no action")
	}
	return a, err
}

func (d definition[C]) schema() map[string]any { return schema.Of(d.config()) }

func (d definition[C]) check() ([]configField, error) {
	if d.spec.New == nil {
		return nil, errors.New("its Spec has no New")
	}
	t := reflect.TypeFor[C]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("its configuration is a %s, not a struct", t)
	}
	return fieldsOf(t)
}
