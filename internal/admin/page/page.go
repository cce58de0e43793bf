// Package page is the page that the admin port shows at /: one HTML file, its style and its scripts, bundled once from src by
// `npm ci && npm run build` in this folder, committed, and embedded, so that nothing has to be built to use it.
//
// Every account id and every text of a receiver is hostile: the scripts make text nodes of them and never markup, and should one slip
// through, the Content-Security-Policy lets it run and fetch nothing.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load its own files and speak with its own port, and nothing else: no inline script or style, no frame around
// it, no form that leads away.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var types = map[string]string{
	"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
	"svg": "image/svg+xml",
}

// Handle adds the page's files to mux: / and those below /page/.
func Handle(mux *http.ServeMux) {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		body, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err) // it is embedded
		}
		path := "/page/" + e.Name()
		if e.Name() == "index.html" {
			path = "/{$}"
		}
		mux.Handle("GET "+path, newFile(e.Name(), body))
	}
}

// file is one file, and compressed for browsers that take it.
type file struct {
	name, kind, tag string
	plain, packed   []byte
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	_, ext, _ := strings.Cut(name, ".")
	f := &file{name: name, kind: types[ext], tag: `"` + hex.EncodeToString(sum[:8]), plain: body}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, _ = zip.Write(body) // into memory: it cannot fail
	_ = zip.Close()
	f.packed = packed.Bytes()
	return f
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache") // always ask, so that an upgrade shows at once
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", f.kind)
	body, tag := f.plain, f.tag+`"`
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body, tag = f.packed, f.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(body))
}
