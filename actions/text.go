package actions

// Text is a text field with {{ expressions }} and ${secrets}. A number, bool or time is written as text; a template that gives
// nothing of these is a load error.
type Text struct{}

// Render gives the text for d. Its error is Permanent.
func (t Text) Render(d *Delivery) (string, error) { return "", nil }

// IsZero tells that the field was absent.
func (t Text) IsZero() bool { return true }

// Header is a Text for one line of a header: CR, LF and NUL in what comes out are a Permanent error.
type Header struct{ Text }

// URL is a Text whose scheme and host are literal, http or https; templates in the path and query are escaped, and a path
// segment that comes out as . or .. is a Permanent error.
type URL struct{ Text }

// HTML is a Text whose values are escaped for text and for quoted attributes that hold no URL, event handler or style; a
// template anywhere else in HTML is a load error.
type HTML struct{ Text }

// Address is one mail address, with or without a display name; its domain takes no template, and what comes out must be
// exactly one address.
type Address struct{ Text }

// Tree is a mapping, list or text whose leaves are templates: a leaf that is exactly one {{ … }} keeps its type.
type Tree struct{}

// Render gives the tree for d as maps, slices, strings, numbers, bools. Its error is Permanent.
func (t Tree) Render(d *Delivery) (any, error) { return nil, nil }

// IsZero tells that the field was absent.
func (t Tree) IsZero() bool { return true }

// Secret is a value that is never shown: it prints, marshals and formats as "[secret]".
type Secret struct{ value string }

// NewSecret makes a secret of a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal gives the value.
func (s Secret) Reveal() string { return s.value }
