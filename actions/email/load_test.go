package email

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/netguard"
)

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "empty.pem"), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ok = "to: [a@example.com]\ntext: x\nhost: mail.example.com\nfrom: b@example.com\n"
	full := actions.SMTP{Host: "mail.example.com", From: "b@example.com", Username: "mailer", Password: actions.NewSecret("hunter2")}
	many := "to: [" + strings.Repeat("a@example.com, ", 101) + "]\ntext: x"
	for _, tc := range []struct {
		name, yaml string
		defaults   actions.SMTP
		line       int // 1 is the action itself
		want       string
	}{
		{"no recipient", "text: x", full, 1, "to, cc or bcc"},
		{"too many recipients", many, full, 2, "at most 100"},
		{"neither text nor html", "to: [a@example.com]", full, 1, "text, html or both"},
		{"no host", "to: [a@example.com]\ntext: x\nfrom: b@example.com", actions.SMTP{}, 1, "smtp.host in aftermath.yaml"},
		{"no sender", "to: [a@example.com]\ntext: x\nhost: mail.example.com", actions.SMTP{}, 1, "smtp.from in aftermath.yaml"},
		{"a bad sender in the configuration", "to: [a@example.com]\ntext: x", actions.SMTP{Host: "h", From: "nobody"}, 1, "smtp.from in aftermath.yaml"},
		{"encryption misspelt", ok + "tls: startls", actions.SMTP{}, 6, "starttls"},
		{"encryption misspelt in a section", ok + "smtp:\n  tls: ssl", actions.SMTP{}, 7, "starttls, implicit, none"},
		{"encryption misspelt in the configuration", ok, actions.SMTP{TLS: "ssl"}, 1, "starttls, implicit, none"},
		{"no host's name", ok[:strings.Index(ok, "host")] + "from: b@example.com\nhost: unix:///tmp/x", actions.SMTP{}, 5, "no name or address"},
		{"a host with its port", ok[:strings.Index(ok, "host")] + "from: b@example.com\nhost: mail.example.com:25", actions.SMTP{}, 5, "the field port"},
		{"an address in brackets", ok[:strings.Index(ok, "host")] + "from: b@example.com\nhost: '[::1]'", actions.SMTP{}, 5, "no name or address"},
		{"a port", ok + "port: 70000", actions.SMTP{}, 6, "no port"},
		{"a username without its password", ok + "username: u", actions.SMTP{}, 1, "needs one"},
		{"a password without its username", ok + "password: hunter2", actions.SMTP{}, 1, "needs one"},
		{"a login that would go unencrypted", "to: [a@example.com]\ntext: x\ntls: none", full, 4, "unencrypted"},
		{"a header of the program", ok + "headers:\n  Message-ID: x", actions.SMTP{}, 7, "Message-Id can't be set"},
		{"a header of another field", ok + "headers: {bcc: x}", actions.SMTP{}, 6, "Bcc can't be set"},
		{"a header of the parts", ok + "headers: {Content-Type: text/html}", actions.SMTP{}, 6, "Content-Type can't be set"},
		{"no header's name", ok + "headers: {'X A': x}", actions.SMTP{}, 6, "no name of a mail header"},
		{"a header twice", ok + "headers: {X-A: x, x-a: x}", actions.SMTP{}, 6, "same header"},
		{"a missing authority", ok + "ca: none.pem", actions.SMTP{}, 6, "none.pem"},
		{"an empty authority", ok + "ca: empty.pem", actions.SMTP{}, 6, "no certificate"},
		{"a templated domain", "to: ['a@{{ From_Account }}']\ntext: x", full, 2, "domain"},
		{"two addresses in one", "to: ['a@example.com, b@example.com']\ntext: x", full, 2, "exactly one mail address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := build(t, dir, tc.defaults, tc.yaml)
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.Contains(text, tc.want) || !strings.HasPrefix(text, fmt.Sprintf("rules.yaml:%d:", tc.line)) {
				t.Errorf("want line %d and %q: %s", tc.line, tc.want, text)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the password is shown: %v", err)
			}
		})
	}
}

func TestServerDefaults(t *testing.T) {
	login := actions.SMTP{Host: "mail.example.com", Username: "mailer", Password: actions.NewSecret("hunter2"), From: "a@example.com"}
	for _, tc := range []struct {
		name     string
		config   Config
		defaults actions.SMTP
		want     string // host:port tls username:password
	}{
		{"all from the configuration", Config{}, login, "mail.example.com:587 starttls mailer:hunter2"},
		{"implicit", Config{Server: Server{TLS: implicit}}, login, "mail.example.com:465 implicit mailer:hunter2"},
		{"its own port", Config{Server: Server{Port: 2525}}, login, "mail.example.com:2525 starttls mailer:hunter2"},
		{"its own section", Config{SMTP: SMTP{Server: Server{Port: 2525}}}, login, "mail.example.com:2525 starttls mailer:hunter2"},
		{"its own field before its section", Config{Server: Server{Port: 1}, SMTP: SMTP{Server: Server{Port: 2}}}, login, "mail.example.com:1 starttls mailer:hunter2"},
		{"an IPv6 address", Config{Server: Server{Host: "::1"}}, login, "::1:587 starttls :"},
		{"another host gets no login", Config{Server: Server{Host: "evil.example"}}, login, "evil.example:587 starttls :"},
		{"another host with its own login", Config{Server: Server{Host: "h.example", Username: "u", Password: actions.NewSecret("p")}}, login,
			"h.example:587 starttls u:p"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := newServer(tc.config, actions.Env{SMTP: tc.defaults})
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%s:%d %s %s:%s", s.host, s.port, s.tls, s.username, s.password.Reveal()); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestDeniedServer(t *testing.T) {
	guard := netguard.New(netguard.DefaultDeny(), nil, nil)
	instance := capture(t, "to: [a@example.com]\ntext: x\nfrom: b@example.com\nhost: 169.254.169.254\ntls: none")
	instance.server.env.Dial = guard.DialContext
	_, err := instance.Run(within(t, 30*time.Second), delivery())
	if !actions.IsPermanent(err) || !strings.Contains(err.Error(), "network.deny (169.254.0.0/16)") {
		t.Errorf("got %v", err)
	}
}

func TestServerThatIsDown(t *testing.T) {
	m := startServer(t, serverOptions{})
	a := m.action(t, "to: [a@example.com, b@example.com]\ntext: x\nport: 1")
	result, err := a.Run(within(t, 30*time.Second), delivery())
	if err == nil || actions.IsPermanent(err) || !strings.Contains(err.Error(), "a@example.com (no session with 127.0.0.1: ") {
		t.Errorf("got %v", err)
	}
	if result.Detail != "0 of 2 accepted by 127.0.0.1" {
		t.Errorf("detail %q", result.Detail)
	}
}
