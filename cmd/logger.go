package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"gopkg.in/yaml.v3"

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
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)), level
}

func logLevel(c config.Log) zapcore.Level {
	level, err := zapcore.ParseLevel(c.Level)
	if err != nil { // the configuration was checked
		return zapcore.InfoLevel
	}
	return level
}

// problemsError prints what is wrong with files, a line each, and ends the program with exit code 1; another error it gives back.
func problemsError(stderr io.Writer, err error) error {
	var problems rules.Problems
	if !errors.As(err, &problems) {
		return err
	}
	if printErr := printFindings(stderr, "text", problems); printErr != nil {
		return printErr
	}
	return &exitError{code: exitFailure}
}

// tokenHint is how the first token of an app is written on a shell's command line without showing it: by the variable or the file
// that the configuration takes it from.
func tokenHint(path string, sdkappid int64) string {
	const placeholder = "TOKEN"
	data, err := os.ReadFile(path)
	if err != nil {
		return placeholder
	}
	var raw struct {
		Callback struct {
			Apps []struct {
				SdkAppid int64    `yaml:"sdkappid"`
				Tokens   []string `yaml:"tokens"`
			} `yaml:"apps"`
		} `yaml:"callback"`
	}
	if yaml.Unmarshal(data, &raw) != nil {
		return placeholder
	}
	for _, app := range raw.Callback.Apps {
		var name string
		if app.SdkAppid != sdkappid || len(app.Tokens) == 0 {
			continue
		}
		if n, err := fmt.Sscanf(app.Tokens[0], "${env:%s", &name); n == 1 && err == nil && name[len(name)-1] == '}' {
			return `"$` + name[:len(name)-1] + `"`
		}
	}
	return placeholder
}
