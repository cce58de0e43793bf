package admin

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets a request through to open, which anyone may see, or to next: with a token, one that bears it or has the cookie of a
// session; without, one whose Host header is local, so that no page of another site can reach the port by a name of its own (DNS
// rebinding), open included. A request that changes something and comes from another site is refused in any case.
func guard(in *sessions, hosts []string, open *http.ServeMux, next http.Handler) http.Handler {
	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Error(w, http.StatusForbidden, "a request that changes something may not come from another site")
	}))
	return sameSite.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := in.token()
		if want == "" && !localHost(r.Host, hosts) {
			Error(w, http.StatusForbidden, "the Host header is not local: set admin.token, or add the name to admin.hosts")
			return
		}
		if _, pattern := open.Handler(r); pattern != "" {
			open.ServeHTTP(w, r)
			return
		}
		if want != "" && !bears(r, want) && !in.allows(r, want) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			Error(w, http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer TOKEN")
			return
		}
		next.ServeHTTP(w, r)
	}))
}

// bears tells whether the request has the token, in a time that does not depend on how much of it is right.
func bears(r *http.Request, want string) bool {
	scheme, got, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	return same(strings.TrimSpace(got), want)
}

// localHost tells whether a Host header names this machine, by a loopback address or by one of the names, which may
// have a port: that one alone answers then.
func localHost(host string, names []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return name != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) || strings.EqualFold(n, host) })
}

func firstLine(err error) string {
	line, rest, more := strings.Cut(err.Error(), "\n")
	if more && rest != "" {
		return line + " (and more)"
	}
	return line
}
