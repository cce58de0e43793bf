package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rivo/uniseg"

	"github.com/aftermath-rules/aftermath/internal/explain"
	"github.com/aftermath-rules/aftermath/internal/lang"
)

// explained writes an explanation as people read it: per pair and rule, what came of it, and the condition as a tree.
func explained(x *explain.Explanation, p paint) string {
	var b strings.Builder
	for i := range x.Pairs {
		pair := &x.Pairs[i]
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s %s -> %s\n", p.bold("pair "+strconv.Itoa(i)+":"), visible(pair.From), visible(pair.To))
		for j := range pair.Rules {
			writeRule(&b, p, &pair.Rules[j])
		}
		if pair.Omitted > 0 {
			fmt.Fprintf(&b, "  %s\n", p.faint(omitted(pair)))
		}
	}
	if len(x.Pairs) == 0 {
		b.WriteString("the packet has no pairs: no rule sees it\n")
	}
	if x.OmittedPairs > 0 {
		fmt.Fprintf(&b, "\n%s more are not shown\n", plural(x.OmittedPairs, "pair"))
	}
	return b.String()
}

func omitted(pair *explain.Pair) string {
	text := plural(pair.Omitted-pair.OmittedMatches, "rule") + " further away not shown; --rule NAME shows one"
	if pair.OmittedMatches > 0 {
		text = plural(pair.OmittedMatches, "more rule") + " matching or failing and " + text
	}
	if pair.Unsearched > 0 {
		text += fmt.Sprintf(" (%d of them don't match, and how near they came was not looked at)", pair.Unsearched)
	}
	return text
}

func writeRule(b *strings.Builder, p paint, r *explain.Rule) {
	var verdict string
	switch {
	case r.Matched && r.Shadow:
		verdict = p.good("matches") + ", as a shadow: it runs nothing"
	case r.Matched:
		verdict = p.good("matches") + ", runs " + strings.Join(r.Actions, ", ")
	case !r.Enabled:
		verdict = "is not enabled"
	case r.StoppedBy != "":
		verdict = "does not see the pair: " + r.StoppedBy + " stops before it"
	case r.Error != "":
		verdict = p.bad("fails") + ", which is no match: " + visible(r.Error)
	default:
		verdict = "does not match"
	}
	fmt.Fprintf(b, "  %s %s  %s\n", p.bold(r.Rule), verdict, p.faint(fmt.Sprintf("%s:%d", visible(r.File), r.Line)))
	writeParts(b, p, r.Parts)
}

// writeParts writes the tree: sources to the left, values in a column to the right, what decided marked.
func writeParts(b *strings.Builder, p paint, parts []lang.Part) {
	const widest = 70
	lines, width := make([]string, len(parts)), 0
	for i, part := range parts {
		source := strings.Join(strings.Fields(part.Source), " ")
		if strings.ContainsAny(part.Source, "\"'`") { // spaces may be a part of a text
			source = part.Source
		}
		lines[i] = strings.Repeat("  ", part.Depth) + visible(source)
		if n := uniseg.StringWidth(lines[i]); n <= widest {
			width = max(width, n)
		}
	}
	for i, part := range parts {
		mark := ""
		if part.Decided {
			mark = p.bold("  <- decides")
		}
		fmt.Fprintf(b, "      %s  %s%s\n", padded(lines[i], width), value(p, &part), mark)
	}
}

func value(p paint, part *lang.Part) string {
	switch v := part.Value.(type) {
	case nil:
		if part.Error != "" {
			return p.bad("fails: ") + visible(part.Error)
		}
		return p.faint("not reached")
	case string:
		return visible(strconv.Quote(v))
	case bool:
		if v {
			return p.good("true")
		}
		return p.bad("false")
	default:
		return visible(lang.Format(v))
	}
}
