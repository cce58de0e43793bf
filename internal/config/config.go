package config

import (
	"net/netip"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/actions"
	"github.com/aftermath-rules/aftermath/internal/netguard"
	"github.com/aftermath-rules/aftermath/internal/schema"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// Config is one aftermath.yaml with its defaults filled in. Its paths are relative to the working directory, or absolute.
type Config struct {
	Callback Callback      `yaml:"callback" doc:"Where callbacks are received." required:"true"`
	Rules    string        `yaml:"rules" doc:"The rules: a folder, searched through all its sub-folders, or one file."`
	RulesMay RulesMay      `yaml:"rules_may" doc:"Which secrets rules files may use."`
	Poll     time.Duration `yaml:"poll" doc:"How often the rules are looked at for changes, beside the watch."`
	Data     string        `yaml:"data" doc:"The folder of the embedded store."`
	NATS     NATS          `yaml:"nats" doc:"An existing NATS JetStream cluster, instead of the embedded store."`
	Keep     Keep          `yaml:"keep" doc:"How much is kept, whichever is reached first. What is not yet handled is never dropped."`
	Admin    Admin         `yaml:"admin" doc:"The admin port: health, metrics, API and page."`
	SMTP     actions.SMTP  `yaml:"smtp" doc:"The mail server of email actions that name none."`
	Network  Network       `yaml:"network" doc:"Where webhook actions may connect. Aftermath's own ports they never may."`
	Log      Log           `yaml:"log" doc:"The program's own log."`

	Path     string              `yaml:"-"` // of the file
	Warnings strictyaml.Problems `yaml:"-"` // what does not keep the file from being used

	sources sources
}

// Callback is the callback section.
type Callback struct {
	Listen        string          `yaml:"listen" doc:"The address to receive callbacks at, host:port."`
	Path          string          `yaml:"path" doc:"The path of the callback URL; any other is answered 404."`
	Apps          []App           `yaml:"apps" doc:"The apps whose callbacks are accepted, one or more." required:"true"`
	TLS           TLS             `yaml:"tls" doc:"HTTPS, and with client_ca mutual authentication."`
	MaxBody       strictyaml.Size `yaml:"max_body" doc:"How large a packet may be, such as 1MiB (the default); at most 7MiB."`
	MaxAge        time.Duration   `yaml:"max_age" doc:"How far the RequestTime of a signed callback may be from now."`
	Wait          time.Duration   `yaml:"wait" doc:"How long to keep trying to store a callback, from the first byte of its request; less than the 2s that Chat waits."`
	Dedupe        time.Duration   `yaml:"dedupe" doc:"How long a callback that comes again is recognised; 0 for never."`
	SenderRetries bool            `yaml:"sender_retries" doc:"True where retries after a time-out are switched on in the console."`
}

// App is one Chat app.
type App struct {
	SdkAppid int64            `yaml:"sdkappid" doc:"The app's number." required:"true"`
	Tokens   []actions.Secret `yaml:"tokens" doc:"The tokens that callbacks may be signed with, any of them; with none, unsigned callbacks are accepted."`
}

// TLS is the tls section of callback. Its zero value is plain HTTP.
type TLS struct {
	Cert     string `yaml:"cert" doc:"The server's certificate and its chain, a PEM file."`
	Key      string `yaml:"key" doc:"The certificate's private key, a PEM file."`
	ClientCA string `yaml:"client_ca" doc:"The CA of client certificates, a PEM file. With it, a client certificate is required."`
}

// RulesMay is the rules_may section.
type RulesMay struct {
	Env   []string `yaml:"env" doc:"Patterns of environment variables that rules may use: any, by default, but those that this file uses."`
	Files []string `yaml:"files" doc:"Folders whose files rules may use; log actions write below the first. By default this file's folder and /run/secrets."`
}

// NATS is the nats section. Without a URL the embedded store is used.
type NATS struct {
	URL         string         `yaml:"url" doc:"The servers, separated by commas: nats://n1:4222,nats://n2:4222." required:"true"`
	Replicas    int            `yaml:"replicas" doc:"On how many servers each stream is kept, 1 to 5."`
	Partitions  int            `yaml:"partitions" doc:"How many accept streams there are, by hash of the callback id."`
	Spool       bool           `yaml:"spool" doc:"What the cluster does not take within 1s goes to the embedded store, and on when it is back."`
	Credentials actions.Secret `yaml:"credentials" doc:"The content of a NATS credentials file."`
}

// Keep is the keep section.
type Keep struct {
	Callbacks  time.Duration   `yaml:"callbacks" doc:"How long callbacks are kept, for explain, backtest and reprocessing."`
	Deliveries time.Duration   `yaml:"deliveries" doc:"How long finished deliveries are kept; dead letters stay until replayed or discarded."`
	Disk       strictyaml.Size `yaml:"disk" doc:"How much space all of it may take, such as 10GiB (the default)."`
	Quarantine int             `yaml:"quarantine" doc:"How many packets that could not be read are kept; 0 for none."`
}

// Admin is the admin section.
type Admin struct {
	Listen string         `yaml:"listen" doc:"The address of the admin port, host:port."`
	Token  actions.Secret `yaml:"token" doc:"The bearer token; required where listen is not a loopback address."`
	Hosts  []string       `yaml:"hosts" doc:"Host headers that are answered where no token is set, besides the listen address."`
}

// Network is the network section.
type Network struct {
	Deny  []Prefix `yaml:"deny" doc:"Address ranges that are refused. By default link-local addresses and the metadata services of clouds."`
	Allow []Prefix `yaml:"allow" doc:"Where not empty, nothing else is allowed."`
}

// Log is the log section.
type Log struct {
	Level          string `yaml:"level" enum:"debug,info,warn,error" doc:"The least level that is logged."`
	Format         string `yaml:"format" enum:"json,console" doc:"JSON lines, or text for a terminal."`
	RedactAccounts bool   `yaml:"redact_accounts" doc:"Log a keyed hash instead of account ids. Log actions are not affected."`
}

// Prefix is a range of addresses, in YAML 10.0.0.0/8 or a single address.
type Prefix struct{ netip.Prefix }

// UnmarshalNode reads the range.
func (p *Prefix) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	text, ok := d.Scalar(n)
	if !ok {
		return
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		p.Prefix = netip.PrefixFrom(addr, addr.BitLen())
		return
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		d.Problemf(n, "%q is no range of addresses: write one such as 10.0.0.0/8 or fd00::/8", text)
		return
	}
	if prefix != prefix.Masked() {
		d.Problemf(n, "%s has bits behind the /%d: write %s, or the single address", text, prefix.Bits(), prefix.Masked())
		return
	}
	p.Prefix = prefix
}

