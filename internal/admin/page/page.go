// Package page is the page that the admin port shows at /: one HTML file with its style, and its scripts, bundled once from src by
// `npm ci && npm run build` in this folder, committed, and embedded, so that nothing has to be built to use it. What charts and the
// editor need is fetched when one is shown.
//
// Every account id and every text of a receiver is hostile: the scripts make text nodes of them and never markup, and should one slip
// through, the Content-Security-Policy lets it run and fetch nothing.
package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load its own files and speak with its own port, and nothing else: no inline script, no style but its own one
// (which %s names by its hash), no frame around it, no form that leads away.
const policy = "default-src 'none'; script-src 'self'; style-src %s; connect-src 'self'; img-src 'self' data:; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// Handle adds the page's files to mux: / and those below /page/. get makes of a handler of GET what answers other methods too.
func Handle(mux *http.ServeMux, get func(http.HandlerFunc) http.Handler) {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		body, err := dist.ReadFile("dist/" + e.Name())
		if err != nil {
			panic(err) // it is embedded
		}
		at := "/page/" + e.Name()
		if e.Name() == "index.html" {
			at = "/{$}"
		}
		mux.Handle(at, get(newFile(e.Name(), body).serve))
	}
}

// file is one file, and compressed for browsers that take it.
type file struct {
	name, kind, tag, policy, keep string
	plain                         []byte
	packed                        func() []byte // made when it is first asked for
}

func newFile(name string, body []byte) *file {
	sum := sha256.Sum256(body)
	f := &file{name: name, kind: types[path.Ext(name)], tag: `"` + hex.EncodeToString(sum[:8]), plain: body}
	f.policy = fmt.Sprintf(policy, styleOf(body))
	f.keep = "no-cache" // always ask, so that an upgrade shows at once
	if path.Ext(name) == ".js" {
		f.keep = "public, max-age=31536000, immutable" // its name changes with what is in it
	}
	f.packed = sync.OnceValue(func() []byte {
		var packed bytes.Buffer
		zip := gzip.NewWriter(&packed)
		_, _ = zip.Write(body) // into memory: it cannot fail
		_ = zip.Close()
		return packed.Bytes()
	})
	return f
}

// styleOf is the source of the policy that lets the style within an HTML file, and no other.
func styleOf(body []byte) string {
	_, rest, found := bytes.Cut(body, []byte("<style>"))
	style, _, ended := bytes.Cut(rest, []byte("</style>"))
	if !found || !ended {
		return "'none'"
	}
	sum := sha256.Sum256(style)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", f.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", f.keep)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", f.kind)
	body, tag := f.plain, f.tag+`"`
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body, tag = f.packed(), f.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(body))
}
