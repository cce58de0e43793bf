package rules

import (
	"bytes"
	"errors"
	"testing"
)

// Whatever a rules file holds, loading it ends without a panic, and every problem has a place within the file.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(rule("a")))
	f.Add([]byte("lists:\n  vips: [a, 0x1]\nactions:\n  crm: {type: note, message: \"{{ From_Account }}\"}\nrules: []\n"))
	f.Add([]byte("x-a: &a {type: note, message: hi}\nrules:\n- {name: r, condition: !!str true, actions: [*a, {<<: *a, name: b}], labels: {a: b}}\n"))
	f.Add([]byte("rules:\n  - name: r\n    condition: >\n      Mutual &&\n\n      Nope\n    actions: [a, a]\n"))
	f.Add([]byte("lists: {in: {file: ../../etc/passwd}, l: {file: \"\"}}\nrules: [{condition: [}]"))
	f.Add([]byte("rules:\n- name: é\n  condition: \"'\\u00e9' == x\"\n  actions: [{type: note, message: '{{'}]\n  callbacks: 1\n"))
	reg := registry(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := bytes.Count(data, []byte("\n")) + 1
		check := func(err error) {
			var ps Problems
			if err != nil && !errors.As(err, &ps) {
				t.Fatalf("the error is no Problems: %v", err)
			}
			for _, p := range ps {
				if p.File != "f.yaml" || p.Line < 1 || p.Line > lines || p.Column < 1 || p.Message == "" {
					t.Errorf("a problem without a place in the file of %d lines: %+v", lines, p)
				}
			}
		}
		file, err := Parse("f.yaml", data)
		check(err)
		if file == nil {
			if err == nil {
				t.Error("neither a file nor an error")
			}
			return
		}
		set, compiled := Compile([]*File{file}, Options{Registry: reg})
		check(compiled)
		if err != nil && compiled == nil {
			t.Errorf("Compile forgot what Parse had reported: %v", err)
		}
		if compiled != nil {
			return
		}
		cb := packet(t, "SdkAppid=1", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"a","To_Account":"b"}]}`)
		set.Match(nil, cb, 0)
	})
}
