package actions

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/aftermath-rules/aftermath/internal/strictyaml"
)

const masked = "[secret]"

// Secret is a value that is never shown: it prints, marshals and formats as "[secret]", whatever the verb.
type Secret struct{ value string }

// NewSecret makes a secret of a value.
func NewSecret(value string) Secret { return Secret{value} }

// Reveal gives the value.
func (s Secret) Reveal() string { return s.value }

// IsZero tells that there is no value.
func (s Secret) IsZero() bool { return s.value == "" }

// String gives "[secret]".
func (s Secret) String() string { return masked }

// Format writes "[secret]" for every verb and flag, %#v and %x among them.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// MarshalText gives "[secret]" to JSON, YAML and every other encoder that asks for text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }

// MarshalYAML gives "[secret]".
func (s Secret) MarshalYAML() (any, error) { return masked, nil }

// UnmarshalNode decodes the secret: a text, mostly one ${env:NAME} or ${file:PATH}.
func (s *Secret) UnmarshalNode(d *strictyaml.Decoder, n *yaml.Node) {
	var value string
	d.Decode(n, &value)
	s.value = value
	if value != "" { // also one that is written out in the file is never to be shown
		sc := scopeOf(d)
		sc.values = append(sc.values, value)
	}
}

// JSONSchema describes the field in the configuration's schema.
func (Secret) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "description": "A secret: ${env:NAME} or ${file:PATH}."}
}
