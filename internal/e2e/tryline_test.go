package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/tlstest"
)

// The line to try works as it is printed, whatever the configuration, and shows no token.
func TestLineToTry(t *testing.T) {
	const shown = "never-to-be-shown"
	for name, callback := range map[string]string{
		"no token":               "apps: [{sdkappid: 7}]",
		"a token written out":    `apps: [{sdkappid: 7, tokens: ["it's ` + shown + `"]}]`,
		"a variable":             `apps: [{sdkappid: 7, tokens: ["${env:TRY_TOKEN}"]}]`,
		"a file":                 `apps: [{sdkappid: 7, tokens: ["${file:the token}"]}]`,
		"a secret within a text": `apps: [{sdkappid: 7, tokens: ["a $x-${env:TRY_TOKEN}"]}]`,
		"two tokens, two apps":   `apps: [{sdkappid: 8, tokens: ["${env:TRY_TOKEN}", b]}, {sdkappid: 7}]`,
		"HTTPS":                  "apps: [{sdkappid: 7}], tls: {cert: server.pem, key: server.key}",
		"a path":                 `apps: [{sdkappid: 7}], path: "/it's/$x&(é)"`,
		"every address":          `apps: [{sdkappid: 7}], listen: "0.0.0.0:0"`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "it's a folder")
			write(t, dir, "rules/a.yaml", "rules: []\n")
			write(t, dir, "the token", "file-"+shown+"\n")
			tlstest.NewAuthority(t, dir, "ca").Issue(t, "server")
			if !strings.Contains(callback, "listen:") {
				callback += ", listen: 127.0.0.1:0"
			}
			write(t, dir, "aftermath.yaml", "callback: {"+callback+"}\nadmin: {listen: 127.0.0.1:0}\n")
			env := []string{"TRY_TOKEN=env-" + shown, "PATH=" + filepath.Dir(built.Path) + string(os.PathListSeparator) + os.Getenv("PATH")}
			s := start(t, dir, env...)
			var line string
			eventually(t, "the line", func() bool {
				_, rest, found := strings.Cut(s.Out(), "\ntry ")
				line, _, _ = strings.Cut(rest, "\n")
				return found && strings.HasSuffix(rest, "\n")
			})
			shell := exec.Command("sh", "-c", line)
			shell.Dir, shell.Env = t.TempDir(), append(os.Environ(), env...)
			if out, err := shell.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != answerOK {
				t.Errorf("%s: %v\n%s", line, err, out)
			}
			if strings.Contains(s.Out()+s.Log(), shown) {
				t.Errorf("a token shows:\n%s%s", s.Out(), s.Log())
			}
		})
	}
}
