package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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

// While the cluster is not there, serve says what it waits for, and not by which password.
func TestWaitForACluster(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0") // to have a port on which no NATS server answers
	must(t, err)
	addr := ln.Addr().String()
	must(t, ln.Close())
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config("nats: {url: 'nats://user:canary-password@"+addr+"', replicas: 1}\n"))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	s := launch(t, dir, nil)
	eventually(t, "a word of what it waits for", func() bool {
		return strings.Contains(s.Log(), "the cluster cannot be reached") && strings.Contains(s.Log(), addr)
	})
	s.Stop()
	if strings.Contains(s.Log(), "canary-password") {
		t.Errorf("the password is shown: %s", s.Log())
	}
}
