package cmd

import (
	"bytes"
	"slices"
	"testing"

	"github.com/rivo/uniseg"
)

// A table that does not go to a terminal is never cut, and wide characters take the two cells that they take there.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	tab := table{rows: [][]string{{"ID", "FROM", "ERROR"}, {"1", "用户", "no answer"}, {"22", "a", ""}}}
	if err := tab.write(&out); err != nil {
		t.Fatal(err)
	}
	if want := "ID  FROM  ERROR\n1   用户  no answer\n22  a\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// On a narrow terminal the widest columns are cut, those that are fixed stay, and none gets narrower than can be read.
func TestTableNarrow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		width int
		want  []int
	}{
		{"no terminal", 0, []int{32, 20, 40}},
		{"room enough", 96, []int{32, 20, 40}},
		{"the widest is cut", 90, []int{32, 20, 34}},
		{"two are cut", 60, []int{32, 12, 12}},
		{"too narrow", 20, []int{32, 8, 8}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			widths := []int{32, 20, 40}
			if fits := narrow(widths, 1, tt.width); !slices.Equal(widths, tt.want) || fits != (tt.width != 20) {
				t.Errorf("got %v, want %v; fits: %v", widths, tt.want, fits)
			}
		})
	}
}

// Where even that is too wide, what is never cut stands in one line and the rest below, within the width.
func TestTableFolds(t *testing.T) {
	tab := table{fixed: 1, rows: [][]string{{"ID", "FROM", "ERROR"}, {"0123456789abcdef", "somebody-else", "no answer at all"}}}
	var out bytes.Buffer
	if err := tab.writeWidth(&out, 34); err != nil {
		t.Fatal(err)
	}
	if want := "ID\n  FROM           ERROR\n0123456789abcdef\n  somebody-else  no answer at all\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := tab.writeWidth(&out, 24); err != nil {
		t.Fatal(err)
	}
	if want := "ID\n  FROM        ERROR\n0123456789abcdef\n  somebody-…  no answer…\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestShortened(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"alice", 5, "alice"},
		{"alice", 4, "ali…"},
		{"用户用户", 8, "用户用户"},
		{"用户用户", 7, "用户用…"},
		{"用户用户", 6, "用户…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"👩‍👩‍👧👩‍👩‍👧", 3, "👩‍👩‍👧…"},
		{"", 3, ""},
	} {
		got := shortened(tt.text, tt.width)
		if got != tt.want || uniseg.StringWidth(got) > tt.width {
			t.Errorf("%q in %d cells: got %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
