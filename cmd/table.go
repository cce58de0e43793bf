package cmd

import (
	"io"
	"slices"
	"strings"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
)

// narrowest is how far a column is cut, in cells of the terminal.
const narrowest = 8

// table is rows of cells, the first of them the heads of the columns.
type table struct {
	rows  [][]string
	fixed int                                               // so many columns from the left are never cut
	style func(column int, cell string) func(string) string // how a cell is painted; may be nil
}

// write writes the table in columns, two spaces apart. Where the terminal is narrower, the widest of the columns are cut.
func (t *table) write(w io.Writer) error { return t.writeWidth(w, terminalWidth(w)) }

func (t *table) writeWidth(w io.Writer, width int) error {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	var b strings.Builder
	lines := t.fold(widths, width)
	for n, row := range t.rows {
		for _, l := range lines {
			b.WriteString(strings.Repeat(" ", l.indent) + t.line(n, row, widths, l) + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// line writes some columns of a row.
func (t *table) line(n int, row []string, widths []int, l span) string {
	var line strings.Builder
	for i := l.from; i < l.to; i++ {
		text := padded(shortened(row[i], widths[i]), widths[i])
		if i == l.to-1 {
			text = strings.TrimRight(text, " ")
		}
		if n > 0 && t.style != nil {
			text = t.style(i, row[i])(text)
		}
		line.WriteString(text)
		if i < l.to-1 {
			line.WriteString("  ")
		}
	}
	return strings.TrimRight(line.String(), " ")
}

// span is the columns that one line of a row has.
type span struct{ from, to, indent int }

// fold fits the widths into that of the terminal; 0 is no limit. Where cutting is not enough a row takes two lines: the columns that
// are never cut, and the others below.
func (t *table) fold(widths []int, width int) []span {
	cut := slices.Clone(widths)
	if narrow(cut, t.fixed, width) || t.fixed == 0 {
		copy(widths, cut)
		return []span{{0, len(widths), 0}}
	}
	narrow(widths[t.fixed:], 0, width-2)
	return []span{{0, t.fixed, 0}, {t.fixed, len(widths), 2}}
}

// narrow takes cells from the widest column that may be cut until all fit into the width, and tells whether they do.
func narrow(widths []int, fixed, width int) bool {
	sum := 2 * (len(widths) - 1)
	for _, n := range widths {
		sum += n
	}
	for ; width > 0 && sum > width; sum-- {
		widest := -1
		for i := fixed; i < len(widths); i++ {
			if widths[i] > narrowest && (widest < 0 || widths[i] >= widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	return true
}

// terminalWidth is 0 where w is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok || !toTerminal(w) {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// shortened cuts s to a width in cells of the terminal.
func shortened(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	for room := width - 1; ; {
		cluster, rest, cells, _ := uniseg.FirstGraphemeClusterInString(s, -1)
		if room -= cells; room < 0 || rest == "" {
			return b.String() + "…"
		}
		b.WriteString(cluster)
		s = rest
	}
}
