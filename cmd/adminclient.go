package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/aftermath-rules/aftermath/internal/config"
)

// adminFlags say which serve a command talks to.
type adminFlags struct {
	config string
	url    string
	token  string
}

func (f *adminFlags) register(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVarP(&f.config, "config", "c", defaultConfig, "the configuration `FILE` of the serve to talk to")
	flags.StringVar(&f.url, "admin", "", "the `URL` of its admin port, instead of -c")
	flags.StringVar(&f.token, "token", "", "with --admin: the admin port's `TOKEN`")
}

// adminClient talks to the admin port of a running serve.
type adminClient struct {
	base   string
	token  string
	client *http.Client
}

const answerWait = 60 * time.Second // until an answer begins

// client finds the serve. It needs the secrets of the admin section and no others.
func (f *adminFlags) client() (*adminClient, error) {
	transport := &http.Transport{ResponseHeaderTimeout: answerWait} // no proxy: the port is the machine's own or a colleague's
	c := &adminClient{client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
	if f.url != "" {
		u, err := url.Parse(f.url)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usageErrorf("--admin takes a URL such as http://127.0.0.1:9090, not %q", f.url)
		}
		c.base, c.token = strings.TrimRight(f.url, "/"), f.token
		return c, nil
	}
	if f.token != "" {
		return nil, usageErrorf("--token goes with --admin; with -c the configuration says the token")
	}
	cfg, err := config.Load(f.config, config.SecretsOf("admin"))
	if err != nil {
		return nil, err
	}
	addr, err := net.ResolveTCPAddr("tcp", cfg.Admin.Listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen of %s: %w", f.config, err)
	}
	if addr.Port == 0 {
		return nil, fmt.Errorf("%s lets the system choose the admin port: name it with --admin URL, as serve printed it", f.config)
	}
	c.base, c.token = "http://"+hostOf(addr), cfg.Admin.Token.Reveal()
	return c, nil
}

// do makes a request and gives its answer; the caller closes it. What is not 200 is an error in the server's own words.
func (c *adminClient) do(ctx context.Context, method, path string, query url.Values, body any, accept string) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	target := c.base + "/api/v1/" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("the admin port %s: %w; does serve run?", c.base, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var refusal struct {
		Error string `json:"error"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxShown))
	if err != nil || json.Unmarshal(text, &refusal) != nil || refusal.Error == "" {
		return nil, fmt.Errorf("the admin port %s answered %s", c.base, resp.Status)
	}
	return nil, errors.New(refusal.Error)
}

const maxShown = 1 << 20

// get reads the JSON at path into v.
func (c *adminClient) get(ctx context.Context, path string, query url.Values, v any) error {
	return c.call(ctx, http.MethodGet, path, query, v)
}

func (c *adminClient) call(ctx context.Context, method, path string, query url.Values, v any) error {
	resp, err := c.do(ctx, method, path, query, nil, "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.base, err)
	}
	return nil
}

// long makes a request that reports its progress line by line, and gives the last line, the result.
func (c *adminClient) long(ctx context.Context, path string, body any, progress func(json.RawMessage)) (json.RawMessage, error) {
	resp, err := c.do(ctx, http.MethodPost, path, nil, body, "application/x-ndjson")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxShown)
	for lines.Scan() {
		var line struct {
			Progress json.RawMessage `json:"progress"`
			Error    string          `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("the answer of %s: %w", c.base, err)
		}
		switch {
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Progress == nil:
			return bytes.Clone(lines.Bytes()), nil
		}
		progress(line.Progress)
	}
	return nil, fmt.Errorf("the admin port %s ended before it was through; what it has done stays done, run the command again for the rest", c.base)
}
