package cmd

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

const samplePacket = `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"alice","To_Account":"bob"}]}`

// hello says where it listens, what it runs, and how to try it.
func (s *service) hello(w io.Writer) {
	set, note := s.rules.Current(), ""
	if s.rules.State().LastGood {
		note = " (the last good one, since what is on disk is broken)"
	}
	fmt.Fprintf(w, "callbacks  %s\n", s.ports.callbackURL())
	fmt.Fprintf(w, "admin      %s\n", s.ports.adminURL())
	fmt.Fprintf(w, "rules      %s of %s, set %s%s\n", plural(len(set.Rules), "rule"), s.cfg.Rules, set.Hash, note)
	fmt.Fprintf(w, "try        echo %s | aftermath send %s -\n", shellWord(samplePacket), s.sendFlags())
}

// sendFlags are the flags of send for a packet of the first app. No token is among them: send takes it from the configuration.
func (s *service) sendFlags() string {
	app := s.cfg.Callback.Apps[0]
	flags := fmt.Sprintf("--url %s --sdkappid %d", shellWord(s.ports.callbackURL()), app.SdkAppid)
	if len(app.Tokens) > 0 {
		path := s.cfg.Path
		if abs, err := filepath.Abs(path); err == nil {
			path = abs
		}
		flags += " -c " + shellWord(path)
	}
	if s.cfg.Callback.TLS.Cert != "" {
		flags += " --insecure" // the certificate is hardly for the address of this machine
	}
	if s.cfg.Callback.TLS.ClientCA != "" {
		flags += " --cert CLIENT.pem --key CLIENT.key" // the program has neither
	}
	return flags
}

// shellWord is a word of a shell's command line, in quotes where it needs them.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("/:.,_-+@%=", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
