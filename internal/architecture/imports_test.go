// Package architecture holds what must be true of the project as a whole.
package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/aftermath-rules/aftermath/"

// layers are the packages from the ground up: a package may import those of lower layers only, and its own sub-packages may
// import it. Packages of one layer don't import each other, except where allowed says so.
var layers = [][]string{
	{"internal/nearword", "internal/load", "internal/systemd", "internal/e2e/program", "internal/failpoint", "internal/tlstest"},
	{"internal/e2e/natscluster"},
	{"callback", "internal/strictyaml", "internal/secrets", "internal/schema", "internal/netguard", "internal/pairindex", "internal/admin/page"},
	{"internal/lang", "internal/schema/schematest"},
	{"actions"},
	{"actions/webhook", "actions/logentry", "actions/email", "actions/actionstest"},
	{"rules", "internal/adminclient"},
	{"internal/rulestest"},
	{"internal/ruletest", "internal/explain", "internal/backtest", "internal/trial"},
	{"engine"},
	{"engine/storetest", "internal/history"},
	{"internal/config", "internal/jetstream", "internal/admin"},
	{"internal/spool"},
	{"cmd"},
	{"cmd/aftermath"},
	{"internal/torture"},
}

// Imports point one way, so that a package can be understood, and tested, with those below it alone.
func TestImportsPointDownwards(t *testing.T) {
	layerOf := map[string]int{}
	for i, layer := range layers {
		for _, pkg := range layer {
			layerOf[pkg] = i
		}
	}
	seen := map[string]bool{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "examples" || name == "tools" || name == "data") {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(file, "go.mod")); rel != "." && err == nil {
				return filepath.SkipDir // a module of its own
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		pkg := path.Dir(rel)
		layer, known := layerOf[pkg]
		if !known {
			t.Errorf("%s: package %s has no layer: give it one in this test", rel, pkg)
			return nil
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			dep, ours := strings.CutPrefix(imported, module)
			if !ours {
				continue
			}
			if below, known := layerOf[dep]; !known || below >= layer {
				t.Errorf("%s imports %s, which is not below it", rel, dep)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range layerOf {
		if !seen[pkg] {
			t.Errorf("package %s has a layer but no files", pkg)
		}
	}
}
