package secrets

import (
	"errors"
	"fmt"
	"strings"
)

// Part is a piece of a string: a literal, or a secret's value.
type Part struct {
	Text   string
	Secret bool
}

// Error says which secret could not be put in, and why. It never holds a value.
type Error struct {
	Secret string // as it is written: ${env:NAME}
	At     int    // the byte of the string at which it begins
	Err    error
}

func (e *Error) Error() string { return e.Secret + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Offset is the byte of the string at which the secret begins.
func (e *Error) Offset() int { return e.At }

// Expand puts in every ${…} of s; $${ writes ${. The error has an *Error for each secret that is misspelt, missing,
// empty or not allowed, joined where there are several.
func (r *Resolver) Expand(s string) (string, error) {
	if !strings.Contains(s, "${") {
		return s, nil
	}
	parts, err := r.Split(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String(), nil
}

// Split cuts s at its secrets for callers that have to know where they stand: literals and values in turn, literal first (it is
// empty where s begins with a secret, or two stand side by side). Errors are those of Expand.
func (r *Resolver) Split(s string) ([]Part, error) {
	var parts []Part
	var literal strings.Builder
	var errs []error
	for i := 0; i < len(s); {
		switch {
		case strings.HasPrefix(s[i:], "$${"):
			literal.WriteString("${")
			i += len("$${")
		case strings.HasPrefix(s[i:], "${"):
			reference, value, err := r.reference(s[i:])
			if err != nil {
				errs = append(errs, &Error{Secret: reference, At: i, Err: err})
				if !strings.Contains(s[i:], "}") {
					return nil, errors.Join(errs...) // it is shown in part, and what follows it belongs to it
				}
			}
			parts = append(parts, Part{Text: literal.String()}, Part{Text: value, Secret: true})
			literal.Reset()
			i += len(reference)
		default:
			literal.WriteByte(s[i])
			i++
		}
	}
	if errs != nil {
		return nil, errors.Join(errs...)
	}
	if literal.Len() > 0 || len(parts) == 0 {
		parts = append(parts, Part{Text: literal.String()})
	}
	return parts, nil
}

// reference gives the ${…} that s begins with, and its value.
func (r *Resolver) reference(s string) (reference, value string, err error) {
	end := strings.IndexByte(s, '}')
	if end < 0 {
		const shown = 20
		if len(s) > shown {
			s = strings.ToValidUTF8(s[:shown], "") + "…"
		}
		return s, "", errors.New("the } is missing; $${ writes the characters ${")
	}
	reference = s[:end+1]
	kind, name, _ := strings.Cut(s[len("${"):end], ":")
	switch {
	case kind == "env" && isVariable(name):
		value, err = r.env(name)
	case kind == "env":
		err = errors.New("an environment variable's name is made of letters, digits and _")
	case kind == "file" && name != "" && !strings.ContainsRune(name, 0):
		value, err = r.file(name)
	case kind == "file":
		err = errors.New("the file's path is missing")
	case isVariable(kind) && name == "":
		err = fmt.Errorf("no kind of secret; write ${env:%s} for the environment variable, or $${ for the characters ${", kind)
	default:
		err = errors.New("no kind of secret: there are ${env:NAME} and ${file:PATH}; $${ writes the characters ${")
	}
	return reference, value, err
}

func isVariable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}
