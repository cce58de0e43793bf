package lang

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// The places of the names in an event. A text's length in characters is the number lengths plus the text's place.
const (
	fromAccount = iota
	toAccount
	callbackCommand
	clientIP
	optPlatform
	requestID
	texts // how many there are; more are made of them: see Derived
)

const (
	sdkAppid = iota
	pairCount
	pairIndex
	mutual // 0 or 1
	hour
	minute
	weekday
	day
	month
	year
	unix
	lengths
)

const timeNumbers = 1<<hour | 1<<minute | 1<<weekday | 1<<day | 1<<month | 1<<year | 1<<unix

var textNames = map[string]uint8{"From_Account": fromAccount, "To_Account": toAccount, "CallbackCommand": callbackCommand,
	"ClientIP": clientIP, "OptPlatform": optPlatform, "RequestId": requestID}

var numberNames = map[string]uint8{"SdkAppid": sdkAppid, "PairCount": pairCount, "PairIndex": pairIndex}

var timeNumber = map[string]uint8{"Time.Hour": hour, "Time.Minute": minute, "Time.Weekday": weekday, "Time.Day": day,
	"Time.Month": month, "Time.Year": year, "Time.Unix": unix}

// Likely estimates for each text of an event how likely two pairs have the same.
func Likely() [pairindex.MaxTexts]float64 {
	likely := [pairindex.MaxTexts]float64{fromAccount: 1e-6, toAccount: 1e-6, callbackCommand: 1, clientIP: 1e-4, optPlatform: 0.25, requestID: 1e-7}
	for field := range texts {
		for _, kind := range []int{lowered, raised, folded} {
			likely[field+kind] = likely[field]
		}
	}
	return likely
}

// TextName and NumberName name the texts and numbers of an event as conditions do.
func TextName(field uint8) string {
	name := nameOf(textNames, field%kinds)
	switch field - field%kinds {
	case lowered:
		return "lower(" + name + ")"
	case raised:
		return "upper(" + name + ")"
	case folded:
		return name + " in any case"
	}
	return name
}

// NumberName is the name of a number, such as PairCount, len(From_Account) or Time.Hour().
func NumberName(field uint8) string {
	switch {
	case field == mutual:
		return "Mutual"
	case field >= pairindex.MaxNumbers:
		return "the length of " + TextName(field-pairindex.MaxNumbers)
	case field >= lengths:
		return "len(" + TextName(field-lengths) + ")"
	case timeNumbers>>field&1 != 0:
		return nameOf(timeNumber, field) + "()"
	}
	return nameOf(numberNames, field)
}

func nameOf(fields map[string]uint8, field uint8) string {
	for name, f := range fields {
		if f == field {
			return name
		}
	}
	return ""
}

// FillTexts sets the texts of PlainTexts that have a bit in which, and perhaps others, to what conditions see of one pair of the
// callback.
func FillTexts(to []string, cb *callback.Callback, pair int, which uint32) {
	p := &cb.Pairs[pair]
	to = to[:texts]
	to[fromAccount], to[toAccount] = p.From, p.To
	if which&^(1<<fromAccount|1<<toAccount) != 0 {
		to[callbackCommand], to[clientIP] = cb.CallbackCommand, cb.ClientIP
		to[optPlatform], to[requestID] = cb.OptPlatform, cb.RequestId
	}
}

// FillEvent sets ev to what conditions see of one pair of the callback: the texts and numbers that have a bit in textBits and
// numberBits. What d made for the event before is no more.
func FillEvent(ev *pairindex.Event, d *Derived, cb *callback.Callback, pair int, textBits, numberBits uint32) {
	plain := textBits | textBits>>lowered | textBits>>raised | textBits>>folded // what others are made of is needed too
	FillTexts(ev.Texts[:], cb, pair, plain|lengthTexts(numberBits))
	if textBits&^PlainTexts != 0 {
		d.fill(&ev.Texts, textBits)
	}
	if numberBits != 0 {
		fillNumbers(ev, cb, pair, numberBits)
	}
}

// lengthTexts are the texts whose lengths are among the numbers.
func lengthTexts(numberBits uint32) uint32 { return numberBits >> lengths & (1<<texts - 1) }

