package lang

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// madeText is what is no text of the event, but made of such; nil for what has no key or may fail.
func madeText(n ast.Node) *pairindex.Value {
	c := closures{}
	key, of := keyOf(n), c.text(n)
	if key == "" || of == nil {
		return nil
	}
	return &pairindex.Value{Key: key, Texts: c.texts, Numbers: c.numbers, Text: of}
}

// madeNumber is what is no number of the event, but made of what an event has; nil for what has no key or may fail.
func madeNumber(n ast.Node) *pairindex.Value {
	c := closures{}
	key, of := keyOf(n), c.number(n)
	if key == "" || of == nil {
		return nil
	}
	return &pairindex.Value{Key: key, Texts: c.texts, Numbers: c.numbers, Number: of}
}

// textIn tests that what is no text of the event, but made of such, is in a list.
func textIn(n *ast.BinaryNode, list *List) pairindex.Formula {
	if v := madeText(n.Left); v != nil {
		return v.In(list)
	}
	c := closures{}
	return c.test(n, c.inList(n.Left, list))
}

// compareMade compares what is made of texts with a text that is written out. It gives false for what no value is, and for an operator that
// no index knows.
func compareMade(n ast.Node, op, text string) (f pairindex.Formula, ok bool) {
	v := madeText(n)
	if v == nil {
		return f, false
	}
	switch op {
	case "==":
		return v.IsText(text), true
	case "startsWith":
		return v.Begins(text), true
	case "endsWith":
		return v.Ends(text), true
	case "contains":
		return v.Has(text), true
	}
	return before(op, text, v.From)
}

// limitMade compares what is made of an event with a number that is written out. It gives false for what no value is.
func limitMade(n ast.Node, op string, k int64) (f pairindex.Formula, ok bool) {
	if b, isBinary := n.(*ast.BinaryNode); isBinary && b.Operator == "%" && op == "==" {
		field, isField := numberField(b.Left)
		if divisor, constant := b.Right.(*ast.IntegerNode); isField && constant && divisor.Value != 0 {
			return pairindex.Remainder(field, int64(divisor.Value), k), true
		}
	}
	v := madeNumber(n)
	if v == nil {
		return f, false
	}
	more := pairindex.Constant(false)
	if k < 1<<63-1 {
		more = v.AtLeast(k + 1)
	}
	switch op {
	case "==":
		return v.IsNumber(k), true
	case ">=":
		return v.AtLeast(k), true
	case ">":
		return more, true
	case "<":
		return pairindex.Not(v.AtLeast(k)), true
	case "<=":
		return pairindex.Not(more), true
	}
	return f, false
}

// inSampleOf tests that a text's place is below a limit.
func inSampleOf(n *ast.CallNode, percent float64) pairindex.Formula {
	c := closures{}
	text, key := c.text(n.Arguments[0]), keyOf(n.Arguments[0])
	if text == nil || key == "" {
		return pairindex.Opaque()
	}
	limit := sampleLimit(percent)
	if limit == 0 || limit == samplePlaces {
		return pairindex.Constant(limit > 0)
	}
	v := &pairindex.Value{Key: "sample(" + key + ")", Texts: c.texts, Numbers: c.numbers}
	v.Number = func(ev *pairindex.Event) int { return int(samplePlace(text(ev))) }
	return pairindex.Not(v.AtLeast(int64(limit)))
}

// inRangeOf tests that a text is an address in a range: that its first bits are those of all in the range.
func inRangeOf(n *ast.CallNode, p netip.Prefix) pairindex.Formula {
	c := closures{}
	address := n.Arguments[0]
	text, key := c.text(address), keyOf(address)
	if text == nil || key == "" || !p.Addr().Is4() && p.Bits() >= 64 {
		return c.test(n, c.textTest(address, inRange(p)))
	}
	size, bits := p.Addr().BitLen(), p.Bits()
	v := &pairindex.Value{Key: fmt.Sprintf("the first %d of %d bits of %s", bits, size, key), Texts: c.texts, Numbers: c.numbers}
	v.Number = func(ev *pairindex.Event) int {
		addr, err := netip.ParseAddr(text(ev))
		if addr = addr.Unmap(); err != nil || addr.BitLen() != size {
			return -1 // which no bits are
		}
		return firstBits(addr, bits)
	}
	return v.IsNumber(int64(firstBits(p.Addr(), bits)))
}

// firstBits gives up to 63 bits that an address begins with.
func firstBits(addr netip.Addr, bits int) int {
	if addr.Is4() {
		four := addr.As4()
		return int(binary.BigEndian.Uint32(four[:]) >> (32 - bits))
	}
	sixteen := addr.As16()
	return int(binary.BigEndian.Uint64(sixteen[:]) >> (64 - bits))
}

// keyOf gives a text that only what gives the same for every event has too, or "".
func keyOf(n ast.Node) string {
	var b strings.Builder
	if !writeKey(&b, n) {
		return ""
	}
	return b.String()
}

// writeKey writes a tree much as conditions are written, with brackets wherever they may matter. It gives false for what has no key:
// lists, whose names tell nothing of what is in them.
func writeKey(b *strings.Builder, n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		b.WriteString(n.Value)
		_, known := names[n.Value]
		return known
	case *ast.StringNode:
		b.WriteString(strconv.Quote(n.Value))
		return true
	case *ast.IntegerNode:
		b.WriteString(strconv.Itoa(n.Value))
		return true
	case *ast.FloatNode:
		b.WriteString(strconv.FormatFloat(n.Value, 'e', -1, 64))
		return true
	case *ast.UnaryNode:
		return writeKeys(b, n.Operator+"(", "", ")", n.Node)
	case *ast.BinaryNode:
		return writeKeys(b, "(", " "+n.Operator+" ", ")", n.Left, n.Right)
	case *ast.SliceNode:
		return writeKey(b, n.Node) && writeKeys(b, "[", ":", "]", n.From, n.To)
	case *ast.BuiltinNode:
		return writeKeys(b, n.Name+"(", ", ", ")", n.Arguments...)
	case *ast.CallNode:
		name := calleeOf(n)
		if method, ok := strings.CutPrefix(name, "Time."); ok {
			return writeKeys(b, "", "", "."+method+"()", n.Arguments...)
		}
		return name != "" && writeKeys(b, name+"(", ", ", ")", n.Arguments...)
	}
	return false
}

// writeKeys writes those of the parts that are there.
func writeKeys(b *strings.Builder, before, between, after string, parts ...ast.Node) bool {
	b.WriteString(before)
	for i, n := range parts {
		if i > 0 {
			b.WriteString(between)
		}
		if n != nil && !writeKey(b, n) {
			return false
		}
	}
	b.WriteString(after)
	return true
}
