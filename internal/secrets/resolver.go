package secrets

import (
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const (
	// MaxSize is how many bytes a secret's file may have.
	MaxSize = 64 << 10
	// MinMasked is the length from which on a value is masked; shorter ones would mask half of every text.
	MinMasked = 4
	// Placeholder stands for a secret that was not read. It will do as a token, as a host name, and as a signing secret.
	Placeholder = "secretsecretsecretsecretsecretsecret"
)

// Resolver gives the values of secrets to one file or set of files. Each secret is read once, so that all who use it see the same
// value; a new Resolver reads anew. The zero value allows no variable, and any file. It is not safe for concurrent use.
type Resolver struct {
	Dir     string   // what a relative ${file:PATH} is relative to
	Env     []string // patterns (path.Match) of variables that may be used, "*" for any
	DenyEnv []string // variables that may not, whatever Env says
	Files   []string // folders whose files may be used, relative ones to Dir; nil: any
	Ignore  bool     // give a placeholder for every secret instead of reading it: for check --secrets ignore

	values map[string]string // by "env:NAME" and "file:PATH" with the absolute path
	asked  map[string]bool   // the same names, whether there was a value or not
}

// Used names the environment variables and files (absolute paths) that were asked for, found or not, in order. Those that may
// not be used are not among them.
func (r *Resolver) Used() (env, files []string) {
	for _, key := range slices.Sorted(maps.Keys(r.asked)) {
		switch kind, name, _ := strings.Cut(key, ":"); kind {
		case "env":
			env = append(env, name)
		case "file":
			files = append(files, name)
		}
	}
	return env, files
}

// Values are the secrets given out so far, for a Mask.
func (r *Resolver) Values() []string {
	values := slices.Sorted(maps.Values(r.values))
	return slices.Compact(values)
}

// Short names the secrets given out so far whose values are too short to be masked, as they are written; a path is absolute.
func (r *Resolver) Short() []string {
	var names []string
	for _, key := range slices.Sorted(maps.Keys(r.values)) {
		if len(r.values[key]) < MinMasked {
			names = append(names, "${"+key+"}")
		}
	}
	return names
}

func (r *Resolver) env(name string) (string, error) {
	allowed := func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
	switch {
	case slices.Contains(r.DenyEnv, name):
		return "", errors.New("not allowed: aftermath.yaml itself uses this variable")
	case !slices.ContainsFunc(r.Env, allowed):
		return "", errors.New("not allowed: rules_may.env does not name this variable")
	}
	return r.once("env:"+name, func() (string, error) {
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", errors.New("the environment variable is not set")
		}
		if value == "" {
			return "", errors.New("the environment variable is empty")
		}
		return value, nil
	})
}

// once reads a secret, or gives what was read before.
func (r *Resolver) once(key string, read func() (string, error)) (string, error) {
	r.ask(key)
	if r.Ignore {
		return Placeholder, nil
	}
	if value, ok := r.values[key]; ok {
		return value, nil
	}
	value, err := read()
	if err != nil {
		return "", err
	}
	if r.values == nil {
		r.values = map[string]string{}
	}
	r.values[key] = value
	return value, nil
}

func (r *Resolver) ask(key string) {
	if r.asked == nil {
		r.asked = map[string]bool{}
	}
	r.asked[key] = true
}
