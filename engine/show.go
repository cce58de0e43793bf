package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/secrets"
)

// logAttempt writes the one line of an attempt.
func (e *Engine) logAttempt(j *Job, ended *Ended) {
	level := zapcore.InfoLevel
	switch ended.Outcome {
	case OutcomeRetry:
		level = zapcore.WarnLevel
	case OutcomeDead:
		level = zapcore.ErrorLevel
	case OutcomeParked:
		level = zapcore.DebugLevel
	}
	line := e.log.Check(level, "delivery "+ended.Outcome)
	if line == nil {
		return
	}
	fields := []zap.Field{
		zap.String("delivery", j.ID), zap.String("callback", j.Callback), zap.String("rule", j.Rule), zap.String("rule_set", j.RuleSet),
		zap.String("action", j.Action), zap.String("type", ended.Type), zap.Int("attempt", ended.Attempt),
		zap.String("outcome", ended.Outcome), zap.Float64("took_ms", float64(ended.Took)/1e6),
		zap.String("from_account", e.account(j.From)), zap.String("to_account", e.account(j.To)),
	}
	if !ended.Next.IsZero() {
		fields = append(fields, zap.Time("next", ended.Next))
	}
	switch {
	case ended.DryRun: // its detail is always the same
		fields = append(fields, zap.Bool("dry_run", true))
	case ended.Detail != "":
		fields = append(fields, zap.String("detail", e.shown(j.pair(), ended.Detail)))
	}
	if ended.Error != "" {
		fields = append(fields, zap.String("error", e.shown(j.pair(), ended.Error)))
	}
	line.Write(fields...)
}

// account gives an account as the log may show it.
func (e *Engine) account(name string) string {
	if !e.RedactAccounts {
		return name
	}
	mac := hmac.New(sha256.New, e.RedactKey)
	mac.Write([]byte(name))
	return "account-" + hex.EncodeToString(mac.Sum(nil)[:8])
}

// shown gives a text that was made of a pair as the log may show it: without secrets, and without accounts where those are
// redacted, in whatever way a URL, a JSON text or an error's quotes write them, and in capitals or small letters.
func (e *Engine) shown(p callback.Pair, text string) string {
	text = e.Mask.Text(text)
	if !e.RedactAccounts {
		return text
	}
	hidden := map[string]string{}
	for _, name := range []string{p.From, p.To} {
		for _, cased := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			for _, form := range secrets.Forms(cased) {
				hidden[form] = e.account(name)
			}
		}
	}
	delete(hidden, "")
	// The replacer prefers what comes first: an account that begins the other one must not leave the rest of it.
	swaps := make([]string, 0, 2*len(hidden))
	for _, form := range slices.SortedFunc(maps.Keys(hidden), func(a, b string) int { return len(b) - len(a) }) {
		swaps = append(swaps, form, hidden[form])
	}
	return strings.NewReplacer(swaps...).Replace(text)
}

// pair gives the accounts of a delivery.
func (j *Job) pair() callback.Pair { return callback.Pair{From: j.From, To: j.To} }

// excerpt gives the beginning of what was sent or received, without secrets. It hides them in more than it keeps, so that none
// is cut in two and shown in part.
func (e *Engine) excerpt(b []byte, most int) []byte {
	if len(b) == 0 {
		return nil
	}
	b = e.Mask.Bytes(b[:min(len(b), 16*most)])
	return append([]byte(nil), b[:min(len(b), most)]...)
}

// clip cuts a text to so many bytes, between two characters.
func clip(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
