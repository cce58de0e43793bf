package email

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// capture makes the action of the YAML and gives it without its wrapping.
func capture(t testing.TB, yaml string) *email {
	t.Helper()
	var out *email
	reg, err := actions.NewRegistry(actions.Define("email", actions.Spec[Config]{
		New: func(c Config, env actions.Env) (actions.Action, error) {
			a, err := New(c, env)
			if err == nil {
				out = a.(*email)
			}
			return a, err
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := strictyaml.Parse("rules.yaml", []byte("type: email\n"+yaml))
	if err != nil {
		t.Fatal(err)
	}
	dec := &strictyaml.Decoder{Doc: doc}
	reg.Build(dec, doc.Root, "mail", actions.Builder{})
	if problems := dec.Problems(); len(problems) > 0 {
		t.Fatal(problems)
	}
	return out
}

// FuzzMailHeaders puts an account id into every header that takes a template: the mail has the headers that were configured and
// no other, each with its value byte for byte, or there is no mail.
func FuzzMailHeaders(f *testing.F) {
	a := capture(f, `
host: mail.example.com
from: Aftermath <noreply@example.com>
to: ['"{{ From_Account }}" <ops@example.com>']
subject: "{{ From_Account }}"
headers: {X-Who: "VIP {{ From_Account }}"}
text: "{{ From_Account }}"
`)
	for _, seed := range []string{"bob", "a\r\nBcc: x@evil.example", "a\nb", "\x00", "=?utf-8?q?x?=", strings.Repeat(" ", 200), "😀\u2028\u0085",
		`"\`, strings.Repeat("中", 60), " ", "a  b", strings.Repeat("a ", 60), ".\r\n.", "\t", "a,b <c@d>", `\中`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, account string) {
		if !utf8.ValidString(account) || account == "" {
			t.Skip("callbacks bring none")
		}
		d := delivery()
		d.Pair.From = account
		l, err := a.compose(d)
		if strings.ContainsAny(account, "\r\n\x00") {
			if !actions.IsPermanent(err) {
				t.Fatalf("got %v, want a permanent error", err)
			}
			return
		}
		if err != nil {
			if !actions.IsPermanent(err) {
				t.Fatalf("got %v, want a permanent error", err)
			}
			return
		}
		got := parse(t, string(l.data))
		checkShape(t, got)
		if s := got.decoded(t, "Subject"); s != account {
			t.Errorf("subject %q, want %q", s, account)
		}
		if s := got.decoded(t, "X-Who"); s != "VIP "+account {
			t.Errorf("X-Who %q, want %q", s, "VIP "+account)
		}
		head, _, _ := strings.Cut(string(l.data), "\r\n\r\n")
		for line := range strings.SplitSeq(head, "\r\n") {
			if strings.TrimSpace(line) == "" || len(line) > 998 {
				t.Errorf("a line of %d bytes: %q", len(line), line)
			}
		}
		if to, err := got.header.AddressList("To"); err != nil || len(to) != 1 || to[0].Address != "ops@example.com" {
			t.Errorf("to %v: %v", to, err)
		}
	})
}
