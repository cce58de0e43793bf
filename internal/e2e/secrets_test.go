package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// No secret shows anywhere: not in logs, status, metrics, answers or the store, whatever goes wrong with its action.
func TestCanarySecrets(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A receiver that echoes what it was sent, the secret header included.
		w.WriteHeader(http.StatusInternalServerError)
		for name, values := range r.Header {
			_, _ = w.Write([]byte(name + ": " + strings.Join(values, ",") + "\n"))
		}
		_, _ = w.Write([]byte(r.URL.String()))
	}))
	defer receiver.Close()

	canaries := map[string]string{
		"CALLBACK_TOKEN": "canary-callback-token-1f8e",
		"ADMIN_TOKEN":    "canary-admin-token-92ac",
		"SMTP_PASSWORD":  "canary-smtp-password-77b0",
		"SMTP_HOST":      "127.77.66.55", // nobody listens there
		"CRM_KEY":        "canary-crm-key-5d1c",
		"PATH_KEY":       "canary-path-key-0e44",
		"HOOK_SECRET":    "whsec_Y2FuYXJ5LWhvb2stc2VjcmV0LTAwMDAwMDAwMDA=",
	}
	var env []string
	for name, value := range canaries {
		env = append(env, name+"="+value)
	}
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", `
callback:
  listen: 127.0.0.1:0
  apps: [{sdkappid: 1400000000, tokens: ["${env:CALLBACK_TOKEN}"]}]
admin: {listen: 127.0.0.1:0, token: "${env:ADMIN_TOKEN}"}
smtp: {host: "${env:SMTP_HOST}", port: 1, username: mailer, password: "${env:SMTP_PASSWORD}", from: a@example.com, tls: none}
log: {level: debug}
`)
	write(t, dir, "file.secret", "canary-file-secret-b2d7\n")
	canaries["file"] = "canary-file-secret-b2d7"
	write(t, dir, "rules/a.yaml", `
rules:
  - name: leaky
    condition: PairCount > 0
    actions:
      - type: webhook
        url: `+receiver.URL+`/hook/${env:PATH_KEY}
        headers: {X-Api-Key: "${env:CRM_KEY}", X-File: "${file:../file.secret}"}
        secrets: ["${env:HOOK_SECRET}"]
        body: {key: "${env:CRM_KEY}"}
        retry: {max_attempts: 2, min: 10ms, max: 20ms}
      - type: webhook
        name: nowhere
        url: http://127.0.0.1:1/${env:PATH_KEY}?k=${env:CRM_KEY}
        retry: {max_attempts: 1}
      - type: email
        to: [b@example.com]
        subject: x
        text: "${env:CRM_KEY}"
        retry: {max_attempts: 1}
      - {type: log, name: dry, message: dry, dry_run: true, fields: {key: "${env:CRM_KEY}"}}
      - {type: log, name: own, message: "key ${env:CRM_KEY}", fields: {deep: [{key: "${file:../file.secret}"}]}}
      - {type: log, name: file, file: keys.jsonl, message: "key ${env:CRM_KEY}", fields: {key: "x${env:PATH_KEY}"}}
`)
	s := start(t, dir, env...)
	s.Token = canaries["ADMIN_TOKEN"]
	packetFile := write(t, dir, "packet.json", packet("a", "b"))
	code, out, errs := aftermath(t, dir, nil, "send", "--url", s.Callback, "--sdkappid", "1400000000", "--token", canaries["CALLBACK_TOKEN"], packetFile)
	if code != 0 {
		t.Fatalf("send: exit %d, %s%s", code, out, errs)
	}
	if code, answer, err := s.Post("SdkAppid=1400000000&Sign="+canaries["CALLBACK_TOKEN"]+"&RequestTime=1", "{}"); code != 401 || err != nil {
		t.Errorf("a wrong Sign: %d %s %v", code, answer, err)
	}
	eventually(t, "every delivery to end", func() bool {
		d := s.Status().Counts.Deliveries
		return d.Created == 6 && d.Pending == 0 && d.Dead == 3
	})
	// A template error that stands beside a secret must not quote it.
	write(t, dir, "rules/b.yaml", "actions:\n  x: {type: log, message: '${env:CRM_KEY} {{ Nope }}'}\nrules: []\n")
	eventually(t, "the broken file to be shown", func() bool { return !s.Status().Rules.Disk.OK })

	shown := map[string][]byte{"stdout": []byte(s.Out()), "stderr": []byte(s.Log()), "send": []byte(out + errs)}
	for _, path := range []string{"/api/v1/status", "/metrics", "/readyz", "/healthz"} {
		_, shown[path] = s.Request("GET", path)
	}
	_, shown["reload"] = s.Request("POST", "/api/v1/reload")
	for _, action := range []string{"email", "webhook", "own", "file"} {
		_, shown["test of "+action] = s.Send("POST", "/api/v1/actions/leaky/"+action+"/test", "")
	}
	source, err := json.Marshal(read(t, dir, "rules/a.yaml"))
	must(t, err)
	must(t, os.Remove(filepath.Join(dir, "rules/b.yaml")))
	code, shown["try"] = s.Send("POST", "/api/v1/try", `{"file": "`+filepath.Join(dir, "rules/a.yaml")+`", "source": `+string(source)+`, "packet": `+packet("a", "b")+`}`)
	if code != 200 || !bytes.Contains(shown["try"], []byte(`"server":"[secret]:1"`)) {
		t.Errorf("try: %d %s", code, shown["try"])
	}
	if exit := s.Stop(); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	shown["stderr at the end"] = []byte(s.Log())
	shown["keys.jsonl"] = []byte(read(t, dir, "keys.jsonl"))
	if !bytes.Contains(shown["keys.jsonl"], []byte("key [secret]")) || !strings.Contains(s.Log(), "key [secret]") {
		t.Errorf("the log actions wrote %s", shown["keys.jsonl"])
	}
	must(t, filepath.WalkDir(filepath.Join(dir, "data"), func(file string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			shown[file], err = os.ReadFile(file)
		}
		return err
	}))
	for where, text := range shown {
		if len(text) == 0 && where == "stderr" {
			t.Error("nothing was logged: this test shows nothing")
		}
		for name, value := range canaries {
			// A webhook's key is what follows whsec_.
			for _, form := range formsOf(strings.TrimPrefix(value, "whsec_")) {
				if at := bytes.Index(text, []byte(form)); at >= 0 {
					t.Errorf("%s shows %s: …%q…", where, name, text[max(0, at-80):min(len(text), at+len(form)+40)])
				}
			}
		}
	}
}

// formsOf gives the value as it is, and what base64 makes of it wherever it stands in what is encoded: the store keeps what was sent
// in that form.
func formsOf(value string) []string {
	forms := []string{value}
	for before := range 3 {
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + value))
		// The first and the last characters also depend on what stands beside the value.
		forms = append(forms, encoded[4:len(encoded)-4])
	}
	return forms
}
