package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDiff(t *testing.T) {
	const before = `
callback: {listen: "127.0.0.1:1", apps: [{sdkappid: 1, tokens: [t0ken]}, {sdkappid: 2, tokens: ["${file:secret}"]}]}
smtp: {host: a, tls: none}
admin: {token: "${env:TOKEN}"}
log: {level: info, format: json}
`
	tests := []struct {
		name          string
		replace, with string
		live, restart string
	}{
		{name: "nothing", replace: "smtp:", with: "# a comment\nsmtp:"},
		{name: "the apps' order", replace: before[1:strings.Index(before, "smtp:")],
			with: "callback: {listen: \"127.0.0.1:1\", apps: [{sdkappid: 2, tokens: [\"${file:secret}\"]}, {sdkappid: 1, tokens: [t0ken]}]}\n"},
		{name: "a token", replace: "[t0ken]", with: "[t0ken, new-token]", live: "callback.apps[1].tokens"},
		{name: "an app", replace: "{sdkappid: 1, ", with: "{sdkappid: 3, ", live: "callback.apps"},
		{name: "an app and a token", replace: "{sdkappid: 1, tokens: [t0ken]}", with: "{sdkappid: 1, tokens: [n3w]}, {sdkappid: 4, tokens: [t0ken]}",
			live: "callback.apps[1].tokens callback.apps"},
		{name: "log level", replace: "info", with: "debug", live: "log.level"},
		{name: "log format", replace: "json", with: "console", restart: "log.format"},
		{name: "the admin token", replace: "${env:TOKEN}", with: "another", live: "admin.token"},
		{name: "mail", replace: "host: a", with: "host: b", live: "smtp.host"},
		{name: "a key that was absent", replace: "smtp:", with: "keep: {disk: 1GiB}\nnetwork: {deny: []}\nsmtp:", restart: "keep.disk network.deny"},
		{name: "several", replace: "level: info, format: json", with: "level: warn, format: console", live: "log.level", restart: "log.format"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := setUp(t, before)
			old := load(t, path)
			write(t, filepath.Dir(path), "aftermath.yaml", strings.Replace(before, test.replace, test.with, 1))
			live, restart := Diff(old, load(t, path))
			if got := strings.Join(live, " "); got != test.live {
				t.Errorf("live: got %q, want %q", got, test.live)
			}
			if got := strings.Join(restart, " "); got != test.restart {
				t.Errorf("restart: got %q, want %q", got, test.restart)
			}
			next := load(t, path)
			live, restart = Diff(Applied(old, next), next)
			if got := strings.Join(restart, " "); len(live) > 0 || got != test.restart {
				t.Errorf("once the live keys were applied: live %q, restart %q", live, restart)
			}
		})
	}
}

func TestDiffSeesNewContentOfSecretsAndCertificates(t *testing.T) {
	path := setUp(t, strings.Replace(withTLS, "t0ken", `"${file:secret}"`, 1))
	dir := filepath.Dir(path)
	issue(t, dir, "server", time.Now().Add(time.Hour))
	issue(t, dir, "client", time.Now().Add(time.Hour))
	old := load(t, path)
	issue(t, dir, "client", time.Now().Add(2*time.Hour))
	write(t, dir, "secret", "rotated")
	live, restart := Diff(old, load(t, path))
	if got := strings.Join(live, " "); got != "callback.apps[1].tokens callback.tls" || len(restart) > 0 {
		t.Error(live, restart)
	}
}

func TestSwitchingTLSOnNeedsARestart(t *testing.T) {
	path := setUp(t, withTLS)
	dir := filepath.Dir(path)
	issue(t, dir, "server", time.Now().Add(time.Hour))
	issue(t, dir, "client", time.Now().Add(time.Hour))
	with := load(t, path)
	write(t, dir, "aftermath.yaml", "callback: {apps: [{sdkappid: 1, tokens: [t0ken]}]}\n")
	live, restart := Diff(load(t, path), with)
	if len(live) > 0 || strings.Join(restart, " ") != "callback.tls" {
		t.Error(live, restart)
	}
}
