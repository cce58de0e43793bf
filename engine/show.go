package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
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
	if ended.Detail != "" {
		fields = append(fields, zap.String("detail", e.shown(j, ended.Detail)))
	}
	if ended.Error != "" {
		fields = append(fields, zap.String("error", e.shown(j, ended.Error)))
	}
	if ended.DryRun {
		fields = append(fields, zap.Bool("dry_run", true))
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

// shown gives a text that an action wrote as the log may show it: without secrets, and without accounts where those are redacted,
// in whatever way an action may have written them into a URL or a JSON text.
func (e *Engine) shown(j *Job, text string) string {
	text = e.Mask.Text(text)
	if !e.RedactAccounts {
		return text
	}
	var swaps []string
	for _, name := range []string{j.From, j.To} {
		quoted, err := json.Marshal(name)
		if name == "" || err != nil {
			continue
		}
		hidden := e.account(name)
		for _, form := range []string{name, url.PathEscape(name), url.QueryEscape(name), strings.Trim(string(quoted), `"`)} {
			swaps = append(swaps, form, hidden)
		}
	}
	return strings.NewReplacer(swaps...).Replace(text)
}

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
