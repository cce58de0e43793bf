package rules

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// built is all that can be seen of what a build gave.
func built(set *RuleSet, err error) string {
	var ps Problems
	if errors.As(err, &ps) {
		return "problems:\n" + ps.Error()
	}
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nwarnings:\n%s\n", set.Hash, set.Warnings.Error())
	for _, r := range set.Rules {
		fmt.Fprintf(&b, "%s:%d %v %q if %q does %q %q %t %t %t %q\n", r.File, r.Line, r.at, r.Name, r.Condition, r.Actions, r.Description, r.Stop, r.Enabled, r.Shadow, r.FoundBy)
		if set.byName[r.Name] != r {
			fmt.Fprintf(&b, "%s is not found by its name\n", r.Name)
		}
	}
	for _, a := range set.Instances() {
		fmt.Fprintf(&b, "action %s %s\n", a.Name, a.Type)
	}
	return b.String()
}

// Whatever is done to a large file, and done to it again: what is loaded beside the set from before is what a fresh load gives.
func TestEditIsAFreshLoad(t *testing.T) {
	entries := []string{
		"  - name: r%d\n    condition: From_Account == \"a%[1]d\"\n    actions: [crm]\n",
		"  - name: r%d\n    condition: 'To_Account in vips'\n    actions: [crm]\n    labels: {team: care}\n\n",
		"  # a comment\n  - condition: |\n      Mutual &&\n      PairCount > %d\n    name: r%[1]d\n    actions:\n      - crm\n      - {type: note, message: 'hi {{ From_Account }}'}\n",
		"  - {name: r%d, condition: \"true\", actions: [crm], stop: true}\n",
		"  - name: r%d\n    condition: >-\n      Mutual\n      || false\n    actions: [crm, {type: note, message: x}] # comment\n",
	}
	pieces := []string{"", "\n", "\n\n", "  ", "'", "\"", "[", "{", "|\n", " # x\n", "\n# y\n", "- ", "\t", "\r\n", "\ufeff", "&x ", "*x", "lists: {}\n", "actions: {}\n", "rules:\n", "---\n", "x", "é",
		"    stop: true\n", "    shadow: true\n", "    enabled: false\n", "  - name: r2\n", "  - name: new\n    condition: Mutual\n    actions: [crm]\n", "      && Mutual\n", "    nope: 1\n", "vips", "Nope",
		"    description: y\n", "    labels: {a: b}\n", "# z\n", "  - {name: z, condition: Mutual, actions: [crm]}\n"}
	carried, sound := 0, 0
	l := loader(t, "rules")
	rapid.Check(t, func(t *rapid.T) {
		text := "lists: {vips: [x, y]}\nactions:\n  crm: {type: note, message: hi}\nrules:\n"
		of := entries[:rapid.SampledFrom([]int{len(entries) - 1, len(entries) - 1, len(entries)}).Draw(t, "of")] // the last one only the parser reads
		for i := range rapid.IntRange(2, 10).Draw(t, "rules") {
			text += fmt.Sprintf(rapid.SampledFrom(of).Draw(t, "rule"), i)
		}
		build := func(text string, prev *RuleSet) (*RuleSet, error) {
			other := newSource("rules/b.yaml", "b.yaml", "/rules/b.yaml", []byte("rules:\n  - name: other\n    condition: Mutual\n    actions: [crm]\n"))
			set, _, err := l.build(&snapshot{files: []source{newSource("rules/a.yaml", "a.yaml", "/rules/a.yaml", []byte(text)), other}, reader: newReader(nil, usualBounds.inputs)}, prev)
			return set, err
		}
		set, _ := build(text, nil)
		for range 3 {
			before := text
			for range rapid.SampledFrom([]int{1, 1, 2, 0}).Draw(t, "edits") {
				at := rapid.IntRange(0, len(text)).Draw(t, "at")
				if rapid.IntRange(0, 3).Draw(t, "whole lines") > 0 {
					at = strings.LastIndexByte(text[:at], '\n') + 1
				}
				end := min(len(text), at+rapid.SampledFrom([]int{0, 0, 0, 0, 1, 3, 40, 120}).Draw(t, "cut"))
				text = text[:at] + rapid.SampledFrom(pieces).Draw(t, "put") + text[end:]
			}
			next, err := build(text, set)
			if diff := cmp.Diff(built(build(text, nil)), built(next, err)); diff != "" {
				t.Fatalf("a fresh load differs (-fresh +edit):\n%s\nof\n%s\nedited from\n%s", diff, text, before)
			}
			if next == nil {
				text = before
				continue
			}
			if set != nil && next.Hash != set.Hash {
				sound++
				if taken(set, next) {
					carried++
				}
			}
			set = next
		}
	})
	if carried < sound/3 {
		t.Errorf("only %d of %d edits took rules over, so that this shows little", carried, sound)
	}
}

// taken tells that a rule of the first file was taken over although the file changed.
func taken(before, now *RuleSet) bool {
	for _, r := range now.Rules {
		if old := before.byName[r.Name]; r.Name != "other" && old != nil && &old.Actions[0] == &r.Actions[0] {
			return true
		}
	}
	return false
}

// Many edits of a large file, each of another rule, leave no more in memory than the last.
func TestEditsLeaveNothing(t *testing.T) {
	const rules, edits = 2000, 50
	dir := t.TempDir()
	text := crm + bigRules(0, rules)
	write(t, dir, "a.yaml", text)
	l := loader(t, dir)
	set := loadRules(t, l, nil)
	before := heap()
	for i := range edits {
		text = strings.Replace(text, fmt.Sprintf("name: rule-%d\n", i*20), fmt.Sprintf("name: edited-%d\n", i*20), 1)
		write(t, dir, "a.yaml", text)
		set = loadRules(t, l, set)
	}
	if grown, limit := heap()-before, int64(len(text))*5; grown > limit {
		t.Errorf("%d edits of a file of %d bytes left %d bytes, more than %d", edits, len(text), grown, limit)
	}
	runtime.KeepAlive(set)
}
