package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aftermath-rules/aftermath/internal/schema/schematest"
)

// schemaOf compiles the schema that the program prints.
func schemaOf(t *testing.T, kind string) schematest.Schema {
	t.Helper()
	code, out, errs := aftermath(t, t.TempDir(), nil, "schema", kind)
	if code != 0 {
		t.Fatalf("schema %s: exit code %d, %s", kind, code, errs)
	}
	return schematest.Compile(t, json.RawMessage(out))
}

// Every key of the configuration and of each action, every metric, and every command with its flags is in the README; so are the
// defaults that the schemas know.
func TestReadmeIsComplete(t *testing.T) {
	text := readme(t)
	named := func(what, name string) {
		if !strings.Contains(text, "`"+name+"`") && !strings.Contains(text, "| `"+name+"` |") {
			t.Errorf("README.md does not name the %s `%s`", what, name)
		}
	}
	var configuration any
	decodeSchema(t, "config", &configuration)
	for key, def := range schemaKeys("", configuration) {
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(key) + "` \\|(.*?)\\|").FindStringSubmatch(text)
		switch {
		case row == nil:
			t.Errorf("README.md has no row for the key `%s` of aftermath.yaml", key)
		case def != "" && !strings.Contains(row[1], "`"+def+"`"):
			t.Errorf("README.md: the default of `%s` is %s, not %s", key, def, row[1])
		}
	}
	var rules struct {
		Defs struct {
			Action struct {
				AllOf []struct {
					If struct {
						Properties struct{ Type struct{ Const string } }
					}
					Then any
				} `json:"allOf"`
			}
		} `json:"$defs"`
	}
	decodeSchema(t, "rules", &rules)
	if len(rules.Defs.Action.AllOf) < 3 {
		t.Fatal("the schema of rules has no actions")
	}
	for _, action := range rules.Defs.Action.AllOf {
		for key, def := range schemaKeys("", action.Then) {
			named("field of "+action.If.Properties.Type.Const, key)
			if row := regexp.MustCompile("(?m)^\\| `"+regexp.QuoteMeta(key)+"` \\|(.*?)\\|").FindAllStringSubmatch(text, -1); def != "" &&
				!slices.ContainsFunc(row, func(m []string) bool { return strings.Contains(m[1], "`"+def+"`") }) {
				t.Errorf("README.md: no row says that the default of `%s` is %s", key, def)
			}
		}
	}
	_, help, _ := aftermath(t, t.TempDir(), nil, "--help")
	for _, m := range regexp.MustCompile(`(?m)^  (\w+)  +[A-Z]`).FindAllStringSubmatch(help, -1) {
		if m[1] != "help" {
			named("command", m[1])
		}
		_, flags, _ := aftermath(t, t.TempDir(), nil, m[1], "--help")
		for _, f := range regexp.MustCompile(`(?m)^ .*(--[a-z-]+)`).FindAllStringSubmatch(flags[strings.Index(flags, "\nFlags:"):], -1) {
			if f[1] != "--help" && !strings.Contains(text, f[1]) {
				t.Errorf("README.md does not name %s's flag %s", m[1], f[1])
			}
		}
	}
	dir := t.TempDir()
	write(t, dir, "aftermath.yaml", config(""))
	write(t, dir, "rules/a.yaml", "rules: []\n")
	_, metrics := start(t, dir).Request(http.MethodGet, "/metrics")
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (aftermath_\w+)`).FindAllStringSubmatch(string(metrics), -1) {
		if !strings.Contains(text, m[1]) {
			t.Errorf("README.md does not name the metric %s", m[1])
		}
	}
}

func decodeSchema(t *testing.T, kind string, into any) {
	t.Helper()
	code, out, errs := aftermath(t, t.TempDir(), nil, "schema", kind)
	if code != 0 {
		t.Fatalf("schema %s: exit code %d, %s", kind, code, errs)
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatal(err)
	}
}

// schemaKeys gives each key that has a value of its own, dotted, and its default.
func schemaKeys(prefix string, schema any) map[string]string {
	keys := map[string]string{}
	s, _ := schema.(map[string]any)
	if items, ok := s["items"].(map[string]any); ok {
		s = items
	}
	properties, _ := s["properties"].(map[string]any)
	for name, value := range properties {
		below := schemaKeys(prefix+name+".", value)
		for key, def := range below {
			keys[key] = def
		}
		if v, ok := value.(map[string]any); ok && len(below) == 0 {
			keys[prefix+name] = ""
			if def, ok := v["default"]; ok {
				keys[prefix+name] = fmt.Sprint(def)
			}
		}
	}
	return keys
}

// Each example's configuration and rules load without its secrets, raise no warning but those named here, and hold to the schemas.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/aftermath.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if filepath.Base(dir) != "extension" { // its action type is its own program's: .ci/run tests it there
				if code, out, errs := aftermath(t, dir, nil, "check", "--secrets", "ignore"); code != 0 {
					t.Errorf("check: exit code %d\n%s%s", code, out, errs)
				}
				if code, out, errs := aftermath(t, dir, nil, "test", "-c", "aftermath.yaml"); code != 0 {
					t.Errorf("test: exit code %d\n%s%s", code, out, errs)
				}
			}
			all, err := filepath.Glob(filepath.Join(dir, "rules/*.yaml"))
			if err != nil || len(all) == 0 {
				t.Fatalf("%d rules files, %v", len(all), err)
			}
			for _, file := range append(all, file) {
				kind := "rules"
				if filepath.Base(file) == "aftermath.yaml" {
					kind = "config"
				} else if strings.HasSuffix(file, "_test.yaml") {
					kind = "tests"
				} else if filepath.Base(dir) == "extension" {
					continue
				}
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := schemaOf(t, kind).Validate(text); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		})
	}
}
