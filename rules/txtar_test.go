package rules

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what comes out into the archives: read the difference before you commit it")

// Each archive in testdata is a folder with rules below rules/, a packet with its query, and what comes of them: matches (pair, rule
// and actions), or problems, and warnings.
func TestArchives(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	if len(archives) == 0 {
		t.Fatal("testdata has no archives")
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(path)
			must(t, err)
			dir := t.TempDir()
			given := map[string]string{}
			for _, f := range ar.Files {
				given[f.Name] = string(f.Data)
				if strings.Contains(f.Name, "/") {
					write(t, dir, f.Name, string(f.Data))
				}
			}
			path, err := filepath.Abs(path)
			must(t, err)
			t.Chdir(dir)
			l := loader(t, "rules")
			l.Permit.Files = []string{"secrets"}
			rs, err := l.Load(t.Context(), nil)
			problems := ""
			if err != nil {
				problems = err.Error() + "\n"
			}
			if *update {
				rewrite(t, path, ar, "problems", problems)
			} else if diff := cmp.Diff(given["problems"], shortened(problems, given["problems"])); diff != "" {
				t.Fatalf("problems (-want +got):\n%s", diff)
			}
			if err != nil {
				return
			}
			warnings := ""
			if len(rs.Warnings) > 0 {
				warnings = rs.Warnings.Error() + "\n"
			}
			if *update {
				rewrite(t, path, ar, "warnings", warnings)
			} else if diff := cmp.Diff(given["warnings"], warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if given["packet"] != "" {
				if diff := cmp.Diff(given["matches"], matches(t, rs, strings.TrimSpace(given["query"]), given["packet"])); diff != "" {
					t.Errorf("matches (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// shortened cuts the lines of got where those of want end with …: what another package says may be told better one day.
func shortened(got, want string) string {
	lines, wanted := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(lines), len(wanted)) {
		if start, cut := strings.CutSuffix(wanted[i], "…"); cut && strings.HasPrefix(lines[i], start) {
			lines[i] = wanted[i]
		}
	}
	return strings.Join(lines, "\n")
}

// rewrite sets a section of an archive that has it, or adds it where there is something to say.
func rewrite(t *testing.T, path string, ar *txtar.Archive, section, text string) {
	i := slices.IndexFunc(ar.Files, func(f txtar.File) bool { return f.Name == section })
	switch {
	case i >= 0:
		ar.Files[i].Data = []byte(text)
	case text == "":
		return
	default:
		ar.Files = append(ar.Files, txtar.File{Name: section, Data: []byte(text)})
	}
	must(t, os.WriteFile(path, txtar.Format(ar), 0o644))
}

func matches(t *testing.T, rs *RuleSet, query, body string) string {
	cb := packet(t, query, body)
	var out strings.Builder
	for pair := range cb.Pairs {
		for _, m := range rs.Match(nil, cb, pair) {
			if m.Err != nil {
				fmt.Fprintf(&out, "%d %s failed\n", pair, m.Rule.Name) // the text is the language's business
				continue
			}
			for _, name := range m.Rule.Actions {
				if a, ok := rs.Action(name); !ok || a.Name != name {
					t.Errorf("rule %s: there is no action %s", m.Rule.Name, name)
				}
			}
			shadow := ""
			if m.Rule.Shadow {
				shadow = " (shadow)"
			}
			fmt.Fprintf(&out, "%d %s%s: %s\n", pair, m.Rule.Name, shadow, strings.Join(m.Rule.Actions, " "))
		}
	}
	return out.String()
}

// A mistake in an archive's own text, such as a misspelt section, would make it assert nothing.
func TestArchivesAreWellFormed(t *testing.T) {
	known := map[string]bool{"problems": true, "warnings": true, "packet": true, "query": true, "matches": true}
	archives, err := filepath.Glob("testdata/*.txtar")
	must(t, err)
	for _, path := range archives {
		data, err := os.ReadFile(path)
		must(t, err)
		sections := map[string]bool{}
		for _, f := range txtar.Parse(data).Files {
			sections[f.Name] = true
			if !known[f.Name] && !strings.Contains(f.Name, "/") {
				t.Errorf("%s: section %s", path, f.Name)
			}
		}
		if !sections["problems"] && !sections["matches"] && !sections["warnings"] {
			t.Errorf("%s says nothing of what comes of it", path)
		}
	}
}
