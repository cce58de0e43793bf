package strictyaml

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const (
	maxSize  = 64 << 20 // bytes of one file: its nodes take some 25 times as much memory
	maxDepth = 100      // levels of mappings and lists
)

// Document is one parsed YAML file that can still name the place of each of its characters.
//
// Its tree is simpler than what YAML allows: aliases are replaced by what they stand for and merge keys (<<) by the keys that
// they bring, every key is a text that stands once in its mapping, and the only tags are YAML's own.
type Document struct {
	File string
	Root *yaml.Node // the document's value; nil for a file of comments alone

	src    string // without a byte order mark
	plain  bool   // it was read quickly: there is no tag in it, and no comment behind a value
	listed bool   // so far as one list of it was given to the caller entry by entry
	faulty map[*yaml.Node]bool
	starts []int // of lines: see lines
}

// Parse reads the one document of a file. The error is Problems: a syntax error at the line where the trouble starts, a second
// document, a repeated key, an unknown tag, an alias bomb, bad UTF-8. Where the text is sound YAML the document is returned even
// with an error, so that what else is wrong with it can be found by decoding it; what was reported is not reported again then.
func Parse(file string, data []byte) (*Document, error) { return ParseEntries(file, data, nil) }

// ParseEntries is Parse that gives the entries of one list to the caller while it reads them, where it can.
func ParseEntries(file string, data []byte, entries *Entries) (*Document, error) {
	if len(data) > maxSize {
		return nil, Problems{{File: file, Message: "is larger than 64 MiB; split it into several files"}}
	}
	src := strings.TrimPrefix(string(data), "\ufeff")
	d := &Document{File: file, src: src, faulty: map[*yaml.Node]bool{}}
	if ps := d.checkCharacters(); len(ps) > 0 {
		return nil, ps
	}
	if d.Root, d.plain = readQuickly(d, entries); d.plain {
		return d, nil
	}
	root, second, err := compose(strings.NewReader(src))
	if err != nil {
		return nil, Problems{d.syntaxProblem(err)}
	}
	if second != nil {
		at := Problem{File: file, Line: second.Line, Column: 1, Message: "a second document begins here; write it to a file of its own"}
		return nil, Problems{at}
	}
	d.Root = root
	t := tree{doc: d}
	t.check()
	if len(t.problems) > 0 {
		return d, t.problems.Sorted()
	}
	return d, nil
}

// compose parses a stream of at most one document and gives its value (nil where there is none) and, where there is another
// document, that.
func compose(r io.Reader) (root, second *yaml.Node, err error) {
	// The parser is known to panic on a few broken inputs; for those who wrote the file that is one more syntax error.
	defer func() {
		if recover() != nil {
			err = errors.New("yaml: it is not valid YAML")
		}
	}()
	dec := yaml.NewDecoder(r)
	var first, next yaml.Node
	if err := dec.Decode(&first); errors.Is(err, io.EOF) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	if len(first.Content) > 0 && !isEmpty(first.Content[0]) {
		root = first.Content[0]
	}
	if err := dec.Decode(&next); errors.Is(err, io.EOF) {
		return root, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	return root, &next, nil
}

// checkCharacters finds what is no UTF-8, what YAML does not allow, and line breaks that YAML sees and editors do not.
func (d *Document) checkCharacters() Problems {
	const bound = 20 // a binary file has thousands
	if strings.HasPrefix(d.src, "\xff\xfe") || strings.HasPrefix(d.src, "\xfe\xff") {
		return Problems{{File: d.File, Line: 1, Column: 1, Message: "this is UTF-16: save the file as UTF-8"}}
	}
	var ps Problems
	for i := 0; i < len(d.src) && len(ps) < bound; {
		c := d.src[i]
		if c >= ' ' && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(d.src[i:])
		if message := badCharacter(r, size, d.src[i+size:]); message != "" {
			line, column := d.position(i)
			ps = append(ps, Problem{File: d.File, Line: line, Column: column, Message: message})
		}
		i += size
	}
	return ps
}

func badCharacter(r rune, size int, rest string) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return "this is not UTF-8"
	case r == 0:
		return "a NUL byte is not allowed"
	case r == '\r' && !strings.HasPrefix(rest, "\n"):
		return "a carriage return without a line feed is not allowed"
	case r == '\u0085' || r == '\u2028' || r == '\u2029':
		return "YAML takes this character for the end of a line; write it as " + escaped(r) + " in double quotes"
	case r == '\ufeff' || r == '\ufffe' || r == '\uffff' || r < ' ' && r != '\r' || r >= 0x7f && r < 0xa0:
		return "this control character is not allowed; write it as " + escaped(r) + " in double quotes"
	}
	return ""
}

func escaped(r rune) string {
	const hex = "0123456789abcdef"
	return `\u` + string([]byte{hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15]})
}

// lines gives the byte offset in src at which each line begins. Where all is well nobody asks for it.
func (d *Document) lines() []int {
	if d.starts == nil {
		d.starts = lineStarts(d.src)
	}
	return d.starts
}

func lineStarts(src string) []int {
	starts := make([]int, 1, 1+strings.Count(src, "\n"))
	for i := 0; ; {
		n := strings.IndexByte(src[i:], '\n')
		if n < 0 {
			return starts
		}
		i += n + 1
		starts = append(starts, i)
	}
}

// line gives a line of the source, from 1, without its line break; "" for a line that is not there.
func (d *Document) line(n int) string {
	if n < 1 || n > len(d.lines()) {
		return ""
	}
	end := len(d.src)
	if n < len(d.lines()) {
		end = d.lines()[n] - 1
	}
	return strings.TrimSuffix(d.src[d.lines()[n-1]:end], "\r")
}

// position gives the line and column of a byte of the source.
func (d *Document) position(offset int) (line, column int) {
	lo, hi := 0, len(d.lines()) // the line is at lo or after, and before hi
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; d.lines()[mid] <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + 1, utf8.RuneCountInString(d.src[d.lines()[lo]:offset]) + 1
}

// offset gives the byte of the source at which a node stands, -1 if its place is not in it.
func (d *Document) offset(n *yaml.Node) int {
	if n.Line < 1 || n.Line > len(d.lines()) {
		return -1
	}
	i := d.lines()[n.Line-1]
	for column := 1; column < n.Column; column++ {
		if i >= len(d.src) {
			return -1
		}
		_, size := utf8.DecodeRuneInString(d.src[i:])
		i += size
	}
	return i
}

// isEmpty tells that nothing is written where n stands.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == ""
}
