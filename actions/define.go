package actions

import (
	"context"
	"io"
	"net"
	"time"

	"go.uber.org/zap"
	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Spec says what an action type is. C is its configuration: a struct with yaml tags (and doc tags, which the schema shows) whose
// fields may be strings, numbers, bools, time.Duration, slices, maps, structs, and this package's Text, Tree, Secret, URL, HTML,
// Header and Address.
type Spec[C any] struct {
	Summary  string   // one line for the schema and the documentation
	Defaults func() C // nil: the zero value
	// New makes the action. It reads no network and starts no goroutine, so that check can call it. An error is reported at
	// the action's place; a *FieldError at the field's.
	New func(C, Env) (Action, error)
}

// FieldError is a configuration error at one field.
type FieldError struct {
	Field string // its yaml name; nested ones with dots
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }
func (e *FieldError) Unwrap() error { return e.Err }

// Env lends an action what is shared.
type Env struct {
	Name   string      // the action's name
	Logger *zap.Logger // the program's own log; never nil
	// Dial connects where the network section of the configuration allows, checked on the address dialled.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LogFile opens a rotated file below the first folder of rules_may.files; actions that name the same file share it. Nil
	// where nothing may be written (check).
	LogFile func(path string, maxSize int64, maxFiles int) (io.WriteCloser, error)
	// ReadFile reads a file that the rules may use (a CA, a certificate); a relative path is relative to the rules file.
	ReadFile func(path string) ([]byte, error)
	SMTP     SMTP // the defaults of the configuration
}

// SMTP is how to reach a mail server.
type SMTP struct {
	Host     string `yaml:"host" doc:"The mail server's name."`
	Port     int    `yaml:"port" doc:"Its port: 587 by default, 465 with tls: implicit."`
	TLS      string `yaml:"tls" enum:"starttls,implicit,none" doc:"starttls is required, never downgraded."`
	Username string `yaml:"username" doc:"The name to log in with; without one, no login."`
	Password Secret `yaml:"password" doc:"The password to log in with."`
	From     string `yaml:"from" doc:"The sender's address."`
}

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

// Rate is a number of attempts per second; 0 is unlimited. In YAML: 50/s, 10/m, 100/h.
type Rate struct{ PerSecond float64 }

// Type is a registered action type: a value of Define.
type Type struct {
	name string
	impl typeImpl
}

// Name is the type's name, as rules files write it.
func (t Type) Name() string { return t.name }

type typeImpl interface{}

// Define makes an action type of a name ([a-z0-9_-]+) and its Spec.
func Define[C any](name string, spec Spec[C]) Type { return Type{name: name} }

// Registry is the action types that a program knows. It is a value: nothing registers itself.
type Registry struct{}

// NewRegistry makes a registry. A name given twice, an empty name, a configuration struct that cannot be decoded or a field that
// hides one of Options is an error.
func NewRegistry(types ...Type) (*Registry, error) { return &Registry{}, nil }

// Types are the registered types, by name.
func (r *Registry) Types() []Type { return nil }

// Builder is what Build needs besides the node.
type Builder struct {
	Scope   *lang.Scope
	Secrets *secrets.Resolver
	Env     Env                         // Name is filled in by Build
	Prev    func(name string) *Instance // the running set's action of a name, nil for none: carried over where nothing changed
}

// Build makes the action called name from its mapping node (type, the options, the type's own fields, but not the rules file's
// own key "name"). Problems go to dec; nil is returned where there were any.
func (r *Registry) Build(dec *strictyaml.Decoder, n *yaml.Node, name string, b Builder) *Instance {
	return nil
}

// Instance is one configured action.
type Instance struct {
	Name    string
	Type    string
	Options Options
}

// Run runs one attempt under no limits of its own: the engine's business.
func (i *Instance) Run(ctx context.Context, d *Delivery) (Result, error) { return Result{}, nil }

// Render gives every template of the action's configuration as d makes it, by field: what a dry run logs and a rule test compares.
// Secrets are masked.
func (i *Instance) Render(d *Delivery) (map[string]any, error) { return nil, nil }

// Close releases what the action holds; the engine calls it after the last delivery of an instance that no rule set has any more.
func (i *Instance) Close() error { return nil }

// Lists names the lists that the action's templates use.
func (i *Instance) Lists() []string { return nil }

// Schema is the JSON Schema (draft 2020-12) of an action of any registered type, inline or named.
func (r *Registry) Schema() map[string]any { return nil }
