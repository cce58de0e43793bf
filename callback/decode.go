package callback

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deeply objects and arrays of a packet may be nested, the packet itself counted.
const maxDepth = 64

const noIndex = -1

// decoder reads one packet in one pass, strictly: RFC 8259's grammar, and no repeated names and no ill-formed text besides. It
// allocates nothing for a packet as Chat sends them.
//
// There are two kinds of problem. After one of grammar there is no going on: it sets dead. After any other (a repeated name, a
// lone surrogate, an empty account) reading goes on, so that the sound pairs of a refused packet can be told from the others.
// The first problem of either kind is the one reported.
type decoder struct {
	s string // the packet
	i int    // how far it has been read

	pairs      []Pair
	command    string
	commandAt  int
	hasCommand bool
	hasPairs   bool

	problem  *PacketError // the first
	problems int          // how many so far
	unsound  bool         // one of them makes it ill-formed JSON
	dead     bool

	// The place being read, for problems.
	top   string // member of the packet
	index int    // place in PairList, or noIndex
	field string // member of the pair

	keys []string // unknown names of the objects that are open, innermost last
}

// packet reads the whole packet.
func (d *decoder) packet() {
	if d.space() != '{' {
		what := "is no JSON object"
		if strings.HasPrefix(d.s, "\uFEFF") {
			what += ": it begins with a byte order mark"
		} else if d.i == len(d.s) {
			what += ": it is empty"
		}
		d.fatal(d.i, what)
		return
	}
	var seen names
	for more := d.open(); more; more = d.next('}') {
		at := d.i
		d.top = d.name()
		switch d.top {
		case "CallbackCommand":
			d.once(d.hasCommand, at)
			d.hasCommand, d.commandAt = true, d.i
			d.command = d.nonEmpty()
		case "PairList":
			d.once(d.hasPairs, at)
			d.hasPairs = true
			d.list()
		default:
			d.unique(&seen, d.top, at)
			d.value(1)
		}
		d.top = ""
	}
	if d.space(); !d.dead && d.i < len(d.s) {
		d.fatal(d.i, "goes on after the JSON object")
	}
}

// list reads PairList.
func (d *decoder) list() {
	if d.peek() != '[' {
		d.shape(d.i, "is not an array")
		d.value(1)
		return
	}
	start := d.i
	d.index = 0
	for more := d.open(); more; more = d.next(']') {
		if n := len(d.pairs); n == cap(d.pairs) && n > 0 {
			// As many more as fit into the rest, at the length that pairs have had so far.
			d.pairs = slices.Grow(d.pairs, 1+(len(d.s)-d.i)*n/(d.i-start))
		}
		d.pair()
		d.index++
	}
	d.index = noIndex
}

// pair reads an element of PairList, and keeps it if there is nothing wrong with it.
func (d *decoder) pair() {
	at, before := d.i, d.problems
	if d.peek() != '{' {
		d.shape(at, "is not an object")
		d.value(2)
		return
	}
	var (
		p              Pair
		hasFrom, hasTo bool
		seen           = names{base: len(d.keys)}
	)
	for more := d.open(); more; more = d.next('}') {
		at := d.i
		d.field = d.name()
		switch d.field {
		case "From_Account":
			d.once(hasFrom, at)
			hasFrom = true
			p.From = d.nonEmpty()
		case "To_Account":
			d.once(hasTo, at)
			hasTo = true
			p.To = d.nonEmpty()
		default:
			d.unique(&seen, d.field, at)
			d.value(3)
		}
		d.field = ""
	}
	d.keys = d.keys[:seen.base]
	if d.dead {
		return
	}
	if !hasFrom {
		d.missing(at, "From_Account")
	}
	if !hasTo {
		d.missing(at, "To_Account")
	}
	if d.problems == before {
		d.pairs = append(d.pairs, p)
	}
}

