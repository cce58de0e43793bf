package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkRun posts deliveries to a receiver on loopback, 32 at once, beside a bare http.Client that posts the same bytes.
func BenchmarkRun(b *testing.B) {
	const concurrency = 32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer s.Close()
	d := delivery()
	body, err := json.Marshal(newEvent(d))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare client", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency}}
		defer client.CloseIdleConnections()
		inParallel(b, concurrency, func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
			if err != nil {
				return err
			}
			answer, err := client.Do(r)
			if err != nil {
				return err
			}
			return answer.Body.Close()
		})
	})
	for _, bc := range []struct{ name, yaml string }{
		{"webhook", "url: " + s.URL},
		{"webhook, signed", "url: " + s.URL + "\nsecrets: [" + secretA + "]"},
		{"webhook, signed, templates", "url: " + s.URL + "/{{ From_Account }}\nsecrets: [" + secretA + "]\nbody: {from: '{{ From_Account }}', to: '{{ To_Account }}'}"},
	} {
		b.Run(bc.name, func(b *testing.B) {
			hook := mustBuild(b, bc.yaml)
			inParallel(b, concurrency, func(ctx context.Context) error {
				_, err := hook.Run(ctx, d)
				return err
			})
		})
	}
}

// inParallel runs f b.N times in n goroutines.
func inParallel(b *testing.B, n int, f func(context.Context) error) {
	b.ReportAllocs()
	work := make(chan struct{})
	done := make(chan error, n)
	b.ResetTimer()
	for range n {
		go func() {
			var failed error
			for range work {
				if err := f(b.Context()); err != nil {
					failed = err
				}
			}
			done <- failed
		}()
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	for range n {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
