package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/secrets"
	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

// maxFile bounds aftermath.yaml: one is a few KiB.
const maxFile = 1 << 20

// Option changes what Load needs.
type Option func(*loader)

// IgnoreSecrets puts placeholders in place of all secrets and reads no certificates: for a check on a machine that has none.
func IgnoreSecrets() Option {
	return func(l *loader) { l.needs = func(string) bool { return false } }
}

// SecretsOf puts in the secrets of some top-level sections only, and placeholders in the others: for commands that need no more.
func SecretsOf(sections ...string) Option {
	return func(l *loader) { l.needs = func(section string) bool { return slices.Contains(sections, section) } }
}

// sources are what a configuration was made of besides its own text.
type sources struct {
	env    []string          // variables
	files  []string          // absolute paths of secrets
	values []string          // of secrets
	pem    map[string]string // the callback port's certificates and keys, by path
}

// Load reads aftermath.yaml at path. The error is strictyaml.Problems, everything that is wrong with it at its place; a Config
// comes with no error only.
func Load(path string, opts ...Option) (*Config, error) {
	l := &loader{needs: func(string) bool { return true }}
	for _, o := range opts {
		o(l)
	}
	data, err := read(path)
	if err != nil {
		return nil, strictyaml.Problems{{File: path, Message: err.Error()}}
	}
	doc, err := strictyaml.Parse(path, data)
	if doc == nil {
		return nil, err
	}
	l.doc, l.dir = doc, filepath.Dir(path)
	errors.As(err, &l.problems)
	c := l.config()
	var warnings strictyaml.Problems
	for _, p := range slices.Concat(l.dec.Problems(), l.checks.Problems()) {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			l.problems = append(l.problems, p)
		}
	}
	if len(l.problems) > 0 {
		return nil, l.problems.Sorted()
	}
	c.Path, c.Warnings = path, warnings.Sorted()
	return c, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("the configuration file does not exist; -c names another one")
	case err != nil:
		return nil, errors.Unwrap(err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	case info.Size() > maxFile:
		return nil, errors.New("is larger than 1 MiB")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	return data, nil
}

// loader is the state of one Load.
type loader struct {
	doc      *strictyaml.Document
	dec      *strictyaml.Decoder
	checks   *strictyaml.Decoder // collects what is found after decoding
	dir      string
	needs    func(section string) bool // whose secrets are put in
	problems strictyaml.Problems
}

func (l *loader) config() *Config {
	c := Default()
	read := &secrets.Resolver{Dir: l.dir, Env: []string{"*"}}
	ignore := &secrets.Resolver{Dir: l.dir, Env: []string{"*"}, Ignore: true}
	l.dec, l.checks = &strictyaml.Decoder{Doc: l.doc}, &strictyaml.Decoder{Doc: l.doc}
	l.dec.Section = func(name string) {
		r := ignore
		if l.needs(name) {
			r = read
		}
		l.dec.Expand = r.Expand
	}
	l.dec.DecodeFile(c)
	l.check(c)
	l.resolvePaths(c)

	for _, r := range []*secrets.Resolver{read, ignore} {
		env, files := r.Used()
		c.sources.env = append(c.sources.env, env...)
		c.sources.files = append(c.sources.files, files...)
	}
	slices.Sort(c.sources.env)
	c.sources.env = slices.Compact(c.sources.env)
	c.sources.values = read.Values()
	for _, name := range read.Short() {
		l.checks.Warnf(l.root(), "the value of %s is too short to be masked in logs: use one of %d characters or more", name, secrets.MinMasked)
	}
	if l.needs("callback") {
		l.checkTLS(c)
	}
	return c
}

// root is the document's value, or a node at the file's beginning where there is none.
func (l *loader) root() *yaml.Node {
	if l.doc.Root != nil {
		return l.doc.Root
	}
	return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
}

// resolvePaths takes paths relative to the file's folder. What rules may read becomes absolute, since rules have folders of their
// own; the others stay short, as problems show them.
func (l *loader) resolvePaths(c *Config) {
	for _, p := range []*string{&c.Rules, &c.Data, &c.Callback.TLS.Cert, &c.Callback.TLS.Key, &c.Callback.TLS.ClientCA} {
		*p = l.inDir(*p)
	}
	for i, folder := range c.RulesMay.Files {
		if abs, err := filepath.Abs(l.inDir(folder)); err == nil {
			c.RulesMay.Files[i] = abs
		}
	}
}

func (l *loader) inDir(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

// Env names the environment variables that the file uses. Rules may not use them.
func (c *Config) Env() []string { return slices.Clone(c.sources.env) }

// SecretValues are the values of the secrets that the file uses, for a mask.
func (c *Config) SecretValues() []string { return slices.Clone(c.sources.values) }

// Files are the files that the configuration was read from, to be watched: aftermath.yaml, secrets, certificates.
func (c *Config) Files() []string {
	files := append([]string{c.Path}, c.sources.files...)
	for _, f := range []string{c.Callback.TLS.Cert, c.Callback.TLS.Key, c.Callback.TLS.ClientCA} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}
