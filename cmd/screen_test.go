package cmd

import (
	"bytes"
	"strings"
	"testing"
)

// What is shown on a terminal is text of any language, and nothing that a terminal obeys.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"alice":                "alice",
		"妹妹 ø \"quoted\" \\ '": "妹妹 ø \"quoted\" \\ '",
		"\x1b[2J\a\r\n\t\x7f":  `\x1b[2J\a\r\n\t\x7f`,
		"\u009b31m\u202egnp":   `\u009b31m\u202egnp`,
		"\u200b\ufeff\u2028":   `\u200b\ufeff\u2028`,
		"a\xffb\xc3":           `a\xffb\xc3`,
		"\ufffd":               "\ufffd",
		"\U000e0041":           `\U000e0041`,
		"":                     "",
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %s, want %s", in, got, want)
		}
	}
	if got, want := visibleLines("a\tb\r\n\x1bc"), "a    b\\r\n\\x1bc"; got != want {
		t.Errorf("visibleLines gives %q, want %q", got, want)
	}
}

// There are no colours where nobody looks.
func TestNoColoursInAFile(t *testing.T) {
	var out bytes.Buffer
	p := painter(&out)
	if got := p.good("a") + p.bad("b") + p.bold("c") + p.faint("d"); got != "abcd" {
		t.Errorf("got %q", got)
	}
	if got := paint(true).bad("b"); !strings.HasPrefix(got, "\x1b[31m") || !strings.HasSuffix(got, "\x1b[0m") {
		t.Errorf("got %q", got)
	}
}
