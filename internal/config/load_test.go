package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const secretToken = "canary-of-the-token"

// setUp makes a folder with an aftermath.yaml, and the secrets that the files of the tests name.
func setUp(t *testing.T, src string) (path string) {
	t.Helper()
	t.Setenv("TOKEN", secretToken)
	t.Setenv("PIN", "123")
	dir := t.TempDir()
	write(t, dir, "secret", "canary-of-the-file\n")
	return write(t, dir, "aftermath.yaml", src)
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, path string, opts ...Option) *Config {
	t.Helper()
	c, err := Load(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProblems(t *testing.T) {
	const file = "testdata/problems.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(archive.Files); i += 2 {
		t.Run(archive.Files[i].Name, func(t *testing.T) {
			got := problemsOf(t, string(archive.Files[i].Data))
			if diff := cmp.Diff(string(archive.Files[i+1].Data), got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(got, "canary") {
				t.Error("a secret is shown:", got)
			}
			if os.Getenv("UPDATE") != "" {
				archive.Files[i+1].Data = []byte(got)
			}
		})
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func problemsOf(t *testing.T, src string) string {
	path := setUp(t, src)
	c, err := Load(path)
	var ps strictyaml.Problems
	switch {
	case err == nil:
		ps = c.Warnings
	case c != nil || !errors.As(err, &ps):
		t.Fatalf("got %v and %v", c, err)
	}
	if len(ps) == 0 {
		return "ok\n"
	}
	return strings.ReplaceAll(ps.Error()+"\n", path+":", "")
}

func TestDefaults(t *testing.T) {
	path := setUp(t, "callback: {apps: [{sdkappid: 1400000000}]}\n")
	dir := filepath.Dir(path)
	got := load(t, path)
	if len(got.Network.Deny) < 5 || got.Network.Deny[0].String() != "169.254.0.0/16" || len(got.Network.Denied()) != len(got.Network.Deny) {
		t.Errorf("deny is %v", got.Network.Deny)
	}
	want := &Config{
		Callback: Callback{Listen: "127.0.0.1:8080", Path: "/", Apps: []App{{SdkAppid: 1400000000}}, MaxBody: 1 << 20, MaxAge: time.Minute,
			Wait: 1600 * time.Millisecond, Dedupe: 10 * time.Minute},
		Rules:    filepath.Join(dir, "rules"),
		RulesMay: RulesMay{Env: []string{"*"}, Files: []string{dir, "/run/secrets"}},
		Poll:     2 * time.Second,
		Data:     filepath.Join(dir, "data"),
		NATS:     NATS{Replicas: 3, Partitions: 1, Spool: true},
		Keep:     Keep{Callbacks: 168 * time.Hour, Deliveries: 168 * time.Hour, Disk: 10 << 30, Quarantine: 1000},
		Admin:    Admin{Listen: "127.0.0.1:9090", Hosts: []string{"localhost"}},
		SMTP:     actions.SMTP{TLS: "starttls"},
		Log:      Log{Level: "info", Format: "json"},
		Path:     path,
		Network:  got.Network,
		Warnings: got.Warnings,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmp.AllowUnexported(actions.Secret{}), cmpopts.IgnoreTypes(Network{})); diff != "" {
		t.Error(diff)
	}
	if len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Message, "unsigned callbacks are accepted") {
		t.Error(got.Warnings)
	}
}

func TestEveryKeyIsRead(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/problems.txtar")
	if err != nil {
		t.Fatal(err)
	}
	path := setUp(t, string(archive.Files[0].Data))
	dir := filepath.Dir(path)
	got := load(t, path)
	token := actions.NewSecret(secretToken)
	want := &Config{
		Callback: Callback{Listen: ":8080", Path: "/chat/callback", Apps: []App{{1400000000, []actions.Secret{token, actions.NewSecret("old-token")}}},
			MaxBody: 512 << 10, MaxAge: 30 * time.Second, Wait: 1200 * time.Millisecond, SenderRetries: true},
		Rules:    filepath.Join(dir, "my-rules"),
		RulesMay: RulesMay{Env: []string{"CRM_*"}, Files: []string{}},
		Poll:     5 * time.Second,
		Data:     "/var/lib/aftermath",
		NATS:     NATS{URL: "nats://n1:4222, tls://n2:4222", Replicas: 1, Partitions: 4, Credentials: actions.NewSecret("canary-of-the-file")},
		Keep:     Keep{Callbacks: 24 * time.Hour, Deliveries: 14 * 24 * time.Hour, Disk: 500e6},
		Admin:    Admin{Listen: "[::1]:9090", Token: token, Hosts: []string{"localhost", "admin.example.com"}},
		SMTP: actions.SMTP{Host: "smtp.example.com", Port: 465, TLS: "implicit", Username: "u", Password: token,
			From: "Aftermath <noreply@example.com>"},
		Log:  Log{Level: "debug", Format: "console", RedactAccounts: true},
		Path: path,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}), cmp.AllowUnexported(actions.Secret{}), cmpopts.IgnoreTypes(Network{})); diff != "" {
		t.Error(diff)
	}
	var ranges []string
	for _, p := range append(got.Network.Denied(), got.Network.Allowed()...) {
		ranges = append(ranges, p.String())
	}
	if want := []string{"10.0.0.0/8", "fd00::/8", "192.0.2.1/32", "0.0.0.0/0"}; !slices.Equal(ranges, want) {
		t.Error(ranges)
	}
	if want := []string{"TOKEN"}; !slices.Equal(got.Env(), want) {
		t.Error(got.Env())
	}
	if want := []string{path, filepath.Join(dir, "secret")}; !slices.Equal(got.Files(), want) {
		t.Error(got.Files())
	}
	if want := []string{"canary-of-the-file", secretToken}; !slices.Equal(got.SecretValues(), want) {
		t.Error("the mask would not know all secrets")
	}
}

func TestIgnoredSecretsAreNotNeeded(t *testing.T) {
	path := setUp(t, `
callback:
  listen: ${env:NOBODY_SETS_ME}
  path: ${env:NOBODY_SETS_ME}
  apps: [{sdkappid: 1, tokens: ["${file:gone}"]}]
  tls: {cert: gone.pem, key: gone.key}
nats: {url: "nats://${env:NOBODY_SETS_ME}"}
admin: {listen: "0.0.0.0:9090", token: "${env:NOBODY_SETS_ME}"}
smtp: {host: h, username: u, password: "${env:NOBODY_SETS_ME}", from: "${env:NOBODY_SETS_ME}"}
`)
	c := load(t, path, IgnoreSecrets())
	if got := c.Admin.Token.Reveal(); got != secrets.Placeholder || len(c.SecretValues()) != 0 {
		t.Errorf("the token is %q", got)
	}
	if !slices.Equal(c.Env(), []string{"NOBODY_SETS_ME"}) {
		t.Error("rules might use the variable:", c.Env())
	}
	if _, err := Load(path); err == nil {
		t.Error("without the option it loads too")
	}
}

func TestSecretsOfSomeSections(t *testing.T) {
	path := setUp(t, `
callback: {apps: [{sdkappid: 1, tokens: ["${env:NOBODY_SETS_ME}"]}]}
admin: {token: "${env:TOKEN}"}
smtp: {host: h, username: u, password: "${file:gone}"}
`)
	c := load(t, path, SecretsOf("admin"))
	if c.Admin.Token.Reveal() != secretToken {
		t.Error("the token is not put in")
	}
	if _, err := Load(path, SecretsOf("admin", "smtp")); err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), ":4:41: ${file:gone}") {
		t.Error(err)
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := write(t, dir, "big.yaml", strings.Repeat("#", maxFile+1))
	for path, want := range map[string]string{
		filepath.Join(dir, "gone.yaml"): "does not exist",
		dir:                             "is not a regular file",
		big:                             "is larger than 1 MiB",
	} {
		_, err := Load(path)
		var ps strictyaml.Problems
		if !errors.As(err, &ps) || ps[0].File != path || !strings.Contains(ps[0].Message, want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	path := setUp(t, "callback: {apps: [{sdkappid: 1}]}\nrules: ../rules\nrules_may: {files: [., sub]}\n")
	dir := filepath.Dir(path)
	t.Chdir(filepath.Dir(dir))
	c := load(t, filepath.Join(filepath.Base(dir), "aftermath.yaml"))
	if c.Rules != "rules" || c.Data != filepath.Join(filepath.Base(dir), "data") {
		t.Error(c.Rules, c.Data)
	}
	if !slices.Equal(c.RulesMay.Files, []string{dir, filepath.Join(dir, "sub")}) {
		t.Error(c.RulesMay.Files)
	}
}
