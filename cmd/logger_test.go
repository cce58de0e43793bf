package cmd

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/internal/config"
)

// An account's name can neither forge a line of the log nor speak to the terminal that shows it.
func TestLogLinesCannotBeForged(t *testing.T) {
	const hostile = "x\r\nERROR forged\x1b[2J\u2028\u202edesrever"
	for _, format := range []string{"console", "json"} {
		var out bytes.Buffer
		log, _ := newLogger(config.Log{Level: "info", Format: format}, &out)
		log.With(zap.String("with", hostile)).Info("removed by "+hostile, zap.String("field", hostile))
		text := out.String()
		if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\r\x1b") {
			t.Errorf("%s: %q", format, text)
		}
		if format == "console" && !strings.Contains(text, `removed by x\u000d\u000aERROR forged\u001b[2J\u2028\u202edesrever`) {
			t.Errorf("%s: %q", format, text)
		}
	}
}
