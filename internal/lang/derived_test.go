package lang

import (
	"strings"
	"testing"
	"unicode"

	"github.com/aftermath-rules/aftermath/internal/pairindex"
)

// Lowering what is lowered changes nothing, nor does raising what is raised: what impossible relies on.
func TestCaseIsSettled(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if l := unicode.ToLower(r); unicode.ToLower(l) != l {
			t.Errorf("%U lowered is %U, which lowered is %U", r, l, unicode.ToLower(l))
		}
		if u := unicode.ToUpper(r); unicode.ToUpper(u) != u {
			t.Errorf("%U raised is %U, which raised is %U", r, u, unicode.ToUpper(u))
		}
	}
}

// Two characters fold to the same exactly where patterns that ignore case take one for the other.
func TestFoldRune(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		f := foldRune(r)
		if next := foldRune(unicode.SimpleFold(r)); next != f {
			t.Fatalf("%U folds to %U, and its other case to %U", r, f, next)
		}
		same := f == r
		for o := unicode.SimpleFold(r); o != r; o = unicode.SimpleFold(o) {
			same = same || o == f
		}
		if !same {
			t.Fatalf("%U folds to %U, which is another character", r, f)
		}
		if r < 0x80 && string(f) != strings.ToLower(string(r)) {
			t.Fatalf("%U folds to %U", r, f)
		}
	}
}

// What is made of a text is what conditions and patterns see of it, whatever was made before.
func TestDerived(t *testing.T) {
	var d Derived
	words := []string{"", "a", "iOS", "ALICE_7", "alice", "K\u212a", "İ", "ı", "ſS", "\xffA", "Ⱥ", "日本A", "[@`{", "\ufffd", strings.Repeat("Ab", MaxSubject/2), strings.Repeat("Ab", MaxSubject)}
	for _, from := range words {
		for _, to := range words {
			var ev pairindex.Event
			ev.Texts[fromAccount], ev.Texts[toAccount] = from, to
			d.fill(&ev.Texts, 1<<30-1)
			for field, text := range []string{from, to} {
				if got, want := ev.Texts[field+lowered], strings.ToLower(text); got != want {
					t.Errorf("lower(%.20q) is %.20q, want %.20q", text, got, want)
				}
				if got, want := ev.Texts[field+raised], strings.ToUpper(text); got != want {
					t.Errorf("upper(%.20q) is %.20q, want %.20q", text, got, want)
				}
				want := foldText(text)
				if len(text) > MaxSubject {
					want = ""
				}
				if got := ev.Texts[field+folded]; got != want {
					t.Errorf("%.20q folds to %.20q, want %.20q", text, got, want)
				}
			}
		}
	}
}
