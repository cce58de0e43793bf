package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const (
	senderWaits = 2 * time.Second // how long Chat waits for an answer
	largestBody = 7 << 20         // what the store takes in one piece, with room for the query
	leastDisk   = 64 << 20        // what the store's streams need together
	longest     = 10 * 365 * 24 * time.Hour
)

// check reports what the decoder cannot see: values that are of the right kind and still no use.
func (l *loader) check(c *Config) {
	l.checkCallback(&c.Callback)
	l.checkApps(c.Callback.Apps)
	l.checkRules(c)
	l.checkNATS(c)
	l.checkKeep(c)
	l.checkAdmin(c)
	l.checkSMTP(c)
	l.oneOf(c.Log.Level, "debug, info, warn, error", "log", "level")
	l.oneOf(c.Log.Format, "json, console", "log", "format")
}

func (l *loader) checkCallback(c *Callback) {
	l.address(c.Listen, "callback", "listen")
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "%?# \t\r\n") {
		l.problemUnlessSecret(c.Path, l.at("callback", "path"), "callback.path must begin with / and hold no %%, ?, # or space; it is compared with the decoded path")
	}
	t, at := c.TLS, func(key string) *yaml.Node { return l.at("callback", "tls", key) }
	switch {
	case t.Cert != "" && t.Key == "":
		l.problem(at("cert"), "cert needs its private key: key is missing")
	case t.Key != "" && t.Cert == "":
		l.problem(at("key"), "key needs its certificate: cert is missing")
	case t.ClientCA != "" && t.Cert == "":
		l.problem(at("client_ca"), "client_ca needs HTTPS: cert and key are missing")
	case t.ClientCA == "" && l.has("callback", "tls", "client_ca"):
		l.problem(at("client_ca"), "client_ca is empty: name the CA's file, or leave the key out to ask for no client certificate")
	case t == TLS{} && l.has("callback", "tls"):
		l.problem(l.at("callback", "tls"), "tls needs cert and key")
	}
	if c.MaxBody < 1 || c.MaxBody > largestBody {
		l.problem(l.at("callback", "max_body"), "callback.max_body must be from 1B to %s", strictyaml.Size(largestBody))
	}
	l.duration(c.MaxAge, time.Second, 24*time.Hour, "callback", "max_age")
	if c.Wait <= 0 || c.Wait >= senderWaits {
		l.problem(l.at("callback", "wait"), "callback.wait must be more than 0 and less than 2s: Chat waits no longer for the answer")
	}
	l.duration(c.Dedupe, 0, 7*24*time.Hour, "callback", "dedupe")
}

func (l *loader) checkApps(apps []App) {
	if len(apps) == 0 {
		l.problem(l.at("callback", "apps"), "callback.apps must name at least one app: - sdkappid: 1400000000")
	}
	first := map[int64]*yaml.Node{}
	for i, app := range apps {
		at := l.at("callback", "apps", i, "sdkappid")
		switch before := first[app.SdkAppid]; {
		case app.SdkAppid <= 0:
			l.problem(at, "sdkappid must be the app's number, such as 1400000000")
		case before != nil:
			l.problem(at, "sdkappid %d stands twice: first on line %d", app.SdkAppid, before.Line)
		default:
			first[app.SdkAppid] = at
		}
		for j, token := range app.Tokens {
			if n := utf8.RuneCountInString(token.Reveal()); n < 1 || n > 128 {
				l.problem(l.at("callback", "apps", i, "tokens", j), "a token has 1 to 128 characters, and this one %d", n)
			}
		}
		if len(app.Tokens) == 0 && app.SdkAppid > 0 {
			l.checks.Warnf(at, "the app %d has no tokens: unsigned callbacks are accepted, from anyone who can reach the port", app.SdkAppid)
		}
	}
}

