package actions

import (
	"crypto/sha256"
	"strings"

	"github.com/aftermath-rules/aftermath/internal/lang"
	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// scope is what the fields of one action know while they are decoded. It notes what they took from outside the node, so that a
// later build can tell whether anything of it changed.
type scope struct {
	lang    *lang.Scope
	secrets *secrets.Resolver
	used    map[string][sha256.Size]byte // strings with secrets, and the hash of what they came to
	values  []string                     // of the secrets
	lists   map[string]*lang.List        // by name, those that templates use
}

func newScope(b Builder) *scope {
	sc := &scope{lang: b.Scope, secrets: b.Secrets}
	if sc.secrets == nil {
		sc.secrets = &secrets.Resolver{}
	}
	return sc
}

// scopeOf gives the scope of the action that is being decoded; outside of one there are no lists, and no secrets.
func scopeOf(d *strictyaml.Decoder) *scope {
	if sc, ok := d.Scope.(*scope); ok {
		return sc
	}
	return newScope(Builder{Scope: &lang.Scope{}})
}

// split cuts s at its secrets.
func (sc *scope) split(s string) ([]secrets.Part, error) {
	if !strings.Contains(s, "${") {
		return []secrets.Part{{Text: s}}, nil
	}
	parts, err := sc.secrets.Split(s)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if p.Secret && p.Text != "" {
			sc.values = append(sc.values, p.Text)
		}
	}
	if sc.used == nil {
		sc.used = map[string][sha256.Size]byte{}
	}
	sc.used[s] = hashParts(parts)
	return parts, nil
}

func (sc *scope) noteLists(names []string) {
	for _, name := range names {
		if sc.lists == nil {
			sc.lists = map[string]*lang.List{}
		}
		sc.lists[name] = sc.lang.Lists[name]
	}
}

// expand puts the secrets into s.
func (sc *scope) expand(s string) (string, error) {
	var b strings.Builder
	parts, err := sc.split(s)
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String(), err
}

// ignored tells that secrets are placeholders, so that a text with one cannot be judged.
func (sc *scope) ignored(parts []part) bool {
	if !sc.secrets.Ignore {
		return false
	}
	for _, p := range parts {
		if p.secret {
			return true
		}
	}
	return false
}

// sameSecrets tells whether the strings that were used come to the same values with the resolver.
func sameSecrets(used map[string][sha256.Size]byte, r *secrets.Resolver) bool {
	if len(used) > 0 && r == nil {
		return false
	}
	for s, hash := range used {
		parts, err := r.Split(s)
		if err != nil || hashParts(parts) != hash {
			return false
		}
	}
	return true
}

func hashParts(parts []secrets.Part) [sha256.Size]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p.Text))
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(nil))
}
