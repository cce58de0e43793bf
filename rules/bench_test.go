package rules

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/aftermath-rules/aftermath/callback"
)

// conditions are n conditions of which none matches the pairs of benchmarks: six in ten on equality, the rest on prefixes and parts.
func conditions(n int) []string {
	out := make([]string, n)
	for i := range out {
		switch i % 10 {
		case 0, 1, 2, 3, 4, 5:
			out[i] = fmt.Sprintf(`From_Account == "user_%d" && OptPlatform != "RESTAPI"`, i)
		case 6, 7:
			out[i] = fmt.Sprintf(`To_Account startsWith "team%d_"`, i)
		default:
			out[i] = fmt.Sprintf(`From_Account contains "part%d" or PairCount > %d`, i, 1000+i)
		}
	}
	return out
}

func manyRules(from, n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i, c := range conditions(n) {
		fmt.Fprintf(&b, "  - name: rule-%d\n    condition: %s\n    actions: [crm]\n", from+i, c)
	}
	return b.String()
}

const crm = "actions:\n  crm: {type: note, message: hi}\n"

func benchSet(b *testing.B, n int) *RuleSet {
	f, err := Parse("r.yaml", []byte(crm+manyRules(0, n)))
	if err != nil {
		b.Fatal(err)
	}
	set, err := Compile([]*File{f}, Options{Registry: registry(b)})
	if err != nil {
		b.Fatal(err)
	}
	return set
}

func benchCallback(b *testing.B) *callback.Callback {
	return packet(b, "SdkAppid=1&OptPlatform=iOS", `{"CallbackCommand":"Sns.CallbackFriendDelete","PairList":[{"From_Account":"somebody","To_Account":"else"},{"From_Account":"another","To_Account":"one"}]}`)
}

// BenchmarkMatch matches a packet of two pairs, beside the naive way: a program for each rule and a map made for each pair.
func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set, cb := benchSet(b, n), benchCallback(b)
			var dst []Match
			b.ReportAllocs()
			for b.Loop() {
				for pair := range cb.Pairs {
					if dst = set.Match(dst[:0], cb, pair); len(dst) > 0 {
						b.Fatal("a rule matched")
					}
				}
			}
		})
		b.Run(fmt.Sprintf("naive/rules=%d", n), func(b *testing.B) {
			cb := benchCallback(b)
			var programs []*vm.Program
			for _, c := range conditions(n) {
				p, err := expr.Compile(c, expr.AsBool(), expr.Env(naiveEnv(cb, 0)))
				if err != nil {
					b.Fatal(err)
				}
				programs = append(programs, p)
			}
			var machine vm.VM
			b.ReportAllocs()
			for b.Loop() {
				for pair := range cb.Pairs {
					env := naiveEnv(cb, pair)
					for _, p := range programs {
						if out, err := machine.Run(p, env); err != nil || out.(bool) {
							b.Fatal("a rule matched")
						}
					}
				}
			}
		})
	}
}

func naiveEnv(cb *callback.Callback, pair int) map[string]any {
	return map[string]any{
		"From_Account": cb.Pairs[pair].From, "To_Account": cb.Pairs[pair].To, "CallbackCommand": cb.CallbackCommand,
		"ClientIP": cb.ClientIP, "OptPlatform": cb.OptPlatform, "RequestId": cb.RequestId, "SdkAppid": int(cb.SdkAppid),
		"PairCount": len(cb.Pairs), "PairIndex": pair, "Mutual": cb.Mutual(pair), "Time": cb.Received,
	}
}

// BenchmarkReload reads, parses and compiles a thousand rules from disk.
func BenchmarkReload(b *testing.B) {
	one, many := b.TempDir(), b.TempDir()
	write(b, one, "a.yaml", crm+manyRules(0, 1000))
	write(b, many, "a.yaml", crm)
	for i := range 1000 {
		write(b, many, filepath.Join(fmt.Sprint(i%10), fmt.Sprintf("%d.yaml", i)), manyRules(i, 1))
	}
	for _, layout := range []struct{ name, dir string }{{"files=1", one}, {"files=1000", many}} {
		b.Run(layout.name, func(b *testing.B) {
			l := loader(b, layout.dir)
			prev := reload(b, l, nil)
			for b.Loop() {
				reload(b, l, prev)
			}
		})
	}
}

func reload(b *testing.B, l *Loader, prev *RuleSet) *RuleSet {
	set, err := l.Load(b.Context(), prev)
	if err != nil || len(set.Rules) != 1000 {
		b.Fatalf("%v", err)
	}
	return set
}

// BenchmarkReloadMegabyte reloads one file of a megabyte of which a line has changed: the change must be live within 1 s of the
// last write, 300 ms of which are spent waiting for quiet.
func BenchmarkReloadMegabyte(b *testing.B) {
	dir := b.TempDir()
	text := crm + manyRules(0, 9000)
	write(b, dir, "a.yaml", text)
	l := loader(b, dir)
	prev, err := l.Load(b.Context(), nil)
	must(b, err)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_, err := l.Load(b.Context(), prev)
		must(b, err)
	}
}
