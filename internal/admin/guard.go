package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// guard lets a request through to next: with a token, one that bears it; without, one whose Host header is local, so that no
// page of another site can reach the port by a name of its own (DNS rebinding). A request that changes something and comes from
// another site is refused in any case.
func guard(token func() string, hosts []string, next http.Handler) http.Handler {
	sameSite := http.NewCrossOriginProtection()
	sameSite.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		Error(w, http.StatusForbidden, "a request that changes something may not come from another site")
	}))
	protected := sameSite.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want := token(); want != "" {
			if !bears(r, want) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				Error(w, http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer TOKEN")
				return
			}
		} else if !localHost(r.Host, hosts) {
			Error(w, http.StatusForbidden, "the Host header is not local: set admin.token, or add the name to admin.hosts")
			return
		}
		protected.ServeHTTP(w, r)
	})
}

// bears tells whether the request has the token, in a time that does not depend on how much of it is right.
func bears(r *http.Request, want string) bool {
	scheme, got, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	g, w := sha256.Sum256([]byte(strings.TrimSpace(got))), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(g[:], w[:]) == 1
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
