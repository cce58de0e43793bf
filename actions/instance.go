package actions

import (
	"context"
	"errors"
	"io"
	"maps"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"

	"github.com/aftermath-rules/aftermath/internal/secrets"
)

var errNoFiles = errors.New("files cannot be read here")

// Instance is one configured action. It is safe for concurrent use.
type Instance struct {
	Name    string
	Type    string
	Options Options

	action Action
	config reflect.Value
	inputs inputs
	mask   secrets.Mask // of the secrets that this action's configuration holds

	closeOnce sync.Once
	closeErr  error
}

// Run runs one attempt under no limits of its own: the engine's business. A panic is a *PanicError. The action's own secrets are
// masked in what it returns, in the text of its error too.
func (i *Instance) Run(ctx context.Context, d *Delivery) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = Result{}, &PanicError{p, debug.Stack()}
		}
		res.Detail = i.mask.Text(res.Detail)
		res.Sent = i.mask.Bytes(res.Sent)
		res.Received = i.mask.Bytes(res.Received)
		err = i.masked(err)
	}()
	return i.action.Run(ctx, d)
}

// masked keeps secrets out of an error's text, and the error itself for errors.Is and errors.As.
func (i *Instance) masked(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if clean := i.mask.Text(text); clean != text {
		return &maskedError{clean, err}
	}
	return err
}

type maskedError struct {
	text string
	err  error
}

func (e *maskedError) Error() string { return e.text }
func (e *maskedError) Unwrap() error { return e.err }

// Render gives every template of the action's configuration as d makes it, by field (nested ones with dots; a list of templates
// is one field), and what a Previewer adds: what a dry run logs and a rule test compares. Secrets are masked.
func (i *Instance) Render(d *Delivery) (out map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, err = nil, &PanicError{p, debug.Stack()}
		}
	}()
	out = map[string]any{}
	if p, ok := i.action.(Previewer); ok {
		added, err := p.Preview(d)
		if err != nil {
			return nil, i.masked(err)
		}
		for field, value := range added {
			out[field] = i.mask.Value(value)
		}
	}
	var errs []error
	eachTemplate(i.config, "", func(path string, ts []template, list bool) {
		values := make([]any, len(ts))
		for at, t := range ts {
			value, err := t.preview(d)
			if err != nil {
				field := path
				if list {
					field = dotted(path, strconv.Itoa(at))
				}
				errs, value = append(errs, i.masked(&FieldError{field, err})), nil
			}
			values[at] = value
		}
		if list {
			out[path] = values
		} else {
			out[path] = values[0]
		}
	})
	return out, errors.Join(errs...)
}

// Close releases what the action holds; the engine calls it after the last delivery of an instance that no rule set has any more.
// Further calls do nothing and give the same error.
func (i *Instance) Close() error {
	i.closeOnce.Do(func() {
		if c, ok := i.action.(io.Closer); ok {
			i.closeErr = c.Close()
		}
	})
	return i.closeErr
}

// Lists names the lists that the action's templates use.
func (i *Instance) Lists() []string { return slices.Sorted(maps.Keys(i.inputs.lists)) }