func fillNumbers(ev *pairindex.Event, cb *callback.Callback, pair int, which uint32) {
	ev.Numbers[sdkAppid] = cb.SdkAppid
	ev.Numbers[pairCount] = int64(len(cb.Pairs))
	ev.Numbers[pairIndex] = int64(pair)
	if which>>mutual&1 != 0 {
		ev.Numbers[mutual] = 0
		if cb.Mutual(pair) {
			ev.Numbers[mutual] = 1
		}
	}
	for field := range texts {
		if which>>(lengths+field)&1 != 0 {
			ev.Numbers[lengths+field] = int64(characters(ev.Texts[field]))
		}
	}
	if which&timeNumbers != 0 {
		t := cb.Received.UTC()
		for name, field := range timeNumber {
			if which>>field&1 != 0 {
				ev.Numbers[field] = int64(timeMethod(name)(t))
			}
		}
	}
}

// Formula is the condition as an index takes it: a test of the same value for every pair, that fails where the condition fails,
// or is opaque there.
func (c *Condition) Formula() pairindex.Formula { return c.formula }

// planner turns checked and optimised trees into formulas.
type planner struct {
	lists map[string]*List
}

// formula gives what is true where n is and fails where n fails. What it cannot express is opaque.
func (p *planner) formula(n ast.Node) pairindex.Formula {
	switch n := n.(type) {
	case *ast.BoolNode:
		return pairindex.Constant(n.Value)
	case *ast.IdentifierNode:
		if n.Value == "Mutual" {
			return pairindex.Number(pairindex.NumberIs, mutual, 1)
		}
	case *ast.UnaryNode:
		if n.Operator == "!" || n.Operator == "not" {
			return pairindex.Not(p.formula(n.Node))
		}
	case *ast.ConditionalNode:
		return pairindex.If(p.formula(n.Cond), p.formula(n.Exp1), p.formula(n.Exp2))
	case *ast.BinaryNode:
		switch n.Operator {
		case "&&", "and":
			return pairindex.And(p.formula(n.Left), p.formula(n.Right))
		case "||", "or":
			return pairindex.Or(p.formula(n.Left), p.formula(n.Right))
		}
		return p.comparison(n)
	case *ast.CallNode:
		return p.call(n)
	}
	return pairindex.Opaque()
}

func (p *planner) comparison(n *ast.BinaryNode) pairindex.Formula {
	switch n.Operator {
	case "in":
		return p.membership(n)
	case "matches":
		return p.matches(n)
	case "!=":
		equal := *n
		equal.Operator = "=="
		return pairindex.Not(p.comparison(&equal))
	}
	switch left, right := kindOf(n.Left.Type()), kindOf(n.Right.Type()); {
	case left == String && right == String:
		return p.texts(n)
	case left == Int && right == Int:
		return p.numbers(n)
	case left == Bool && right == Bool && n.Operator == "==":
		return p.sameBool(n)
	}
	return pairindex.Opaque()
}

// texts compares two texts.
func (p *planner) texts(n *ast.BinaryNode) pairindex.Formula {
	kinds := map[string]pairindex.Kind{"==": pairindex.Equal, "startsWith": pairindex.Prefix, "endsWith": pairindex.Suffix, "contains": pairindex.Contains}
	field, isField := textField(n.Left)
	text, isText := n.Right.(*ast.StringNode)
	if n.Operator == "==" && !isText { // "a" == From_Account
		if other, ok := textField(n.Right); ok {
			if t, ok := n.Left.(*ast.StringNode); ok {
				field, isField, text, isText = other, true, t, true
			} else if isField {
				return pairindex.SameText(field, other)
			}
		}
	}
	kind := kinds[n.Operator]
	if isField && isText && kind != 0 {
		return textTest(kind, field, text.Value)
	}
	if f, ok := withWritten(n); ok {
		return f
	}
	c := closures{}
	return c.test(n, c.compareTexts(n))
}

// textField recognizes what is a text of the event: a name, or lower or upper of one.
func textField(n ast.Node) (uint8, bool) {
	if call, ok := n.(*ast.BuiltinNode); ok && len(call.Arguments) == 1 {
		kind := caseFunctions[call.Name]
		field, ok := plainField(call.Arguments[0])
		return field + kind, ok && kind != 0
	}
	return plainField(n)
}

