package logentry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Config is what a rules file says of a log action.
type Config struct {
	Level    string          `yaml:"level" enum:"debug,info,warn,error" doc:"The line's level. It is written whatever the level of the program's log is."`
	Message  actions.Text    `yaml:"message" doc:"The line's text. Without one: who deleted whom."`
	Fields   actions.Tree    `yaml:"fields" doc:"A mapping of further fields of the line."`
	File     string          `yaml:"file" doc:"A file of JSON lines, below the first folder of rules_may.files; without one, the program's own log."`
	MaxSize  strictyaml.Size `yaml:"max_size" doc:"The size at which the file is rotated."`
	MaxFiles int             `yaml:"max_files" doc:"How many rotated files are kept beside the current one."`
}

// Type is the action type log.
func Type() actions.Type {
	return actions.Define("log", actions.Spec[Config]{
		Summary:  "Writes a line to the program's own log or to a file of JSON lines.",
		Defaults: func() Config { return Config{Level: "info", MaxSize: 100 << 20, MaxFiles: 5} },
		New:      newAction,
	})
}

// ownFields are the fields that every line has already, under the names that encoders give them.
func ownFields() []string {
	return []string{"time", "ts", "level", "message", "msg", "logger", "caller", "action", "rule", "delivery_id"}
}

func newAction(c Config, env actions.Env) (actions.Action, error) {
	var errs []error
	refuse := func(field, format string, args ...any) {
		errs = append(errs, &actions.FieldError{Field: field, Err: fmt.Errorf(format, args...)})
	}
	if !c.Fields.IsZero() && !c.Fields.IsMapping() {
		refuse("fields", "must be a mapping of names to values")
	}
	for _, key := range c.Fields.Keys() {
		if slices.Contains(ownFields(), key) {
			refuse("fields."+key, "every line has a field of this name already")
		}
	}
	switch {
	case c.File == "":
	case strings.Contains(c.File, "{{"):
		refuse("file", "takes no template: a file is opened once, for all deliveries")
	case strings.ContainsFunc(c.File, unicode.IsControl), leadsOut(c.File, env.LogFolder):
		refuse("file", "must be a path below the first folder of rules_may.files, such as logs/vips.jsonl")
	case env.LogRefused != nil && env.LogRefused(c.File) != "":
		refuse("file", "no log is written there: %s", env.LogRefused(c.File))
	}
	if c.MaxSize <= 0 {
		refuse("max_size", "must be more than 0")
	}
	if c.MaxFiles < 1 || c.MaxFiles > 1000 {
		refuse("max_files", "must be from 1 to 1000")
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil {
		return nil, &actions.FieldError{Field: "level", Err: err}
	}
	return &action{config: c, env: env, level: level}, nil
}

// leadsOut tells that no file may be written at path. Of an absolute one nothing is known where the folder is not.
func leadsOut(path, folder string) bool {
	if filepath.IsAbs(path) && folder == "" {
		return false
	}
	_, err := (&Files{dir: folder}).inside(path)
	return err != nil
}

// action writes lines, in which secrets are masked: they never show in a log. Its file is opened at the first one, so that checking a configuration leaves no trace.
type action struct {
	config Config
	env    actions.Env
	level  zapcore.Level

	mu     sync.Mutex
	file   io.WriteCloser
	closed bool
}

// Run writes the line of d.
func (a *action) Run(ctx context.Context, d *actions.Delivery) (actions.Result, error) {
	if err := ctx.Err(); err != nil {
		return actions.Result{}, err
	}
	message, err := a.message(d)
	if err != nil {
		return actions.Result{}, err
	}
	fields, err := a.fields(d)
	if err != nil {
		return actions.Result{}, err
	}
	now := time.Now().UTC()
	line, err := encode(now, a.level, message, d, fields)
	if err != nil {
		return actions.Result{}, actions.Permanent(err)
	}
	if a.config.File == "" {
		err := a.toLog(now, message, d, fields)
		return actions.Result{Detail: "written to the program's log", Sent: line}, err
	}
	return actions.Result{Detail: "written to " + a.config.File, Sent: line}, a.toFile(line)
}

// Preview gives the text that a line has without a configured one.
func (a *action) Preview(d *actions.Delivery) (map[string]any, error) {
	message, err := a.message(d)
	if err != nil || !a.config.Message.IsZero() {
		return nil, err
	}
	return map[string]any{"message": message}, nil
}

func (a *action) message(d *actions.Delivery) (string, error) {
	if a.config.Message.IsZero() {
		return fmt.Sprintf("%s deleted the friend %s", d.Pair.From, d.Pair.To), nil
	}
	return a.config.Message.Masked(d)
}

func (a *action) fields(d *actions.Delivery) (map[string]any, error) {
	if a.config.Fields.IsZero() {
		return nil, nil
	}
	tree, err := a.config.Fields.Masked(d)
	if err != nil {
		return nil, err
	}
	return tree.(map[string]any), nil
}

// toLog writes to the program's log. It goes to the logger's core directly: there a line is neither sampled nor left out for its
// level, and an error of the write comes back.
func (a *action) toLog(now time.Time, message string, d *actions.Delivery, fields map[string]any) error {
	all := []zap.Field{zap.String("rule", d.Rule.Name), zap.String("action", d.Action), zap.String("delivery_id", d.ID)}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, zap.Any(key, fields[key]))
	}
	entry := zapcore.Entry{Level: a.level, Time: now, LoggerName: a.env.Logger.Name(), Message: message}
	return a.env.Logger.Core().Write(entry, all)
}

func (a *action) toFile(line []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return errors.New("the log action is closed")
	case a.env.LogFile == nil:
		return errors.New("no log file can be written here")
	}
	if a.file == nil {
		file, err := a.env.LogFile(a.config.File, int64(a.config.MaxSize), a.config.MaxFiles)
		if err != nil {
			return err
		}
		a.file = file
	}
	n, err := a.file.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	return err
}

// Close gives back the file.
func (a *action) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.file == nil {
		return nil
	}
	file := a.file
	a.file = nil
	return file.Close()
}

// encode gives a line of JSON: the fields that every line has, then the configured ones by name.
func encode(now time.Time, level zapcore.Level, message string, d *actions.Delivery, fields map[string]any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	put := func(key string, value any) error {
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		for i, v := range []any{key, value} {
			if i == 1 {
				b.WriteByte(':')
			}
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(v); err != nil {
				return fmt.Errorf("field %s: %w", key, err)
			}
			b.Truncate(b.Len() - 1) // the encoder's line break
		}
		return nil
	}
	err := errors.Join(
		put("time", now.Format(time.RFC3339Nano)),
		put("level", level.String()),
		put("message", message),
		put("rule", d.Rule.Name),
		put("action", d.Action),
		put("delivery_id", d.ID),
	)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		err = errors.Join(err, put(key, fields[key]))
	}
	b.WriteString("}\n")
	return b.Bytes(), err
}