func (l *loader) checkRules(c *Config) {
	if c.Rules == "" {
		l.problem(l.at("rules"), "rules must name a folder or a file")
	}
	if c.Data == "" {
		l.problem(l.at("data"), "data must name a folder")
	}
	l.duration(c.Poll, 10*time.Millisecond, 24*time.Hour, "poll")
	for i, pattern := range c.RulesMay.Env {
		if _, err := path.Match(pattern, "NAME"); err != nil || pattern == "" {
			l.problem(l.at("rules_may", "env", i), "this is no pattern of variables' names: write one such as CRM_*")
		}
	}
	for i, folder := range c.RulesMay.Files {
		if folder == "" {
			l.problem(l.at("rules_may", "files", i), "this must name a folder; . is the one of this file")
		}
	}
}

func (l *loader) checkNATS(c *Config) {
	if !l.has("nats") {
		return
	}
	if c.NATS.URL == "" {
		l.problem(l.at("nats", "url"), "nats.url must name the servers, such as nats://n1:4222; without a cluster, remove nats")
	}
	for server := range strings.SplitSeq(c.NATS.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(server))
		if c.NATS.URL != "" && (err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme)) {
			l.problemUnlessSecret(c.NATS.URL, l.at("nats", "url"), "each server must be written as nats://host:4222, or tls:// instead")
			break
		}
	}
	if c.NATS.Replicas < 1 || c.NATS.Replicas > 5 {
		l.problem(l.at("nats", "replicas"), "nats.replicas must be from 1 to 5")
	}
	if c.NATS.Partitions < 1 || c.NATS.Partitions > 64 {
		l.problem(l.at("nats", "partitions"), "nats.partitions must be from 1 to 64")
	}
}

func (l *loader) checkKeep(c *Config) {
	l.duration(c.Keep.Callbacks, time.Second, longest, "keep", "callbacks")
	l.duration(c.Keep.Deliveries, time.Second, longest, "keep", "deliveries")
	if c.Keep.Callbacks >= time.Second && c.Callback.Dedupe > c.Keep.Callbacks {
		l.checks.Warnf(l.at("keep", "callbacks"), "callbacks are kept for less than callback.dedupe (%s): after a restart fewer repeats are recognised",
			short(c.Callback.Dedupe))
	}
	if c.Keep.Disk < leastDisk {
		l.problem(l.at("keep", "disk"), "keep.disk must be at least %s", strictyaml.Size(leastDisk))
	}
	if c.Keep.Quarantine < 0 {
		l.problem(l.at("keep", "quarantine"), "keep.quarantine must not be negative")
	}
}

func (l *loader) checkAdmin(c *Config) {
	host := l.address(c.Admin.Listen, "admin", "listen")
	if !isLoopback(host) && c.Admin.Token.Reveal() == "" {
		l.problemUnlessSecret(c.Admin.Listen, l.at("admin", "listen"), "admin.token is required, since listen is not a loopback address")
	}
	if l.has("admin", "token") && c.Admin.Token.Reveal() == "" {
		l.problem(l.at("admin", "token"), "the token must not be empty")
	}
	if _, port, err := net.SplitHostPort(c.Admin.Listen); err == nil && port != "0" && c.Admin.Listen == c.Callback.Listen {
		at := l.at("admin", "listen")
		if !l.has("admin", "listen") {
			at = l.at("callback", "listen")
		}
		l.problem(at, "callback.listen and admin.listen are both %s; the two must differ", c.Admin.Listen)
	}
	for i, h := range c.Admin.Hosts {
		if h == "" || strings.ContainsAny(h, "/@?# \t\r\n") {
			l.problem(l.at("admin", "hosts", i), "this is no host name: write it as in a Host header, such as admin.example.com")
		}
	}
}

