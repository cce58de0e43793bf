package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A long poll is for rules, which are watched besides: the configuration is followed as soon as ever.
func TestConfigurationIsFollowedDespiteALongPoll(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "token", "first-token\n")
	write(t, dir, "aftermath.yaml", "poll: 24h\ncallback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nadmin: {listen: 127.0.0.1:0, token: '${file:token}'}\n")
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir)
	s.Token = "second-token"
	if code, _ := s.Request(http.MethodGet, "/api/v1/status"); code != 401 {
		t.Fatalf("status with another token: %d", code)
	}
	must(t, os.WriteFile(filepath.Join(dir, "token"), []byte("second-token\n"), 0o600))
	eventually(t, "the token to be taken", func() bool {
		code, _ := s.Request(http.MethodGet, "/api/v1/status")
		return code == 200
	})
}

// An operator who keeps no packets has none kept.
func TestNoQuarantine(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config("keep: {quarantine: 0}\n"))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir)
	if code, answer, err := s.Post("", `{"canary-of-the-packet": 1}`); code != 400 || err != nil {
		t.Fatalf("got %d %s %v", code, answer, err)
	}
	eventually(t, "the refusal to be counted", func() bool { return s.Status().Counts.Refused == 1 })
	if n := s.Status().Counts.Quarantined; n != 0 {
		t.Errorf("%d packets are quarantined", n)
	}
	if code := s.Stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	must(t, filepath.WalkDir(filepath.Join(dir, "data"), func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if strings.Contains(string(data), "canary-of-the-packet") {
			t.Errorf("%s holds the packet", name)
		}
		return err
	}))
}

// While the cluster is not there, serve says what it waits for, and not by which password; to be told to stop then is no failure.
func TestWaitForACluster(t *testing.T) {
	const addr = "127.0.0.1:1" // nobody listens there
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config("nats: {url: 'nats://user:canary-password@"+addr+"', replicas: 1}\n"))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := launch(t, dir, nil)
	eventually(t, "a word of what it waits for", func() bool {
		return strings.Contains(s.Log(), "the cluster cannot be reached") && strings.Contains(s.Log(), addr)
	})
	if code := s.Stop(); code != 0 {
		t.Errorf("told to stop while it starts: exit %d", code)
	}
	if strings.Contains(s.Log(), "canary-password") {
		t.Errorf("the password is shown: %s", s.Log())
	}
}

// Once others than this machine can reach the admin port, there is a token: an edit cannot take it away before the port is another, and
// a socket of the service manager needs one too.
func TestAdminPortIsOpenToNobodyElse(t *testing.T) {
	dir := t.TempDir()
	const before = "callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nadmin: {listen: 0.0.0.0:0, token: the-admin-token}\n"
	file := write(t, dir, "aftermath.yaml", before)
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir)
	must(t, os.WriteFile(file, []byte(config("")), 0o600)) // on a loopback address, without a token
	s.Signal(syscall.SIGHUP)
	eventually(t, "a word of what keeps the token", func() bool {
		return strings.Contains(s.Log(), "admin.token is required, since the admin port listens on")
	})
	if code, _ := s.Request(http.MethodGet, "/api/v1/status"); code != 401 {
		t.Errorf("without a token: %d", code)
	}
	s.Token = "the-admin-token"
	if code, _ := s.Request(http.MethodGet, "/api/v1/status"); code != 200 {
		t.Errorf("with the token: %d", code)
	}
	must(t, os.WriteFile(file, []byte(before), 0o600))
	s.Signal(syscall.SIGHUP)
	eventually(t, "a word that all is well again", func() bool {
		return strings.Contains(s.Log(), "the configuration on disk is again the one that runs")
	})
	s.Stop()

	write(t, dir, "aftermath.yaml", config(""))
	l, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	must(t, err)
	defer socket.Close()
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, built.Path)
	cmd.Dir, cmd.ExtraFiles = dir, []*os.File{socket}
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=admin")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "admin.token is required, since the admin port listens on") {
		t.Errorf("with a socket that others reach: %v\n%s", err, out)
	}
}

// Who gives a token needs none of the secrets of the configuration that names the port.
func TestTokenInPlaceOfTheConfigurations(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config("data: data\n"))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := start(t, dir)
	listen := strings.TrimPrefix(s.Admin, "http://")
	write(t, dir, "other.yaml", "callback: {apps: [{sdkappid: 1400000000}]}\nadmin: {listen: '"+listen+"', token: '${env:NOT_SET_HERE}'}\n")
	write(t, dir, "third.yaml", "callback: {apps: [{sdkappid: 1400000000}]}\nadmin: {listen: '${env:ADMIN_LISTEN}', token: a-token}\n")
	for _, c := range []struct {
		env  []string
		args string
		code int
	}{
		{nil, "-c other.yaml --token any", 0},
		{[]string{"AFTERMATH_ADMIN_TOKEN=any"}, "-c other.yaml", 0},
		{nil, "-c other.yaml", 1},
		{[]string{"ADMIN_LISTEN=" + listen}, "-c third.yaml --token any", 0},
		{nil, "-c third.yaml --token any", 1},
	} {
		code, out, errs := aftermath(t, dir, c.env, append([]string{"deliveries", "list", "--json"}, strings.Fields(c.args)...)...)
		if code != c.code || code == 1 && !strings.Contains(errs, "is not set") {
			t.Errorf("%s %s: exit %d, %s%s", c.env, c.args, code, out, errs)
		}
	}
}

// A log action's file is none of those that the program lives by, though they lie in the folder that log actions write below: check and
// serve say so at its place.
func TestLogActionsLeaveTheProgramsFilesAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "token", "a-secret-token")
	write(t, dir, "aftermath.yaml", "callback: {listen: 127.0.0.1:0, apps: [{sdkappid: 1400000000}]}\nadmin: {listen: 127.0.0.1:0, token: '${file:token}'}\n")
	rule := func(files ...string) {
		var list strings.Builder
		for i, file := range files {
			fmt.Fprintf(&list, "      - {type: log, name: n%d, file: %s}\n", i, file)
		}
		write(t, dir, "rules/a.yaml", "rules:\n  - name: all\n    condition: PairCount > 0\n    actions:\n"+list.String())
	}
	files := []string{"data/mark.json", "data/new/log.jsonl", "rules/a.yaml", "rules/../rules/b.yml", "aftermath.yaml", "token"}
	rule(files...)
	_, out, _ := aftermath(t, dir, nil, "check")
	for i, file := range files {
		if !strings.Contains(out, fmt.Sprintf("rules/a.yaml:%d:37: file: no log is written there: ", i+5)) {
			t.Errorf("check does not refuse %s:\n%s", file, out)
		}
	}
	broken := launch(t, dir, nil)
	if code := broken.Exit(); code != 1 || strings.Count(broken.Log(), "no log is written there") != len(files) {
		t.Errorf("serve: exit %d, %s", code, broken.Log())
	}
	rule("rules/logs/fine.jsonl", "data.jsonl")
	s := start(t, dir)
	s.Token = "a-secret-token"
	s.Deliver("alice", "bob")
	s.Counted("all to end", func(_, done, _, _, _ uint64) bool { return done == 2 })
}
