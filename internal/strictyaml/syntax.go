package strictyaml

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// How many bytes may be parsed again to find where a syntax error starts: first line by line, then by halves.
const (
	stepBudget  = 8 << 20
	stepAtLeast = 4
	halveBudget = 48 << 20
)

// syntaxProblem places a syntax error. The parser's own line is that of the block around it, or none at all; the line after the
// longest run of lines that parses is where the trouble starts.
func (d *Document) syntaxProblem(err error) Problem {
	line := d.troubleLine(err)
	text := d.line(line)
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	p := Problem{File: d.File, Line: line, Column: utf8.RuneCountInString(text[:indent]) + 1}
	if indent == len(text) {
		p.Column = 1
	}
	p.Message = "YAML: " + parserMessage.ReplaceAllString(err.Error(), "")
	if hint := syntaxHint(p.Message, text); hint != "" {
		p.Message += "; " + hint
	}
	return p
}

var parserMessage = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// troubleLine looks back from the last line that the parser had seen when it gave up: lines after that play no part.
func (d *Document) troubleLine(err error) int {
	seen := d.linesSeen()
	spent, k := 0, seen-1
	for ; k > 0; k-- {
		size := d.sizeOf(k)
		if spent+size > stepBudget && seen-k > stepAtLeast {
			break
		}
		if d.parses(k) {
			return k + 1
		}
		spent += size
	}
	// In a large file it is most likely a quote or bracket that is never closed, and the parser names the line where it opens.
	if m := parserMessage.FindStringSubmatch(err.Error()); k > 0 && m != nil {
		if line, err := strconv.Atoi(m[1]); err == nil && line <= k && d.parses(line-1) && !d.parses(line) {
			return line
		}
	}
	return d.halve(k + 1)
}

// halve looks for a line before which everything parses, and with which it does not, from hi on back.
func (d *Document) halve(hi int) int {
	lo := 0
	for spent := 0; hi-lo > 1 && spent < halveBudget; {
		mid := (lo + hi) / 2
		spent += d.sizeOf(mid)
		if d.parses(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo + 1
}

// sizeOf is the number of bytes of the first lines.
func (d *Document) sizeOf(lines int) int {
	if lines < len(d.lines()) {
		return d.lines()[lines]
	}
	return len(d.src)
}

// parses tells whether the first lines are YAML by themselves.
func (d *Document) parses(lines int) bool {
	_, _, err := compose(strings.NewReader(d.src[:d.sizeOf(lines)]))
	return err == nil
}

// linesSeen is how many lines the parser reads until it gives up.
func (d *Document) linesSeen() int {
	r := &lineReader{doc: d}
	_, _, _ = compose(r)
	return max(r.line, 1)
}

// lineReader gives the source line by line, so that the parser never has more than it asked for.
type lineReader struct {
	doc  *Document
	line int    // lines begun
	rest string // of the current line
}

func (r *lineReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		if r.line == len(r.doc.lines()) || r.doc.lines()[r.line] == len(r.doc.src) {
			return 0, io.EOF
		}
		end := len(r.doc.src)
		if r.line+1 < len(r.doc.lines()) {
			end = r.doc.lines()[r.line+1]
		}
		r.rest = r.doc.src[r.doc.lines()[r.line]:end]
		r.line++
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

const quoteHint = "quote the whole value, or write it on the next line below `|`"

var (
	keyAndValue     = regexp.MustCompile(`^[ \t]*(?:- +)*[\w.-]+:[ \t]+(\S.*)$|^[ \t]*- +(\S.*)$`)
	keyWithoutSpace = regexp.MustCompile(`^[ \t]*[\w.-]+:[^\s:/]`)
)

// syntaxHint says what to do about a line that YAML stumbled over, where that can be told from the parser's message and the line alone.
func syntaxHint(message, line string) string {
	switch {
	case strings.Contains(message, "unknown anchor"):
		return "quote a text that begins with *"
	case strings.Contains(message, "incompatible YAML document"):
		return "take the line that begins with %YAML away"
	case strings.Contains(message, "unknown escape"):
		return "between double quotes a backslash is written \\\\; between single quotes, and below `|`, it stands for itself"
	}
	if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
		return "the line is indented by a tab: YAML wants spaces"
	}
	m := keyAndValue.FindStringSubmatch(line)
	if m == nil {
		if keyWithoutSpace.MatchString(line) {
			return "a space is missing behind the colon"
		}
		return ""
	}
	value := strings.TrimRight(m[1]+m[2], " \t")
	if strings.Contains("[{", value[:1]) && strings.Contains(value, "${") {
		return "quote each ${…} that stands within [ ] or { }"
	}
	switch first := value[0]; first {
	case '"', '\'':
		if end := strings.IndexByte(value[1:], first); end < 0 {
			return "the quote is not closed on this line"
		}
		return "the value begins with a quote, and YAML takes it to end with the next one: " + quoteHint
	case '[', '{', ']', '}', '!', '&', '*', '%', '@', '`', '|', '>', ',':
		if _, _, err := compose(strings.NewReader(value)); err == nil && !strings.HasPrefix(value, "{{") {
			return "" // it is sound by itself, so that the trouble lies elsewhere, such as in the line's indentation
		}
		return "YAML does not take what begins with `" + value[:1] + "` for a text: if it is one, " + quoteHint
	}
	if strings.Contains(value, ": ") || strings.HasSuffix(value, ":") {
		return "the value holds `: `: " + quoteHint
	}
	return ""
}