func (l *loader) checkSMTP(c *Config) {
	if !l.has("smtp") {
		return
	}
	s, at := c.SMTP, func(key string) *yaml.Node { return l.at("smtp", key) }
	if _, err := netip.ParseAddr(s.Host); s.Host == "" || err != nil && strings.ContainsAny(s.Host, ":[]/@ \t\r\n") {
		l.problemUnlessSecret(s.Host, at("host"), "smtp.host must name the mail server, such as smtp.example.com; its port is smtp.port")
	}
	if l.has("smtp", "port") && (s.Port < 1 || s.Port > 65535) {
		l.problem(at("port"), "smtp.port must be from 1 to 65535")
	}
	l.oneOf(s.TLS, "starttls, implicit, none", "smtp", "tls")
	if s.Username == "" && s.Password.Reveal() != "" {
		l.problem(at("password"), "the password needs a username")
	}
	if s.Username != "" && s.Password.Reveal() == "" {
		l.problem(at("username"), "the username needs a password")
	}
	if s.TLS == "none" && s.Username != "" {
		l.checks.Warnf(at("tls"), "with tls: none the password goes over the network in the clear")
	}
	if _, err := mail.ParseAddress(s.From); l.has("smtp", "from") && err != nil {
		l.problemUnlessSecret(s.From, at("from"), "smtp.from must be one mail address, such as Aftermath <noreply@example.com>")
	}
}

// address checks a listen address, and gives its host.
func (l *loader) address(value string, at ...any) (host string) {
	host, port, err := net.SplitHostPort(value)
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || strings.ContainsAny(host, "/ ") || number == 0 && port != "0" {
		l.problemUnlessSecret(value, l.at(at...), "%s must be host:port, such as 127.0.0.1:8080, or :8080 for every address of this machine", dotted(at))
	}
	return host
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

func (l *loader) duration(d, least, most time.Duration, at ...any) {
	if d < least || d > most {
		l.problem(l.at(at...), "%s must be from %s to %s", dotted(at), short(least), short(most))
	}
}

// short writes a duration as people do: 24h, not 24h0m0s.
func short(d time.Duration) string {
	switch {
	case d > 24*time.Hour && d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	case d == 0:
		return "0"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func (l *loader) oneOf(value, allowed string, at ...any) {
	if !slices.Contains(strings.Split(allowed, ", "), value) {
		l.problem(l.at(at...), "%s must be one of %s", dotted(at), allowed)
	}
}

// dotted writes a path of keys as people do: keep.callbacks.
func dotted(path []any) string { return strings.Join(strings.Fields(fmt.Sprintln(path...)), ".") }

// at gives the value at a path of keys and indices; where it is absent, the key of what it would stand in.
func (l *loader) at(path ...any) *yaml.Node {
	n := l.root()
	place := n
	for _, step := range path {
		next := l.step(n, step)
		if next == nil {
			break
		}
		place = next
		if key, _ := l.dec.Key(n, fmt.Sprint(step)); key != nil && next.Kind != yaml.ScalarNode && !l.dec.Faulty(next) {
			place = key
		}
		n = next
	}
	return place
}

// has tells that something is written at a path of keys.
func (l *loader) has(path ...any) bool {
	n := l.root()
	for _, step := range path {
		if n = l.step(n, step); n == nil {
			return false
		}
	}
	return true
}

func (l *loader) step(n *yaml.Node, step any) *yaml.Node {
	switch s := step.(type) {
	case string:
		_, value := l.dec.Key(n, s)
		return value
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	}
	return nil
}

// problem reports a problem, unless the decoder has reported one with the same value, which this one would follow from.
func (l *loader) problem(n *yaml.Node, format string, args ...any) {
	if !l.dec.Faulty(n) {
		l.checks.Problemf(n, format, args...)
	}
}

// problemUnlessSecret is problem for a value that cannot be judged where it holds a placeholder.
func (l *loader) problemUnlessSecret(value string, n *yaml.Node, format string, args ...any) {
	if !strings.Contains(value, secrets.Placeholder) {
		l.problem(n, format, args...)
	}
}
