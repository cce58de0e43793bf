package strictyaml

import (
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Scalar gives the text of a scalar as it is written (010 and yes are texts). Anything else, null and an empty value among it, is
// reported, and ok is false.
func (d *Decoder) Scalar(n *yaml.Node) (text string, ok bool) {
	switch {
	case n.Kind != yaml.ScalarNode || isEmpty(n):
		d.wrongKind(n, "a text")
		return "", false
	case isNull(n):
		d.Problemf(n, "must be a text, not null; quote it if that is the text")
		return "", false
	}
	return n.Value, true
}

// Text is Scalar for a condition, a template or another text that may hold any character: it also reports a comment behind an
// unquoted one, since that may be a part of the text which YAML has cut off.
func (d *Decoder) Text(n *yaml.Node) (text string, ok bool) {
	comment := d.commentBehind(n)
	if comment && isEmpty(n) {
		d.Problemf(n, "nothing is written here but a comment; quote a text that begins with #")
		return "", false
	}
	if text, ok = d.Scalar(n); ok && comment {
		d.Problemf(n, "this text may have been cut by ` #`: quote the whole of it, or write the comment on a line of its own")
		return "", false
	}
	return text, ok
}

// commentBehind tells that a comment follows an unquoted scalar on its line.
func (d *Decoder) commentBehind(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Style&quoted != 0 || d.Doc.plain {
		return false
	}
	if n.LineComment != "" {
		return true
	}
	// The parser hands some comments to another node, so look at the text itself where the value is on one line.
	start, _ := d.Doc.content(n)
	if start < 0 || !strings.HasPrefix(d.Doc.src[start:], n.Value) {
		return false
	}
	rest, _, _ := strings.Cut(d.Doc.src[start+len(n.Value):], "\n")
	trimmed := strings.TrimLeft(rest, " \t")
	return len(trimmed) < len(rest) && strings.HasPrefix(trimmed, "#")
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// quoted are the styles that make a scalar a text whatever is in it.
const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// isPlain tells that YAML may see more than a text in n.
func isPlain(n *yaml.Node) bool {
	saidToBeText := n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str"
	return n.Kind == yaml.ScalarNode && n.Style&quoted == 0 && !saidToBeText
}

func (d *Decoder) scalarValue(n *yaml.Node, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, v)
		return
	}
	switch v.Kind() {
	case reflect.String:
		if s, ok := d.Scalar(n); ok {
			v.SetString(d.expand(n, s))
		}
	case reflect.Bool:
		switch {
		case isPlain(n) && n.Value == "true":
			v.SetBool(true)
		case isPlain(n) && n.Value == "false":
			v.SetBool(false)
		case isPlain(n) && n.Tag != "!!null" && len(n.Value) <= len("false"):
			d.Problemf(n, "must be true or false, not %s", n.Value)
		default:
			d.wrongKind(n, "true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if i, ok := d.integer(n); ok && !v.OverflowInt(i) {
			v.SetInt(i)
		} else if ok {
			d.Problemf(n, "%s is too large here", n.Value)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if i, ok := d.integer(n); ok && i >= 0 && !v.OverflowUint(uint64(i)) {
			v.SetUint(uint64(i))
		} else if ok {
			d.Problemf(n, "%s is negative or too large here", n.Value)
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := d.float(n); ok {
			v.SetFloat(f)
		}
	default:
		panic("strictyaml: no way to decode into a " + v.Type().String())
	}
}

var (
	whole   = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	decimal = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
)

// integer reads a whole number in decimal. YAML would read 010 as 8 and 0x10 as 16, which nobody means here.
func (d *Decoder) integer(n *yaml.Node) (int64, bool) {
	if !isPlain(n) || n.Tag != "!!int" && n.Tag != "!!float" {
		d.wrongKind(n, "a whole number")
		return 0, false
	}
	if !whole.MatchString(n.Value) {
		d.Problemf(n, "must be a whole number in decimal, without a leading zero, not %s", n.Value)
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		d.Problemf(n, "%s is too large", n.Value)
		return 0, false
	}
	return i, true
}

func (d *Decoder) float(n *yaml.Node) (float64, bool) {
	if !isPlain(n) || n.Tag != "!!int" && n.Tag != "!!float" {
		d.wrongKind(n, "a number")
		return 0, false
	}
	f, err := strconv.ParseFloat(n.Value, 64)
	if !decimal.MatchString(n.Value) || err != nil {
		d.Problemf(n, "must be a number such as 0.5 or 12, not %s", n.Value)
		return 0, false
	}
	return f, true
}

func (d *Decoder) duration(n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || isNull(n) {
		d.wrongKind(n, "a duration such as 1m30s or 7d")
		return
	}
	t, err := ParseDuration(n.Value)
	if err != nil {
		d.Problemf(n, "%v", err)
		return
	}
	v.SetInt(int64(t))
}

// any gives a value of the kind that its node has. A number is one only as JSON writes them, so that no text turns into one.
func (d *Decoder) any(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for key, value := range Pairs(n) {
			m[key.Value] = d.any(value)
		}
		return m
	case yaml.SequenceNode:
		s := make([]any, len(n.Content))
		for i, c := range n.Content {
			s[i] = d.any(c)
		}
		return s
	}
	return d.anyScalar(n)
}

func (d *Decoder) anyScalar(n *yaml.Node) any {
	if isPlain(n) {
		switch {
		case isNull(n):
			return nil
		case n.Value == "true" || n.Value == "false":
			return n.Value == "true"
		case whole.MatchString(n.Value):
			if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
				return i
			}
		case decimal.MatchString(n.Value):
			if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !math.IsInf(f, 0) {
				return f
			}
		}
	}
	return d.expand(n, n.Value)
}
