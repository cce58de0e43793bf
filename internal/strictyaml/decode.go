package strictyaml

import "gopkg.in/yaml.v3"

// Document is one parsed YAML file that can still name the place of each of its characters.
type Document struct {
	File string
	Root *yaml.Node // the document's value; nil for a file of comments alone
	// unexported: the source's lines, to find a character of a scalar again
}

// Parse reads the one document of a file. The error is Problems: a syntax error at the line where the trouble starts, a second
// document, a repeated key, an unknown tag, an alias bomb, bad UTF-8.
func Parse(file string, data []byte) (*Document, error) { return nil, nil }

// Unmarshaler is a configuration field that decodes itself from its node (a template, a duration, a secret). It reports what is
// wrong to d.
type Unmarshaler interface {
	UnmarshalNode(d *Decoder, n *yaml.Node)
}

// Decoder decodes nodes of one document and collects the problems.
type Decoder struct {
	Doc *Document
	// Expand puts secrets into a plain string field; nil leaves strings as they are. An error is a problem at the string.
	Expand func(s string) (string, error)
	// Scope is for Unmarshalers: whatever the caller wants them to know.
	Scope any

	problems Problems
}

// Decode fills the pointer into from n: structs by their yaml tags (unknown keys are problems; a field that is absent keeps
// its value, so defaults are set before), slices, maps, pointers, strings, numbers, bools, time.Duration ("1m30s", "7d"),
// Unmarshaler.
func (d *Decoder) Decode(n *yaml.Node, into any) {}

// Problemf reports a problem at n's place.
func (d *Decoder) Problemf(n *yaml.Node, format string, args ...any) {}

// ProblemAt reports a problem at the byte offset within the scalar n's decoded value: exact in plain, | and one-line quoted
// scalars, the value's own place in folded and many-line ones.
func (d *Decoder) ProblemAt(n *yaml.Node, offset int, message string) {}

// Problems returns what was reported, ordered by place.
func (d *Decoder) Problems() Problems { return d.problems }
