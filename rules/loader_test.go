package rules

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestListFile(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
		wrong      int // the line that is no text
		odd        int // how many remarks
	}{
		{"lines", "a\nb\n", []string{"a", "b"}, 0, 0},
		{"no line feed at the end", "a\nb", []string{"a", "b"}, 0, 0},
		{"CRLF", "a\r\nb\r\n", []string{"a", "b"}, 0, 0},
		{"byte order mark", "\ufeffa\nb\n", []string{"a", "b"}, 0, 0},
		{"byte order mark before a comment", "\ufeff# a\nb\n", []string{"b"}, 0, 0},
		{"comments at the start of a line only", "# a\nb # c\n#d\ne#f\n", []string{"b # c", "e#f"}, 0, 0},
		{"empty lines", "\n\na\n\r\n\nb\n\n", []string{"a", "b"}, 0, 0},
		{"spaces belong to the value", " a\nb \n # c\n", []string{" a", "b ", " # c"}, 0, 1},
		{"texts, never numbers", "010\n1e3\ntrue\nnull\n~\n", []string{"010", "1e3", "true", "null", "~"}, 0, 0},
		{"hostile values", "{{ x }}\n${env:HOME}\n'\"\\n\n", []string{"{{ x }}", "${env:HOME}", `'"\n`}, 0, 0},
		{"comments alone", "# nobody\n", nil, 0, 0},
		{"not UTF-8", "a\nb\xff\n", nil, 2, 0},
		{"UTF-16", "a\x00\n\x00", nil, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, wrong, odd := parseList([]byte(test.text))
			if (wrong == nil) != (test.wrong == 0) || wrong != nil && wrong.line != test.wrong {
				t.Fatalf("wrong: %+v, want line %d", wrong, test.wrong)
			}
			if !slices.Equal(got, test.want) || len(odd) != test.odd {
				t.Errorf("got %q with remarks %v, want %q", got, odd, test.want)
			}
		})
	}
}

