// Package adminclient asks the admin port of a running serve. Its errors are sentences for people at a command line.
package adminclient

import (
	"bufio"
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
	maxLine   = 1 << 20 // of progress, or an error
	jsonLines = "application/x-ndjson"
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
		Transport:     &http.Transport{ResponseHeaderTimeout: timeout, MaxIdleConnsPerHost: 1, ReadBufferSize: 64 << 10}, // exports are large
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
	return c.call(ctx, http.MethodGet, path, query, nil, into)
}

// Post sends body as JSON to a path below /api/v1/ and decodes the answer. A nil body sends none.
func (c *Client) Post(ctx context.Context, path string, body, into any) error {
	return c.call(ctx, http.MethodPost, path, nil, body, into)
}

// Delete asks for a path below /api/v1/ to be taken away and decodes the answer.
func (c *Client) Delete(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodDelete, path, nil, nil, into)
}

// Lines asks for a path below /api/v1/ whose answer is JSON lines, however many and however long they take. The caller closes it.
func (c *Client) Lines(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	res, err := c.do(ctx, http.MethodGet, path, query, nil, jsonLines)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// PostLong is Post for work that reports its progress line by line, however long it takes. It gives the last line, the result.
func (c *Client) PostLong(ctx context.Context, path string, body any, progress func(json.RawMessage)) (json.RawMessage, error) {
	res, err := c.do(ctx, http.MethodPost, path, nil, body, jsonLines)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var line struct {
			Progress json.RawMessage `json:"progress"`
			Error    string          `json:"error"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, c.Stranger(err)
		}
		switch {
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Progress == nil:
			return bytes.Clone(lines.Bytes()), nil
		}
		progress(line.Progress)
	}
	return nil, fmt.Errorf("the admin port at %s ended before it was through; what it has done stays done, run the command again for the rest", c.base)
}

// Close lets go of the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call makes a request and decodes its answer.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	res, err := c.do(ctx, method, path, query, body, "")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.unreachable(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return c.Stranger(err)
	}
	return nil
}

// do makes a request and gives its answer, which the caller closes. What is not 200 is an error.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any, accept string) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	u := c.base.JoinPath("api/v1", path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxLine))
	if err != nil {
		return nil, c.unreachable(err)
	}
	return nil, c.refused(res.StatusCode, text)
}

// Stranger says that an answer is none of aftermath's, or of another version.
func (c *Client) Stranger(err error) error {
	return fmt.Errorf("%s is no admin port of aftermath: its answer is not what it should be: %w", c.base, err)
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
