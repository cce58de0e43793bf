package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTimesInQueries(t *testing.T) {
	want := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-11-22T00:00:00Z", "2026-11-22T08:00:00%2B08:00", "2026-11-22T08:00:00+08:00", "1795305600"} {
		p := paramsOf(httptest.NewRequest(http.MethodGet, "/?since="+text, nil), "since")
		if got := p.time("since"); !got.Equal(want) || p.err != nil {
			t.Errorf("since=%s gives %v, %v", text, got, p.err)
		}
	}
}

func TestBodiesThatCannotBeRead(t *testing.T) {
	for body, want := range map[string]string{
		`x`:               "the request's body: invalid character 'x' looking for beginning of value",
		`[]`:              "the request's body: the value is of the wrong type: it is a JSON array",
		`{"ids":"x"}`:     "the request's body: ids is of the wrong type: it is a JSON string",
		`{"dry_rum":1}`:   `the request's body: unknown field "dry_rum"`,
		`{"ids":["a"]} 1`: "the request's body: something follows the JSON",

		`{"ids":["` + strings.Repeat("a", maxRequest) + `"]}`: "the request's body: it is longer than 65536 bytes",
	} {
		var v struct {
			IDs []string `json:"ids"`
		}
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		if err := readJSON(httptest.NewRecorder(), r, &v); err == nil || err.Error() != want {
			t.Errorf("%.40s: %v, want %s", body, err, want)
		}
	}
}

// A body that is too long gets the status that says so, wherever one is read.
func TestBodiesThatAreTooLong(t *testing.T) {
	a := &api{}
	for name, handle := range map[string]http.HandlerFunc{
		"/api/v1/callbacks/reprocess": a.reprocess,
		"/api/v1/deliveries/replay":   a.bulk("replayed", nil),
		"/api/v1/actions/crm/test":    (&workbench{}).testAction,
	} {
		w := httptest.NewRecorder()
		handle(w, httptest.NewRequest(http.MethodPost, name, strings.NewReader(`{"since":"`+strings.Repeat("a", maxRequest)+`"}`)))
		if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "it is longer than 65536 bytes") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