var caseFunctions = map[string]uint8{"lower": lowered, "upper": raised}

// plainField recognizes the name of a text.
func plainField(n ast.Node) (uint8, bool) {
	id, ok := n.(*ast.IdentifierNode)
	if !ok {
		return 0, false
	}
	field, ok := textNames[id.Value]
	return field, ok
}

// beginning recognizes From_Account[0:length] and From_Account[:length].
func beginning(n ast.Node, length int) (uint8, bool) {
	s, ok := n.(*ast.SliceNode)
	if !ok || length == 0 {
		return 0, false
	}
	if from, ok := s.From.(*ast.IntegerNode); s.From != nil && (!ok || from.Value != 0) {
		return 0, false
	}
	if to, ok := s.To.(*ast.IntegerNode); !ok || to.Value != length {
		return 0, false
	}
	return textField(s.Node)
}

// withWritten compares a text for its order, or one that is made of others in any way, with one that is written out on either side.
func withWritten(n *ast.BinaryNode) (f pairindex.Formula, ok bool) {
	of, op := n.Left, n.Operator
	text, ok := n.Right.(*ast.StringNode)
	if !ok && turned(op) != "" {
		text, ok = n.Left.(*ast.StringNode)
		of, op = n.Right, turned(op)
	}
	if !ok {
		return f, false
	}
	if field, ok := beginning(of, len(text.Value)); ok && op == "==" {
		return textTest(pairindex.Prefix, field, text.Value), true
	}
	if field, ok := textField(of); ok {
		return textBefore(field, op, text.Value)
	}
	return compareMade(of, op, text.Value)
}

// textBefore compares a text of the event for its order with another.
func textBefore(field uint8, op, text string) (pairindex.Formula, bool) {
	return before(op, text, func(k string) pairindex.Formula { return pairindex.Text(pairindex.From, field, k) })
}

// before gives a comparison for order. from tests that a text is k or comes after it.
func before(op, text string, from func(k string) pairindex.Formula) (f pairindex.Formula, ok bool) {
	next := text + "\x00" // there is no text between
	switch op {
	case ">=":
		return from(text), true
	case ">":
		return from(next), true
	case "<":
		return pairindex.Not(from(text)), true
	case "<=":
		return pairindex.Not(from(next)), true
	}
	return f, false
}

// turned is the operator that says the same with the sides exchanged; "" for none.
func turned(op string) string {
	return map[string]string{"==": "==", "<": ">", ">": "<", "<=": ">=", ">=": "<="}[op]
}

// numbers compares two ints.
func (p *planner) numbers(n *ast.BinaryNode) pairindex.Formula {
	left, right, op := n.Left, n.Right, n.Operator
	if _, ok := left.(*ast.IntegerNode); ok { // 3 < PairCount
		left, right, op = right, left, turned(op)
	}
	a, ok := numberField(left)
	if k, constant := right.(*ast.IntegerNode); ok && constant {
		return limit(a, op, int64(k.Value))
	}
	if b, both := numberField(right); ok && both {
		switch op {
		case "==":
			return pairindex.SameNumber(a, b)
		case "<":
			return pairindex.LessNumber(a, b)
		case ">":
			return pairindex.LessNumber(b, a)
		case "<=":
			return pairindex.Not(pairindex.LessNumber(b, a))
		case ">=":
			return pairindex.Not(pairindex.LessNumber(a, b))
		}
	}
	if op == "==" {
		if f, ok := sameSum(n.Left, n.Right); ok {
			return f
		}
	}
	if k, constant := right.(*ast.IntegerNode); constant {
		if f, ok := limitMade(left, op, int64(k.Value)); ok {
			return f
		}
	}
	c := closures{}
	return c.test(n, c.compareNumbers(n))
}

// ranges are what the numbers that have a known one lie within. A rule sees pairs, so that there is one.
var ranges = map[uint8][2]int64{
	pairCount: {1, 1<<63 - 1}, pairIndex: {0, 1<<63 - 1}, hour: {0, 23}, minute: {0, 59}, weekday: {0, 6}, day: {1, 31}, month: {1, 12},
}

