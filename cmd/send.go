package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/config"
)

// sendOptions are the flags of send.
type sendOptions struct {
	url       string
	sdkappid  int64
	token     string
	config    string
	query     []string
	queryFile string
	timeout   time.Duration

	count       int
	rate        float64
	concurrency int

	insecure      bool
	ca, cert, key string
}

func newSendCommand() *cobra.Command {
	var o sendOptions
	c := &cobra.Command{
		Use:   "send --url URL --sdkappid N [flags] PACKET",
		Short: "Post a packet as Chat does",
		Long: `send posts a packet, a file or - for standard input, to a callback endpoint as Tencent Cloud Chat does: with its query
parameters, a fresh RequestId and, where there is a token, a Sign. It prints the answer, and exits with 0 only if that is OK.

With --count it is a load generator: it prints how many posts were answered OK, and how long the answers took.`,
		Example: `  aftermath send --url http://127.0.0.1:8080/ --sdkappid 1400000000 packet.json
  aftermath send --url http://127.0.0.1:8080/ --sdkappid 1400000000 --query OptPlatform=iOS --query ClientIP=10.0.0.7 packet.json
  aftermath send --url http://127.0.0.1:8080/ --sdkappid 1400000000 --count 10000 --concurrency 64 --rate 500 packet.json`,
		Args: exactArgs(1, "one packet: a file, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := newPoster(cmd, &o, args[0])
			if err != nil {
				return err
			}
			defer p.client.CloseIdleConnections()
			if o.count == 1 {
				return p.once(cmd)
			}
			return p.load(cmd, &o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.url, "url", "", "the callback URL; it may have a path and a query of its own")
	f.Int64Var(&o.sdkappid, "sdkappid", 0, "the app's number; it goes before an SdkAppid among the query parameters")
	f.StringVar(&o.token, "token", "", "sign with this token (default: the environment variable AFTERMATH_TOKEN, if it is set)")
	f.StringVarP(&o.config, "config", "c", "", "sign with the token that this configuration `FILE` has for the app, the first of several")
	f.StringArrayVar(&o.query, "query", nil, "query parameters, k=v or k=v&k=v, written as they stand in a URL; they replace those of the same name")
	f.StringVar(&o.queryFile, "query-file", "", "a file that holds query parameters, k=v&k=v")
	f.DurationVar(&o.timeout, "timeout", 5*time.Second, "how long to wait for an answer (Chat waits 2s)")
	f.IntVar(&o.count, "count", 1, "how many times to post the packet")
	f.Float64Var(&o.rate, "rate", 0, "posts per second, each timed from when it is due; 0 for as many as go")
	f.IntVar(&o.concurrency, "concurrency", 1, "posts at a time")
	f.BoolVar(&o.insecure, "insecure", false, "accept any server certificate")
	f.StringVar(&o.ca, "ca", "", "a PEM file of the CA that signed the server's certificate")
	f.StringVar(&o.cert, "cert", "", "a PEM file of the client certificate to present")
	f.StringVar(&o.key, "key", "", "a PEM file of its key")
	return c
}

// check finds what is wrong with the flags.
func (o *sendOptions) check() error {
	switch {
	case o.url == "":
		return usageErrorf("--url is needed: the callback URL, such as http://127.0.0.1:8080/")
	case o.sdkappid < 0:
		return usageErrorf("--sdkappid %d is not a positive number", o.sdkappid)
	case o.count < 1:
		return usageErrorf("--count %d is less than 1", o.count)
	case o.concurrency < 1:
		return usageErrorf("--concurrency %d is less than 1", o.concurrency)
	case o.rate < 0 || math.IsNaN(o.rate):
		return usageErrorf("--rate %v is less than 0", o.rate)
	case o.timeout <= 0:
		return usageErrorf("--timeout %v is not positive", o.timeout)
	case (o.cert == "") != (o.key == ""):
		return usageErrorf("--cert and --key are only of use together")
	case o.config != "" && o.sdkappid == 0:
		return usageErrorf("-c needs --sdkappid: the app whose token it is")
	}
	return nil
}

// poster posts one packet, again and again.
type poster struct {
	client *http.Client
	base   *url.URL // without its query
	own    string   // the query of the callback URL
	params []param  // those that are the same for every post
	token  string
	set    map[string]string // what the caller set, by name
	packet []byte
}

// param is a query parameter as it stands in a URL.
type param struct{ name, raw string }

func newPoster(cmd *cobra.Command, o *sendOptions, packet string) (*poster, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	token, err := o.signWith(cmd)
	if err != nil {
		return nil, err
	}
	p := &poster{token: token, set: map[string]string{}}
	base, err := url.Parse(o.url)
	if err != nil {
		return nil, usageErrorf("--url: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, usageErrorf("--url %q is no http:// or https:// address", o.url)
	}
	p.base, p.own = base, base.RawQuery
	p.base.Fragment = ""
	if p.base.Path == "" {
		p.base.Path = "/"
	}
	if err := p.parameters(cmd, o); err != nil {
		return nil, err
	}
	if p.client, err = newClient(o); err != nil {
		return nil, err
	}
	p.packet, err = readPacket(cmd, packet)
	return p, err
}

// signWith gives the token: the one that is named, or the configuration's, or the environment's; "" for none.
func (o *sendOptions) signWith(cmd *cobra.Command) (string, error) {
	switch {
	case cmd.Flags().Changed("token"):
		return o.token, nil
	case o.config == "":
		return os.Getenv("AFTERMATH_TOKEN"), nil
	}
	cfg, err := config.Load(o.config, config.SecretsOf("callback"))
	if err != nil {
		return "", problemsError(cmd.ErrOrStderr(), err)
	}
	for _, app := range cfg.Callback.Apps {
		if app.SdkAppid != o.sdkappid {
			continue
		}
		if len(app.Tokens) == 0 {
			return "", nil
		}
		return app.Tokens[0].Reveal(), nil
	}
	return "", failuref("%s has no app %d", o.config, o.sdkappid)
}

// parameters puts together what every post has in its query: the caller's parameters after the defaults that they don't replace.
func (p *poster) parameters(cmd *cobra.Command, o *sendOptions) error {
	given := o.query
	if o.queryFile != "" {
		b, err := os.ReadFile(o.queryFile)
		if err != nil {
			return usageErrorf("--query-file: %w", err)
		}
		given = slices.Insert(slices.Clone(given), 0, string(b))
	}
	var own []param
	for _, s := range given {
		for part := range strings.SplitSeq(strings.TrimSpace(s), "&") {
			name, value, ok := strings.Cut(part, "=")
			if !ok || name == "" {
				return usageErrorf("query parameter %q is not of the form k=v", part)
			}
			if name == "SdkAppid" && cmd.Flags().Changed("sdkappid") {
				continue // said twice: the flag is the plainer
			}
			own = append(own, param{name, sendable(part)})
			p.set[name] = value
		}
	}
	if _, ok := p.set["SdkAppid"]; !ok && o.sdkappid == 0 {
		return usageErrorf("--sdkappid is needed: the app's number, such as 1400000000")
	}
	for _, d := range []param{
		{"SdkAppid", strconv.FormatInt(o.sdkappid, 10)}, {"CallbackCommand", callback.Command}, {"contenttype", "json"},
		{"ClientIP", "127.0.0.1"}, {"OptPlatform", "RESTAPI"},
	} {
		if _, ok := p.set[d.name]; !ok {
			p.params = append(p.params, param{d.name, d.name + "=" + d.raw})
		}
	}
	p.params = append(p.params, own...)
	return nil
}

// sendable escapes what cannot stand in a request line, and leaves the rest as it was written.
func sendable(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// newClient makes a client that, like Chat, keeps its connections, follows no redirect, and knows of no proxy.
func newClient(o *sendOptions) (*http.Client, error) {
	conf := &tls.Config{InsecureSkipVerify: o.insecure} //nolint:gosec // the caller's wish, in so many words
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, usageErrorf("--ca: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageErrorf("--ca %s holds no certificate", o.ca)
		}
	}
	if o.cert != "" {
		cert, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, usageErrorf("--cert %s and --key %s: %w", o.cert, o.key, err)
		}
		conf.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{
		Timeout: o.timeout,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.timeout}).DialContext,
			TLSClientConfig:     conf,
			MaxIdleConnsPerHost: o.concurrency,
			DisableCompression:  true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// query gives the query of one post.
func (p *poster) query(now time.Time) string {
	parts := make([]string, 0, len(p.params)+4)
	if p.own != "" {
		parts = append(parts, p.own)
	}
	for _, param := range p.params {
		parts = append(parts, param.raw)
	}
	if _, ok := p.set["RequestId"]; !ok {
		parts = append(parts, "RequestId="+newRequestID())
	}
	if p.token != "" {
		at, ok := p.set["RequestTime"]
		if !ok {
			at = strconv.FormatInt(now.Unix(), 10)
			parts = append(parts, "RequestTime="+at)
		}
		if _, ok := p.set["Sign"]; !ok {
			parts = append(parts, "Sign="+callback.Sign(p.token, at))
		}
	}
	return strings.Join(parts, "&")
}

// newRequestID makes a random UUID (RFC 9562, version 4).
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see its documentation
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// answer is what a post came to.
type answer struct {
	status int
	line   string // the status line
	body   []byte
}

// ok reports whether the endpoint said that the callback is in good hands.
func (a *answer) ok() bool {
	var said struct {
		ActionStatus string
		ErrorCode    *int
	}
	return a.status == http.StatusOK && json.Unmarshal(a.body, &said) == nil && said.ActionStatus == "OK" &&
		said.ErrorCode != nil && *said.ErrorCode == 0
}

const maxAnswer = 1 << 20 // bytes of it that are read

func (p *poster) post(ctx context.Context) (*answer, error) {
	u := *p.base
	u.RawQuery = p.query(time.Now())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(p.packet))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.client.Do(req)
	if err != nil {
		var whole *url.Error
		if errors.As(err, &whole) {
			err = whole.Err // without the URL, whose Sign is good for a minute
		}
		return nil, fmt.Errorf("post to %s://%s%s: %w", u.Scheme, u.Host, u.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", u.Host, err)
	}
	return &answer{status: res.StatusCode, line: res.Proto + " " + res.Status, body: body}, nil
}

// once posts the packet and prints the answer.
func (p *poster) once(cmd *cobra.Command) error {
	a, err := p.post(cmd.Context())
	if err != nil {
		return &exitError{code: exitFailure, err: err}
	}
	if a.status != http.StatusOK {
		fmt.Fprintln(cmd.ErrOrStderr(), a.line)
	}
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bytes.TrimRight(a.body, "\n")); err != nil {
		return err
	}
	if !a.ok() {
		return &exitError{code: exitFailure}
	}
	return nil
}
