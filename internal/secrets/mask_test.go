package secrets

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMaskOfValues(t *testing.T) {
	var m Mask
	m.Add("hunter2")
	in := map[string]any{"a": "x hunter2", "b": []any{1, "hunter2", map[string]any{"c": []byte("hunter2")}}, "d": nil}
	want := map[string]any{"a": "x [secret]", "b": []any{1, Masked, map[string]any{"c": []byte(Masked)}}, "d": nil}
	if diff := cmp.Diff(want, m.Value(in)); diff != "" || in["a"] != "x hunter2" {
		t.Error(diff, in)
	}
}

func TestMask(t *testing.T) {
	const secret = `p"w<&é /ü+`
	var m Mask
	m.Add(secret, "abc", "tokentoken", "tokentoken-longer", "")

	request, _ := http.NewRequest("GET", "http://x/?q="+url.QueryEscape(secret), nil)
	request.SetBasicAuth("mailer", "tokentoken")
	quoted, _ := json.Marshal(map[string]string{"k": secret})
	tests := []struct{ name, text string }{
		{"raw", "a " + secret + " b"},
		{"JSON", string(quoted)},
		{"Go", fmt.Sprintf("%q", secret)},
		{"query", request.URL.String()},
		{"path", (&url.URL{Path: "/" + secret}).String() + url.PathEscape(secret)},
		{"base64", base64.StdEncoding.EncodeToString([]byte(secret))},
		{"base64 for URLs", base64.RawURLEncoding.EncodeToString([]byte(secret))},
		{"Basic header", request.Header.Get("Authorization")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := m.Text(test.text)
			if !strings.Contains(got, Masked) {
				t.Errorf("%s stays %s", test.text, got)
			}
			if string(m.Bytes([]byte(test.text))) != got {
				t.Error("Bytes differs from Text")
			}
		})
	}
	for in, want := range map[string]string{
		"abc is too short":      "abc is too short",
		"x tokentoken-longer y": "x [secret] y",
		"tokentokentokentoken":  "[secret][secret]",
		"":                      "",
	} {
		if got := m.Text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestMaskHidesEachLineOfAKey(t *testing.T) {
	var m Mask
	m.Add("-----BEGIN USER NKEY SEED-----\nSUAKEYKEYKEYKEY\n------END USER NKEY SEED------")
	got := m.Text("bad seed SUAKEYKEYKEYKEY after -----BEGIN USER NKEY SEED-----")
	if got != "bad seed [secret] after -----BEGIN USER NKEY SEED-----" {
		t.Error(got)
	}
}

func TestMaskWithoutSecretsGivesBackWhatItGot(t *testing.T) {
	var none *Mask
	for _, m := range []*Mask{none, {}} {
		b := []byte("text")
		if got := m.Bytes(b); &got[0] != &b[0] || m.Text("text") != "text" {
			t.Errorf("%q", got)
		}
	}
}

func TestMaskIsSafeForConcurrentUse(t *testing.T) {
	var m Mask
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			secret := fmt.Sprintf("secret-number-%d", i)
			m.Add(secret)
			if got := m.Text("<" + secret + ">"); got != "<[secret]>" {
				t.Error(got)
			}
		})
	}
	wg.Wait()
}

func BenchmarkMask(b *testing.B) {
	text := strings.Repeat("a log line about a delivery that went out. ", 20)
	var m Mask
	b.Run("no secrets", func(b *testing.B) {
		for b.Loop() {
			m.Text(text)
		}
	})
	var values []string
	for i := range 20 {
		values = append(values, fmt.Sprintf("%dsecret-number", i))
	}
	m.Add(values...)
	b.Run("20 secrets", func(b *testing.B) {
		for b.Loop() {
			m.Text(text)
		}
	})
	b.Run("20 secrets, naive", func(b *testing.B) {
		var all []string
		for _, v := range values {
			all = append(all, forms(v)...)
		}
		for b.Loop() {
			s := text
			for _, v := range all {
				s = strings.ReplaceAll(s, v, Masked)
			}
		}
	})
}
