package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Masked is what stands in place of a secret.
const Masked = "[secret]"

// Mask replaces the values of secrets in texts that leave the process. It is safe for concurrent use. The zero value and a nil
// Mask know no secret.
type Mask struct {
	mu       sync.Mutex // guards known
	known    map[string]bool
	replacer atomic.Pointer[strings.Replacer]
}

// Add makes the mask know values (shorter than 4 bytes are left alone: they would mask half of every text), also as they look
// in JSON, Go, HTML, a URL and base64, and the lines of those that have several.
func (m *Mask) Add(values ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.known)
	for _, v := range values {
		for _, form := range forms(v) {
			if m.known == nil {
				m.known = map[string]bool{}
			}
			m.known[form] = true
		}
	}
	if len(m.known) == before {
		return
	}
	all := make([]string, 0, len(m.known))
	for form := range m.known {
		all = append(all, form)
	}
	// The replacer prefers what comes first: a secret that begins another one must not hide the rest of it.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	pairs := make([]string, 0, 2*len(all))
	for _, form := range all {
		pairs = append(pairs, form, Masked)
	}
	m.replacer.Store(strings.NewReplacer(pairs...))
}

// Text gives s with every known secret replaced by "[secret]".
func (m *Mask) Text(s string) string {
	if m == nil {
		return s
	}
	r := m.replacer.Load()
	if r == nil {
		return s
	}
	return r.Replace(s)
}

// Bytes is Text for bytes. It gives b itself where there is nothing to replace.
func (m *Mask) Bytes(b []byte) []byte {
	if m == nil || m.replacer.Load() == nil {
		return b
	}
	s := string(b)
	masked := m.Text(s)
	if masked == s {
		return b
	}
	return []byte(masked)
}

// Value gives a value as JSON has them, with every known secret in its strings replaced.
func (m *Mask) Value(v any) any {
	switch v := v.(type) {
	case string:
		return m.Text(v)
	case []byte:
		return m.Bytes(v)
	case map[string]any:
		clean := make(map[string]any, len(v))
		for key, value := range v {
			clean[key] = m.Value(value)
		}
		return clean
	case []any:
		clean := make([]any, len(v))
		for at, value := range v {
			clean[at] = m.Value(value)
		}
		return clean
	}
	return v
}

// forms are the ways in which a secret may stand in a text, without those that are too short to be masked.
func forms(value string) []string {
	return slices.DeleteFunc(Forms(value), func(form string) bool { return len(value) < MinMasked || len(form) < MinMasked })
}

// Forms are the ways in which a value may stand in a text: as it is, line by line, and as JSON, Go, HTML, a URL and base64 write it.
func Forms(value string) []string {
	all := []string{value}
	for line := range strings.Lines(value) {
		// A key or certificate comes out line by line in some errors. Its first and last lines are no secret.
		if line = strings.TrimSpace(line); len(line) >= 8 && !strings.HasPrefix(line, "---") {
			all = append(all, line)
		}
	}
	for _, raw := range slices.Clone(all) {
		quoted := strconv.Quote(raw)
		all = append(all, quoted[1:len(quoted)-1], inJSON(raw, true), inJSON(raw, false), html.EscapeString(raw),
			url.QueryEscape(raw), url.PathEscape(raw))
		all = append(all, inBase64(raw)...)
	}
	return all
}

func inJSON(s string, escapeHTML bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escapeHTML)
	if e.Encode(s) != nil {
		return s
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// inBase64 gives what a value looks like within a longer text in base64, such as name:password in a Basic header: there are three
// ways for its bits to fall, and the characters at the ends, which it shares with its neighbours, are left out.
func inBase64(value string) []string {
	const shortest = 6 // characters; fewer turn up by chance
	var all []string
	for shift := range 3 {
		padded := append(make([]byte, shift), value...)
		first, last := (shift*8+5)/6, len(padded)*8/6
		if last-first < shortest {
			continue
		}
		all = append(all, base64.StdEncoding.EncodeToString(padded)[first:last], base64.URLEncoding.EncodeToString(padded)[first:last])
	}
	return all
}
