package cmd

import (
	"io"
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
func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	t.narrow(widths, terminalWidth(w))
	var b strings.Builder
	for n, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			text := padded(shortened(cell, widths[i]), widths[i])
			if i == len(row)-1 {
				text = strings.TrimRight(text, " ")
			}
			if n > 0 && t.style != nil {
				text = t.style(i, cell)(text)
			}
			line.WriteString(text)
			if i < len(row)-1 {
				line.WriteString("  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// narrow takes cells from the widest column until all fit into the width; 0 is no limit.
func (t *table) narrow(widths []int, width int) {
	sum := 2 * (len(widths) - 1)
	for _, n := range widths {
		sum += n
	}
	for ; width > 0 && sum > width; sum-- {
		widest := -1
		for i := t.fixed; i < len(widths); i++ {
			if widths[i] > narrowest && (widest < 0 || widths[i] >= widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
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
