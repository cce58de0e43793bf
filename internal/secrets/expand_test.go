package secrets

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExpand(t *testing.T) {
	t.Setenv("TOKEN", "s3cret")
	t.Setenv("EMPTY", "")
	t.Setenv("OWN", "mine")
	dir := t.TempDir()
	write(t, dir, "pw", "hunter2\n")
	write(t, dir, "two", "line 1\r\nline 2\r\n\r\n")
	write(t, dir, "marked", "\uFEFFhunter2\r\n")
	write(t, dir, "nothing", "\n")
	write(t, dir, "nul", "a\x00b")
	write(t, dir, "big", strings.Repeat("x", MaxSize+1))
	write(t, dir, "largest", strings.Repeat("x", MaxSize))

	tests := []struct {
		name, in, want, err string
		offset              int
	}{
		{name: "no secret", in: "plain $ {x} $$ text", want: "plain $ {x} $$ text"},
		{name: "empty", in: "", want: ""},
		{name: "variable", in: "a ${env:TOKEN} b", want: "a s3cret b"},
		{name: "twice", in: "${env:TOKEN}${env:TOKEN}", want: "s3crets3cret"},
		{name: "file, its last line break dropped", in: "${file:pw}!", want: "hunter2!"},
		{name: "file by its absolute path", in: "${file:" + filepath.Join(dir, "pw") + "}", want: "hunter2"},
		{name: "file as some editors save it, with a byte order mark", in: "${file:marked}", want: "hunter2"},
		{name: "file of several lines", in: "${file:two}", want: "line 1\r\nline 2"},
		{name: "file of the largest size", in: "${file:largest}", want: strings.Repeat("x", MaxSize)},
		{name: "escaped", in: "$${env:TOKEN}", want: "${env:TOKEN}"},
		{name: "escaped before a secret", in: "$$${env:TOKEN}", want: "$${env:TOKEN}"},
		{name: "a value is not expanded again", in: "${env:TOKEN}", want: "s3cret"},

		{name: "variable not set", in: "é${env:NOBODY_SET_ME}", err: "${env:NOBODY_SET_ME}: the environment variable is not set", offset: 2},
		{name: "variable empty", in: "${env:EMPTY}", err: "${env:EMPTY}: the environment variable is empty"},
		{name: "variable of aftermath.yaml", in: "${env:OWN}", err: "${env:OWN}: not allowed: aftermath.yaml itself uses this variable"},
		{name: "variable's name misspelt", in: "${env:A-B}", err: "${env:A-B}: an environment variable's name is made of letters, digits and _"},
		{name: "no variable's name", in: "${env:}", err: "${env:}: an environment variable's name is made of letters, digits and _"},
		{name: "shell style", in: "x ${TOKEN}", err: "${TOKEN}: no kind of secret; write ${env:TOKEN} for the environment variable, or $${ for the characters ${", offset: 2},
		{name: "another kind", in: "${vault:x}", err: "${vault:x}: no kind of secret: there are ${env:NAME} and ${file:PATH}; $${ writes the characters ${"},
		{name: "not closed", in: "a${env:TOKEN", err: "${env:TOKEN: the } is missing; $${ writes the characters ${", offset: 1},
		{name: "file missing", in: "${file:gone}", err: "${file:gone}: the file does not exist"},
		{name: "file without a path", in: "${file:}", err: "${file:}: the file's path is missing"},
		{name: "file empty", in: "${file:nothing}", err: "${file:nothing}: the file is empty"},
		{name: "file with a NUL", in: "${file:nul}", err: "${file:nul}: the file holds a NUL byte"},
		{name: "file too large", in: "${file:big}", err: "${file:big}: the file is larger than 64 KiB"},
		{name: "folder", in: "${file:.}", err: "${file:.}: not a regular file"},
		{name: "the second of two", in: "${env:TOKEN} ${env:EMPTY}", err: "${env:EMPTY}: the environment variable is empty", offset: 13},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Resolver{Dir: dir, Env: []string{"*"}, DenyEnv: []string{"OWN"}}
			got, err := r.Expand(test.in)
			if test.err == "" {
				if err != nil || got != test.want {
					t.Errorf("got %q, %v; want %q", got, err, test.want)
				}
				return
			}
			var e *Error
			if !errors.As(err, &e) || e.Error() != test.err || e.Offset() != test.offset {
				t.Errorf("got %q, %v; want the error %q at %d", got, err, test.err, test.offset)
			}
		})
	}
}