func TestListOfMillions(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range 2_000_000 {
		fmt.Fprintf(&b, "account_%d\n", i)
	}
	write(t, dir, "a.yaml", "lists:\n  l: {file: l.txt}\nrules:\n  - {name: r, condition: From_Account in l, actions: [{type: note, message: hi}]}\n", "l.txt", b.String())
	l := loader(t, dir)
	first := load(t, l)
	second, err := l.Load(t.Context(), first)
	must(t, err)
	if second.lists["l"].List != first.lists["l"].List || second.lists["l"].Len() != 2_000_000 {
		t.Error("the list was made anew, though its file did not change")
	}
	cb := packet(t, "SdkAppid=1", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"account_1999999","To_Account":"b"},{"From_Account":"account_2000000","To_Account":"b"}]}`)
	if len(second.Match(nil, cb, 0)) != 1 || len(second.Match(nil, cb, 1)) != 0 {
		t.Error("membership is wrong at the end of the list")
	}
}

func TestFilesAndTheirOrder(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"b.yaml", "a.yaml", "a/z.yml", "a-b.yaml", "a/b/c.yaml", "Z.yaml", "é.yaml"} {
		write(t, dir, "rules/"+f, rule(fmt.Sprintf("r%x", f)))
	}
	for _, f := range []string{".x.yaml", ".git/x.yaml", "..data/x.yaml", "x_test.yaml", "x_test.yml", "x.yaml.bak", "x.YAML", "x.txt", "data/x.yaml", "yaml"} {
		write(t, dir, "rules/"+f, "not: a [rules file")
	}
	l := loader(t, filepath.Join(dir, "rules"))
	l.Exclude = []string{filepath.Join(dir, "rules/data")}
	var got []string
	for _, r := range load(t, l).Rules {
		got = append(got, strings.TrimPrefix(r.File, filepath.Join(dir, "rules")+"/"))
	}
	want := []string{"Z.yaml", "a-b.yaml", "a.yaml", "a/b/c.yaml", "a/z.yml", "b.yaml", "é.yaml"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestPathsOfCheck(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/a.yaml", rule("a"), "one/b.yaml", rule("B"), "two.yaml", rule("c")+"foo: 1\n", ".hidden.yaml", rule("d"), "one/a_test.yaml", "tests: []\n")
	t.Chdir(dir)
	_, err := loader(t, "one", "./two.yaml", "one/b.yaml", "one/a_test.yaml", ".hidden.yaml", "three").Load(t.Context(), nil)
	want := strings.Join([]string{
		`./two.yaml:5:1: unknown key "foo"`,
		`one/b.yaml:2:11: rule: "B" is no name: only a-z, 0-9 and the characters _ . - may be in it`,
		`three:1:1: no such file or folder`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// The same files give the same hash, wherever they lie; any other content gives another.
func TestHash(t *testing.T) {
	files := []string{"a.yaml", "lists:\n  l: {file: l.txt}\n" + rule("a"), "l.txt", "x\n"}
	hash := func(change ...string) string {
		dir := t.TempDir()
		write(t, dir, append(slices.Clone(files), change...)...)
		return load(t, loader(t, dir)).Hash
	}
	same := hash()
	if again := hash(); again != same || len(same) < 8 {
		t.Errorf("the same files have the hashes %s and %s", same, again)
	}
	for name, change := range map[string][]string{
		"a comment": {"a.yaml", files[1] + "# x\n"}, "a list": {"l.txt", "y\n"}, "a file more": {"b.yaml", "rules: []"},
	} {
		if hash(change...) == same {
			t.Errorf("%s: the hash did not change", name)
		}
	}
}

func TestWhichFilesAListMayBe(t *testing.T) {
	tests := []struct {
		name, file string
		make       func(t *testing.T, dir string)
		says       string // "" where it may
	}{
		{"beside the rules", "l.txt", func(t *testing.T, dir string) { write(t, dir, "rules/l.txt", "a\n") }, ""},
		{"in a folder that rules_may.files names", "../shared/l.txt", func(t *testing.T, dir string) { write(t, dir, "shared/l.txt", "a\n") }, ""},
		{"a link into such a folder", "l.txt", func(t *testing.T, dir string) {
			write(t, dir, "shared/l.txt", "a\n")
			must(t, os.Symlink("../shared/l.txt", filepath.Join(dir, "rules/l.txt")))
		}, ""},
		{"elsewhere", "../other/l.txt", func(t *testing.T, dir string) { write(t, dir, "other/l.txt", "a\n") }, "lies outside of"},
		{"a folder whose name begins like one that may", "../shared2/l.txt", func(t *testing.T, dir string) { write(t, dir, "shared2/l.txt", "a\n") }, "lies outside of"},
		{"a link that leads elsewhere", "../shared/l.txt", func(t *testing.T, dir string) {
			write(t, dir, "other/l.txt", "a\n")
			must(t, os.Symlink("../other/l.txt", filepath.Join(dir, "shared/l.txt")))
		}, "lies outside of"},
		{"missing", "l.txt", func(*testing.T, string) {}, "no such file"},
		{"empty", "l.txt", func(t *testing.T, dir string) { write(t, dir, "rules/l.txt", "") }, "is empty"},
		{"a pipe", "../shared/l.txt", func(t *testing.T, dir string) { must(t, syscall.Mkfifo(filepath.Join(dir, "shared/l.txt"), 0o644)) }, "is a pipe"},
		{"a folder", "../shared", func(*testing.T, string) {}, "is a folder"},
		{"not UTF-8", "l.txt", func(t *testing.T, dir string) { write(t, dir, "rules/l.txt", "a\n\xff\n") }, "rules/l.txt:2:1: this line is not UTF-8 text"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.MkdirAll(filepath.Join(dir, "shared"), 0o755))
			write(t, dir, "rules/a.yaml", "lists:\n  l: {file: "+test.file+"}\nrules: []\n")
			test.make(t, dir)
			l := loader(t, filepath.Join(dir, "rules"))
			l.Permit.Files = []string{filepath.Join(dir, "shared")}
			_, err := l.Load(t.Context(), nil)
			if test.says == "" && err != nil || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
				t.Errorf("got %v, want %q", err, test.says)
			}
		})
	}
}

func TestRootsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	for name, says := range map[string]string{"pipe": "pipe:1:1: is a pipe", "loop": "loop:1:1: cannot be read", "gone": "gone:1:1: no such file or folder"} {
		_, err := loader(t, filepath.Join(dir, name)).Load(t.Context(), nil)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %s", name, err, says)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	write(t, dir, "a.yaml", rule("a"))
	if _, err := loader(t, filepath.Join(dir, "a.yaml")).Load(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: got %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	write(t, dir, "a.yaml", rule("a"))
	must(t, os.Chmod(filepath.Join(dir, "a.yaml"), 0))
	if _, err := loader(t, dir).Load(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "a.yaml:1:1: cannot be read: permission denied") {
		t.Errorf("got %v", err)
	}
}

// The program's own log and data may lie beside the rules, even among them: they must not keep it busy.
func TestOwnFilesAreNoise(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "rules/a.yaml", rule("a"), "rules/data/x", "", "rules/log.jsonl", "")
	r := watch(t, dir, setting{})
	log, err := os.OpenFile(filepath.Join(dir, "rules/log.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer log.Close()
	for range 100 {
		_, err := log.WriteString("x\n")
		must(t, err)
		write(t, dir, "other.log", "x", "rules/.a.swp", "x")
	}
	write(t, dir, "rules/a.yaml", rule("b"))
	r.runs("b")
	if n := len(r.sets()); n != 2 {
		t.Errorf("%d sets were swapped in, want 2", n)
	}
	for range 100 {
		_, err := log.WriteString("x\n")
		must(t, err)
	}
	// A write that matters would be looked at within the quiet time; give it three times as long.
	checked := r.State().CheckedAt
	time.Sleep(3 * quiet)
	if !r.State().CheckedAt.Equal(checked) {
		t.Error("writing to the log made the rules be read again")
	}
}

func TestMatchingNothingAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector empties pools at random")
	}
	f, err := Parse("r.yaml", []byte(crm+manyRules(0, 100)))
	must(t, err)
	set, err := Compile([]*File{f}, Options{Registry: registry(t)})
	must(t, err)
	cb := packet(t, "SdkAppid=1", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"somebody","To_Account":"else"}]}`)
	if n := testing.AllocsPerRun(200, func() { set.Match(nil, cb, 0) }); n >= 1 {
		t.Errorf("matching nothing allocates %v times", n)
	}
}
