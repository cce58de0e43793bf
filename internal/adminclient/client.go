// Package adminclient asks the admin port of a running serve. Its errors are sentences for people at a command line.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	timeout   = time.Minute // for one request
	maxAnswer = 256 << 20
)

// Client asks one admin port. It uses no proxy and follows no redirect, so that the token goes nowhere else.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client for an admin port such as http://127.0.0.1:9090; token may be "".
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of an admin port, such as http://127.0.0.1:9090", base)
	}
	u.RawQuery, u.Fragment = "", ""
	return &Client{base: u, token: token, http: &http.Client{
		Transport:     &http.Transport{ResponseHeaderTimeout: timeout, MaxIdleConnsPerHost: 1},
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// StatusError is an answer that says no.
type StatusError struct {
	Status   int
	Sentence string // the answer's own
}

func (e *StatusError) Error() string { return e.Sentence }

// Get asks for a path below /api/v1/ and decodes the answer.
func (c *Client) Get(ctx context.Context, path string, query url.Values, into any) error {
	return c.do(ctx, http.MethodGet, path, query, nil, into)
}

// Post sends body as JSON to a path below /api/v1/ and decodes the answer.
func (c *Client) Post(ctx context.Context, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, path, nil, text, into)
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) do(ctx context.Context, method, path string, query url.Values, body []byte, into any) error {
	u := c.base.JoinPath("api/v1", path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if res.StatusCode != http.StatusOK {
		return c.refused(res.StatusCode, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is no admin port of aftermath: its answer is not what it should be: %w", c.base, err)
	}
	return nil
}

// unreachable says why there was no answer, without the URL's query.
func (c *Client) unreachable(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	if os.IsTimeout(err) {
		return fmt.Errorf("the admin port at %s does not answer in time: look at serve's log", c.base)
	}
	return fmt.Errorf("the admin port at %s does not answer (%w): is serve running, and is this its admin.listen? --admin names another", c.base, err)
}

func (c *Client) refused(status int, text []byte) error {
	var answer struct {
		Error string `json:"error"`
	}
	said := json.Unmarshal(text, &answer) == nil && answer.Error != ""
	switch {
	case status == http.StatusUnauthorized && c.token == "":
		return &StatusError{status, fmt.Sprintf("the admin port at %s wants a token: give its admin.token with --token, or name the configuration with -c", c.base)}
	case status == http.StatusUnauthorized:
		return &StatusError{status, fmt.Sprintf("the admin port at %s refuses the token: give its admin.token with --token", c.base)}
	case !said:
		return &StatusError{status, fmt.Sprintf("%s is no admin port of aftermath that knows this: it answers %d %s", c.base, status, http.StatusText(status))}
	}
	return &StatusError{status, fmt.Sprintf("the admin port at %s says: %s", c.base, strings.TrimSpace(answer.Error))}
}
