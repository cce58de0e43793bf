// Package secrets resolves ${env:NAME} and ${file:PATH}, knows which files were read so that they can be watched, and masks every
// value that it gave out.
package secrets

import "time"

// Resolver gives the values of secrets to one file or set of files. The zero value allows nothing.
type Resolver struct {
	Dir     string   // what a relative ${file:PATH} is relative to
	Env     []string // patterns of variables that may be used, "*" for any
	DenyEnv []string // variables that may not, whatever Env says
	Files   []string // folders whose files may be used; nil: any
	Ignore  bool     // give a placeholder for every secret instead of reading it: for check --secrets ignore

	values map[string]string
}

// Expand puts in every ${…} of s; $${ writes ${. An error names the secret (never its value).
func (r *Resolver) Expand(s string) (string, error) { return s, nil }

// Split cuts s at its secrets for callers that have to know where they stand: literals and values in turn, literal first.
func (r *Resolver) Split(s string) ([]Part, error) { return nil, nil }

// Part is a piece of a string: a literal, or a secret's value.
type Part struct {
	Text   string
	Secret bool
}

// Used names the environment variables and files (absolute paths) that were asked for.
func (r *Resolver) Used() (env, files []string) { return nil, nil }

// Values are the secrets given out so far, for a Mask.
func (r *Resolver) Values() []string { return nil }

// Mask replaces the values of secrets in texts that leave the process. It is safe for concurrent use.
type Mask struct{}

// Add makes the mask know values (shorter than 4 bytes are left alone: they would mask half of every text).
func (m *Mask) Add(values ...string) {}

// Text gives s with every known secret replaced by "[secret]".
func (m *Mask) Text(s string) string { return s }

// Bytes is Text for bytes.
func (m *Mask) Bytes(b []byte) []byte { return b }

var _ = time.Now