// nonEmpty reads a string that must say something.
func (d *decoder) nonEmpty() string {
	at := d.i
	if d.peek() != '"' {
		d.shape(at, "is not a string")
		d.value(3)
		return ""
	}
	s := d.string(true)
	if s == "" && !d.dead {
		d.shape(at, "is empty")
	}
	return s
}

// value reads any value and forgets it. depth is how many objects and arrays are open around it.
func (d *decoder) value(depth int) {
	switch c := d.peek(); {
	case c == '{' || c == '[':
		if depth >= maxDepth {
			d.fatal(d.i, "is nested deeper than "+strconv.Itoa(maxDepth)+" levels")
			return
		}
		if c == '[' {
			for more := d.open(); more; more = d.next(']') {
				d.value(depth + 1)
			}
			return
		}
		seen := names{base: len(d.keys)}
		for more := d.open(); more; more = d.next('}') {
			at := d.i
			d.unique(&seen, d.name(), at)
			d.value(depth + 1)
		}
		d.keys = d.keys[:seen.base]
	case c == '"':
		d.string(false)
	case c == '-' || '0' <= c && c <= '9':
		d.number()
	case c == 't':
		d.literal("true")
	case c == 'f':
		d.literal("false")
	case c == 'n':
		d.literal("null")
	default:
		d.unexpected("a value")
	}
}

// names are those of the unknown members of one object. A few are compared one by one; many lie in a map, so that an object of
// a hundred thousand names takes no time that is quadratic in them.
type names struct {
	base int // where the object's names begin in decoder.keys
	many map[string]struct{}
}

const fewNames = 16

// unique makes a name that its object has already a problem.
func (d *decoder) unique(n *names, name string, at int) {
	if d.dead {
		return
	}
	if n.many == nil {
		own := d.keys[n.base:]
		if slices.Contains(own, name) {
			d.once(true, at)
			return
		}
		if len(own) < fewNames {
			d.keys = append(d.keys, name)
			return
		}
		n.many = make(map[string]struct{}, 4*fewNames)
		for _, k := range own {
			n.many[k] = struct{}{}
		}
	}
	if _, ok := n.many[name]; ok {
		d.once(true, at)
	}
	n.many[name] = struct{}{}
}

// once makes a member that has been there before a problem.
func (d *decoder) once(before bool, at int) {
	if before {
		d.ill(at, "stands more than once in its object")
	}
}

// fatal is a problem of grammar: nothing after it can be understood.
func (d *decoder) fatal(at int, problem string) {
	if !d.dead {
		d.ill(at, problem)
		d.dead = true
	}
}

// ill is a problem that makes the packet ill-formed JSON.
func (d *decoder) ill(at int, problem string) {
	d.shape(at, problem)
	d.unsound = true
}

// shape is a problem of what the packet says.
func (d *decoder) shape(at int, problem string) {
	if d.dead {
		return
	}
	d.problems++
	if d.problem == nil {
		d.problem = &PacketError{Offset: at, Path: d.path(), Problem: problem}
	}
}

func (d *decoder) missing(at int, field string) {
	d.field = field
	d.shape(at, "is missing")
	d.field = ""
}

func (d *decoder) unexpected(want string) {
	if d.i >= len(d.s) {
		d.fatal(d.i, "is cut off where "+want+" should stand")
		return
	}
	_, n := utf8.DecodeRuneInString(d.s[d.i:])
	d.fatal(d.i, fmt.Sprintf("has %.16q where %s should stand", d.s[d.i:d.i+n], want))
}

// path is the place being read. Names are the sender's: they are quoted where they are not plain, and cut where they are long.
func (d *decoder) path() string {
	p := plainName(d.top)
	if d.index != noIndex {
		p += "[" + strconv.Itoa(d.index) + "]"
	}
	if d.field != "" {
		p += "." + plainName(d.field)
	}
	return p
}

func plainName(s string) string {
	const longest = 64
	cut := s
	if len(cut) > longest {
		cut = strings.ToValidUTF8(cut[:longest], "") + "…"
	}
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return strconv.Quote(cut)
		}
	}
	return cut
}