// limit compares a number with k. What its range decides is constant.
func limit(field uint8, op string, k int64) pairindex.Formula {
	low, high := int64(-1<<63), int64(1<<63-1)
	if r, ok := ranges[field]; ok {
		low, high = r[0], r[1]
	} else if field >= lengths {
		low = 0
	}
	switch {
	case op == "==" && (k < low || k > high), op == ">" && high <= k, op == ">=" && high < k, op == "<" && low >= k, op == "<=" && low > k:
		return pairindex.Constant(false)
	case op == ">" && low > k, op == ">=" && low >= k, op == "<" && high < k, op == "<=" && high <= k:
		return pairindex.Constant(true)
	}
	switch op {
	case "==":
		return pairindex.Number(pairindex.NumberIs, field, k)
	case ">=":
		return pairindex.Number(pairindex.AtLeast, field, k)
	case "<=":
		return pairindex.Number(pairindex.AtMost, field, k)
	case ">":
		return pairindex.Not(pairindex.Number(pairindex.AtMost, field, k))
	case "<":
		return pairindex.Not(pairindex.Number(pairindex.AtLeast, field, k))
	}
	return pairindex.Opaque()
}

// numberField recognizes what is a number of the event.
func numberField(n ast.Node) (uint8, bool) {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		field, ok := numberNames[n.Value]
		return field, ok
	case *ast.BuiltinNode:
		if n.Name == "len" {
			field, ok := plainField(n.Arguments[0])
			return lengths + field, ok
		}
	case *ast.CallNode:
		field, ok := timeNumber[calleeOf(n)]
		return field, ok && isTime(n.Arguments[0])
	}
	return 0, false
}

// isTime recognizes the name Time.
func isTime(n ast.Node) bool {
	id, ok := n.(*ast.IdentifierNode)
	return ok && id.Value == "Time"
}

// sameBool compares two conditions. The right one is needed twice, so it must be small.
func (p *planner) sameBool(n *ast.BinaryNode) pairindex.Formula {
	left, right := p.formula(n.Left), p.formula(n.Right)
	if right.Size() > 16 {
		return pairindex.Opaque()
	}
	return pairindex.If(left, right, pairindex.Not(right))
}

// membership is x in y.
func (p *planner) membership(n *ast.BinaryNode) pairindex.Formula {
	if id, ok := n.Right.(*ast.IdentifierNode); ok {
		list := p.lists[id.Value]
		if field, ok := textField(n.Left); ok && list != nil {
			return pairindex.In(field, list)
		}
		if list != nil {
			return textIn(n, list)
		}
		return pairindex.Opaque()
	}
	if values, ok := writtenInts(n.Right); ok {
		if field, ok := numberField(n.Left); ok {
			var any []pairindex.Formula
			for _, v := range values {
				any = append(any, pairindex.Number(pairindex.NumberIs, field, int64(v)))
			}
			return pairindex.Or(any...)
		}
		return pairindex.Opaque()
	}
	values, ok := writtenTexts(n.Right)
	if !ok || kindOf(n.Left.Type()) != String {
		return pairindex.Opaque()
	}
	if field, ok := textField(n.Left); ok {
		return isOneOf(field, values)
	}
	return textIn(n, NewList(values))
}

// isOneOf tests that a text is one of those that are written out.
func isOneOf(field uint8, values []string) pairindex.Formula {
	slices.Sort(values)
	values = slices.Compact(values)
	any := make([]pairindex.Formula, len(values))
	for i, v := range values {
		any[i] = textTest(pairindex.Equal, field, v)
	}
	return pairindex.Or(any...)
}

func (p *planner) call(n *ast.CallNode) pairindex.Formula {
	switch calleeOf(n) {
	case "cidr":
		prefix, err := parseRange(constantText(n.Arguments[1]))
		if err != nil {
			return pairindex.Opaque()
		}
		return inRangeOf(n, prefix)
	case "sample":
		percent, ok := literalNumber(n.Arguments[1])
		if !ok {
			return pairindex.Opaque()
		}
		return inSampleOf(n, percent)
	}
	return pairindex.Opaque()
}