// JSONSchema describes a range in the schema.
func (Prefix) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "examples": []string{"10.0.0.0/8"}}
}

// Denied gives deny as the guard takes it.
func (n Network) Denied() []netip.Prefix { return prefixes(n.Deny) }

// Allowed gives allow as the guard takes it.
func (n Network) Allowed() []netip.Prefix { return prefixes(n.Allow) }

func prefixes(list []Prefix) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = p.Prefix
	}
	return out
}

// Default is the configuration of an empty file; its paths are as they would be written.
func Default() *Config {
	c := &Config{
		Callback: Callback{
			Listen:  "127.0.0.1:8080",
			Path:    "/",
			MaxBody: 1 << 20,
			MaxAge:  time.Minute,
			Wait:    1600 * time.Millisecond,
			Dedupe:  10 * time.Minute,
		},
		Rules:    "rules",
		RulesMay: RulesMay{Env: []string{"*"}, Files: []string{".", "/run/secrets"}},
		Poll:     2 * time.Second,
		Data:     "data",
		NATS:     NATS{Replicas: 3, Partitions: 1, Spool: true},
		Keep:     Keep{Callbacks: 7 * 24 * time.Hour, Deliveries: 7 * 24 * time.Hour, Disk: 10 << 30, Quarantine: 1000},
		Admin:    Admin{Listen: "127.0.0.1:9090", Hosts: []string{"localhost"}},
		SMTP:     actions.SMTP{TLS: "starttls"},
		Log:      Log{Level: "info", Format: "json"},
	}
	for _, p := range netguard.DefaultDeny() {
		c.Network.Deny = append(c.Network.Deny, Prefix{p})
	}
	return c
}

// Schema is the JSON Schema (draft 2020-12) of aftermath.yaml.
func Schema() map[string]any {
	s := schema.Of(Default())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "aftermath.yaml"
	properties := s["properties"].(map[string]any)
	properties["version"] = map[string]any{"const": 1, "description": "The version of the format."}
	callback := properties["callback"].(map[string]any)["properties"].(map[string]any)
	callback["apps"].(map[string]any)["minItems"] = 1
	s["patternProperties"] = map[string]any{"^x-": map[string]any{}}
	return s
}
