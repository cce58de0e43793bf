package cmd

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/rules"
)

// newLogger makes the program's own log. Nothing of it is sampled: each line says what happened to one delivery.
func newLogger(c config.Log, w io.Writer) (*zap.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(logLevel(c))
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey, enc.MessageKey = "time", "message"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if c.Format == "console" {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		enc.ConsoleSeparator = "  "
		encoder = oneLine{zapcore.NewConsoleEncoder(enc)}
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)), level
}

// oneLine keeps a message on its line: what accounts are called may not forge another one, nor speak to a terminal. (The JSON encoder
// escapes by itself, and the console encoder writes fields as JSON.)
type oneLine struct{ zapcore.Encoder }

func (e oneLine) Clone() zapcore.Encoder { return oneLine{e.Encoder.Clone()} }

func (e oneLine) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if strings.ContainsFunc(entry.Message, isControl) {
		var b strings.Builder
		for _, r := range entry.Message {
			if isControl(r) {
				fmt.Fprintf(&b, "\\u%04x", r)
			} else {
				b.WriteRune(r)
			}
		}
		entry.Message = b.String()
	}
	return e.Encoder.EncodeEntry(entry, fields)
}

// isControl tells characters that end a line, move a cursor or turn the direction of writing.
func isControl(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}

func logLevel(c config.Log) zapcore.Level {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil { // the configuration was checked
		return zapcore.InfoLevel
	}
	return level
}

// problemsError prints what is wrong with files, a line each, and ends the program with exit code 1; another error it gives back, as it
// does what is joined to the problems, such as why the last good rules don't run instead.
func problemsError(stderr io.Writer, err error) error {
	var problems rules.Problems
	if !errors.As(err, &problems) {
		return err
	}
	var more error
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		more = errors.Join(joined.Unwrap()[1:]...)
	}
	if printErr := printFindings(stderr, "text", problems); printErr != nil {
		return printErr
	}
	return &exitError{code: exitFailure, err: more}
}
