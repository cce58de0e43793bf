package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

// port starts an admin port whose parts the test can change while it runs.
type port struct {
	token     string
	ready     bool
	reloadErr error
	reloads   int
	url       string
}

func start(t *testing.T, hosts ...string) *port {
	t.Helper()
	p := &port{ready: true}
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "aftermath_rules"}, func() float64 { return 3 }))
	server := httptest.NewServer(New(Options{
		Token:    func() string { return p.token },
		Hosts:    hosts,
		Gatherer: reg,
		Ready:    func() Readiness { return Readiness{Ready: p.ready, Rules: Rules{Disk: DiskRules{OK: true}}} },
		Status: func() Status {
			return Status{Version: "1.2.3", Counts: CountsOf(engine.Totals{Created: 10, Done: 5, Dead: 2, Discarded: 1})}
		},
		Reload: func(context.Context) (Rules, error) { p.reloads++; return Rules{}, p.reloadErr },
		Logger: zap.NewNop(),
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *port) do(t *testing.T, method, path string, header map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		if k == "Host" {
			req.Host = v
		} else {
			req.Header.Set(k, v)
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestGuard(t *testing.T) {
	const token = "s3cret-token"
	cases := []struct {
		name, token, method, path string
		header                    map[string]string
		want                      int
	}{
		{"no token, loopback host", "", "GET", "/api/v1/status", nil, 200},
		{"no token, localhost by name", "", "GET", "/api/v1/status", map[string]string{"Host": "localhost:9090"}, 200},
		{"no token, IPv6 loopback", "", "GET", "/api/v1/status", map[string]string{"Host": "[::1]:9090"}, 200},
		{"no token, a configured name", "", "GET", "/api/v1/status", map[string]string{"Host": "OPS.example.com"}, 200},
		{"no token, a configured name and port", "", "GET", "/api/v1/status", map[string]string{"Host": "proxy.example.com:8443"}, 200},
		{"no token, a configured name and another port", "", "GET", "/api/v1/status", map[string]string{"Host": "proxy.example.com:80"}, 403},
		{"no token, a rebound name", "", "GET", "/api/v1/status", map[string]string{"Host": "evil.example.com"}, 403},
		{"no token, a name that begins like a loopback address", "", "GET", "/metrics", map[string]string{"Host": "127.0.0.1.evil.example.com"}, 403},
		{"no token, an address of another machine", "", "GET", "/metrics", map[string]string{"Host": "192.0.2.1"}, 403},
		{"token right", token, "GET", "/api/v1/status", map[string]string{"Authorization": "Bearer " + token, "Host": "evil.example.com"}, 200},
		{"token wrong", token, "GET", "/api/v1/status", map[string]string{"Authorization": "Bearer s3cret-tokex"}, 401},
		{"token missing, metrics", token, "GET", "/metrics", nil, 401},
		{"token as basic", token, "GET", "/metrics", map[string]string{"Authorization": "Basic " + token}, 401},
		{"healthz needs no token", token, "GET", "/healthz", nil, 200},
		{"readyz needs no token or host", token, "GET", "/readyz", map[string]string{"Host": "evil.example.com"}, 200},
		{"reload from the same site", "", "POST", "/api/v1/reload", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		{"reload from another site", "", "POST", "/api/v1/reload", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"reload from another origin", "", "POST", "/api/v1/reload", map[string]string{"Origin": "https://evil.example.com"}, 403},
		{"reload from another origin with the token", token, "POST", "/api/v1/reload", map[string]string{"Origin": "https://evil.example.com", "Authorization": "Bearer " + token}, 403},
		{"reload by GET", "", "GET", "/api/v1/reload", nil, 405},
		{"status by DELETE", "", "DELETE", "/api/v1/status", nil, 405},
		{"nothing there", "", "GET", "/api/v1/nothing", nil, 404},
		{"no profiling endpoint", "", "GET", "/debug/pprof/", nil, 404},
		{"the page by POST", "", "POST", "/", nil, 405},
		{"slashes that were not meant", "", "POST", "/api/v1//reload", nil, 404},
		{"slashes that were not meant, without the token", token, "POST", "//api/v1/reload", nil, 404},
		{"dots on the way", "", "POST", "/api/v1/rules/../reload", nil, 404},
		{"no action's name", "", "POST", "/api/v1/actions//test", nil, 404},
		{"actions alone", "", "GET", "/api/v1/actions", nil, 404},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, "localhost", "ops.example.com", "proxy.example.com:8443")
			p.token = c.token
			code, body := p.do(t, c.method, c.path, c.header)
			if code != c.want {
				t.Fatalf("got %d %s, want %d", code, body, c.want)
			}
			if code >= 400 {
				var e struct{ Error string }
				if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == "" {
					t.Errorf("an error without a sentence: %q", body)
				}
			}
			if strings.Contains(body, token) {
				t.Errorf("the token shows: %s", body)
			}
			if c.want != 200 && p.reloads != 0 {
				t.Error("a refused request was carried out")
			}
		})
	}
}

func TestAllowedMethods(t *testing.T) {
	server := httptest.NewServer(methods{
		http.MethodDelete: func(http.ResponseWriter, *http.Request) {}, http.MethodGet: func(http.ResponseWriter, *http.Request) {},
	})
	defer server.Close()
	resp, err := http.Post(server.URL, "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Allow"); resp.StatusCode != http.StatusMethodNotAllowed || got != "DELETE, GET, HEAD" {
		t.Errorf("%s, Allow: %s", resp.Status, got)
	}
}

func TestReadyz(t *testing.T) {
	p := start(t)
	if code, body := p.do(t, "GET", "/readyz", nil); code != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("ready: %d %s", code, body)
	}
	p.ready = false
	if code, body := p.do(t, "GET", "/readyz", nil); code != 503 || !strings.Contains(body, `"ready":false`) {
		t.Errorf("not ready: %d %s", code, body)
	}
}

func TestReload(t *testing.T) {
	p := start(t)
	if code, body := p.do(t, "POST", "/api/v1/reload", nil); code != 200 || p.reloads != 1 {
		t.Errorf("got %d %s after %d reloads", code, body, p.reloads)
	}
	p.reloadErr = errors.New("rules/a.yaml:3:4: unknown name")
	code, body := p.do(t, "POST", "/api/v1/reload", nil)
	if code != 422 || !strings.Contains(body, "rules/a.yaml:3:4: unknown name") {
		t.Errorf("a broken set: %d %s", code, body)
	}
}

func TestStatusBalances(t *testing.T) {
	p := start(t)
	_, body := p.do(t, "GET", "/api/v1/status", nil)
	var s Status
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		t.Fatal(err)
	}
	if d := s.Counts.Deliveries; d.Pending != 2 || d.Created != d.Done+d.Pending+d.Dead+d.Discarded {
		t.Errorf("deliveries don't balance: %+v", d)
	}
}

func TestMetrics(t *testing.T) {
	p := start(t)
	if code, body := p.do(t, "GET", "/metrics", nil); code != 200 || !strings.Contains(body, "aftermath_rules 3") {
		t.Errorf("%d %s", code, body)
	}
}