// Every secret that can't be put in is told, not the first alone.
func TestExpandTellsEveryError(t *testing.T) {
	_, err := new(Resolver).Expand("${env:A} ${file:b} ${c} ${env:D ${env:E")
	var got []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		got = append(got, e.(*Error).Secret)
	}
	if diff := cmp.Diff([]string{"${env:A}", "${file:b}", "${c}", "${env:D ${env:E"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSplitTellsSecretsFromLiterals(t *testing.T) {
	t.Setenv("A", "{{ From_Account }}")
	r := &Resolver{Env: []string{"A"}}
	got, err := r.Split("${env:A}${env:A} x $${ y")
	want := []Part{{Text: ""}, {"{{ From_Account }}", true}, {Text: ""}, {"{{ From_Account }}", true}, {Text: " x ${ y"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestPatternsOfVariables(t *testing.T) {
	t.Setenv("CRM_KEY", "value")
	for pattern, allowed := range map[string]bool{"*": true, "CRM_*": true, "CRM_KEY": true, "?RM_KEY": true, "SMS_*": false, "crm_*": false, "[": false, "": false} {
		r := &Resolver{Env: []string{pattern}}
		if _, err := r.Expand("${env:CRM_KEY}"); (err == nil) != allowed {
			t.Errorf("pattern %q: %v", pattern, err)
		}
	}
	if _, err := new(Resolver).Expand("${env:CRM_KEY}"); err == nil {
		t.Error("the zero value allows a variable")
	}
}

func TestFilesOutsideOfTheFoldersAreRefused(t *testing.T) {
	root := t.TempDir()
	rules, outside := filepath.Join(root, "rules"), filepath.Join(root, "outside")
	write(t, rules, "sub/in", "inside")
	write(t, rules, "..2026/data", "mounted")
	write(t, outside, "pw", "stolen")
	link(t, "..2026", filepath.Join(rules, "..data"))
	link(t, "..data/data", filepath.Join(rules, "mounted"))
	link(t, filepath.Join(rules, "sub/in"), filepath.Join(rules, "absolute"))
	link(t, "../outside/pw", filepath.Join(rules, "out"))
	link(t, outside, filepath.Join(rules, "folder"))
	link(t, "rules", filepath.Join(root, "current"))

	tests := []struct {
		name, folder, path string
		want               string // "" where it is refused
	}{
		{"below a folder", rules, "sub/in", "inside"},
		{"dots that stay inside", rules, "sub/../sub/in", "inside"},
		{"a Kubernetes mount", rules, "mounted", "mounted"},
		{"an absolute link that stays inside", rules, "absolute", "inside"},
		{"a folder that is a link", filepath.Join(root, "current"), "sub/in", "inside"},
		{"a relative folder", ".", "sub/in", "inside"},
		{"dots that lead out", rules, "../outside/pw", ""},
		{"an absolute path elsewhere", rules, filepath.Join(outside, "pw"), ""},
		{"a link that leads out", rules, "out", ""},
		{"a folder's link that leads out", rules, "folder/pw", ""},
		{"a folder whose name begins the same", filepath.Join(root, "rul"), "sub/in", ""},
		{"no folders at all", "", "sub/in", ""},
		{"a missing file elsewhere", rules, "../outside/gone", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := &Resolver{Dir: rules, Files: []string{test.folder}}
			if test.folder == "" {
				r.Files = []string{}
			}
			got, err := r.Expand("${file:" + test.path + "}")
			if test.want != "" && (err != nil || got != test.want) {
				t.Errorf("got %q, %v", got, err)
			}
			if test.want == "" && (err == nil || !strings.Contains(err.Error(), "not allowed")) {
				t.Errorf("got %q, %v; want it refused", got, err)
			}
			if data, err := r.ReadFile(test.path); string(data) != test.want || (err == nil) != (test.want != "") {
				t.Errorf("ReadFile: %q, %v", data, err)
			}
			if _, files := r.Used(); test.want == "" && len(files) > 0 {
				t.Errorf("a file that is refused would be watched: %v", files)
			}
		})
	}
}

func TestUsedAndValues(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "pw", "hunter2\n")
	t.Setenv("LONG", "long enough")
	t.Setenv("PIN", "123")
	r := &Resolver{Dir: dir, Env: []string{"*"}}
	for _, s := range []string{"${env:LONG}", "${env:PIN}", "${file:pw}", "${file:./pw}", "${env:LONG}"} {
		if _, err := r.Expand(s); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"${env:NOBODY_SET_ME}", "${file:gone}"} {
		if _, err := r.Expand(s); err == nil {
			t.Fatal(s, "expands")
		}
	}
	env, files := r.Used()
	got := [][]string{env, files, r.Values(), r.Short()}
	want := [][]string{{"LONG", "NOBODY_SET_ME", "PIN"}, {filepath.Join(dir, "gone"), path}, {"123", "hunter2", "long enough"}, {"${env:PIN}"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestASecretIsReadOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pw", "old")
	r := &Resolver{Dir: dir}
	before, _ := r.Expand("${file:pw}")
	write(t, dir, "pw", "new")
	after, _ := r.Expand("${file:pw}")
	fresh, _ := (&Resolver{Dir: dir}).Expand("${file:pw}")
	if got := []string{before, after, fresh}; !slices.Equal(got, []string{"old", "old", "new"}) {
		t.Error(got)
	}
}

func TestIgnoredSecretsAreNotReadButChecked(t *testing.T) {
	r := &Resolver{Dir: t.TempDir(), Env: []string{"A_*"}, Files: []string{"."}, Ignore: true}
	if got, err := r.Expand("${env:A_B}/${file:x}"); err != nil || got != Placeholder+"/"+Placeholder {
		t.Errorf("got %q, %v", got, err)
	}
	for _, s := range []string{"${env:B}", "${file:../x}", "${x}"} {
		if _, err := r.Expand(s); err == nil {
			t.Errorf("%s is let through", s)
		}
	}
	if len(r.Values())+len(r.Short()) != 0 {
		t.Error("a placeholder counts as a secret")
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "${", "$${", "${env:A}", "a${file:b}c", "$$${x}", "${env:A", "${\x00}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := &Resolver{Dir: "/nowhere", Env: []string{"*"}, Ignore: true}
		parts, err := r.Split(s)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.At < 0 || e.At >= len(s) || !strings.HasPrefix(s[e.At:], "${") {
				t.Fatalf("%v has no place in %q", err, s)
			}
			return
		}
		var literals int
		for i, p := range parts {
			if p.Secret != (i%2 == 1) {
				t.Fatalf("%q: literals and secrets do not take turns: %v", s, parts)
			}
			literals += len(p.Text)
		}
		if !strings.Contains(s, "${") && (len(parts) != 1 || parts[0].Text != s) {
			t.Fatalf("%q has no secret, and became %v", s, parts)
		}
	})
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}
