package lang

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// sameAsTree fails unless what is read quickly is what the condition's tree comes to. It tells whether it was read quickly.
func sameAsTree(t interface{ Fatalf(string, ...any) }, src string) bool {
	s := sampleScope()
	formula, lists, ok := readQuickly(src, s)
	if !ok {
		return false
	}
	want, errs := compileCondition(src, s)
	if errs != nil {
		t.Fatalf("%q is read quickly, but its tree says: %s", src, messages(errs))
	}
	if !reflect.DeepEqual(formula, want.formula) || !slices.Equal(lists, want.lists) {
		t.Fatalf("%q comes quickly to %+v %v, its tree to %+v %v", src, formula, lists, want.formula, want.lists)
	}
	return true
}

func TestQuick(t *testing.T) {
	for _, src := range []string{
		`From_Account == "a"`, `From_Account=='a'and To_Account!="b"`, "OptPlatform startsWith `a\\`", `To_Account endsWith "" or ClientIP contains "x"`,
		`From_Account in ["b", "a", "b"] && RequestId not in ['x']`, `From_Account in vips || To_Account not in staff`, `Mutual and not Mutual && !(Mutual or not (PairCount > 3))`,
		"From_Account < 'm' or To_Account>=\"b\" || RequestId <=``and ClientIP> '9'", `lower(From_Account) < "M" && upper(To_Account) >= ""`,
		`SdkAppid == 1400000000 && PairIndex <= 0 && PairCount != 2 && PairCount<3 && PairCount>=1`, "\n(From_Account\t== \"é\")\r\n", `CallbackCommand == ""`,
		`lower(OptPlatform) == "ios"`, `lower( From_Account )in['a','B'] or upper(To_Account) not in vips`, `upper(ClientIP) startsWith "A" && lower(RequestId) != 'É'`, `lower(To_Account) contains "ÿ"`,
	} {
		if !sameAsTree(t, src) {
			t.Errorf("%s is not read quickly", src)
		}
	}
}

// pieces of conditions: those that are read quickly, and what is close to them.
var pieces = []string{"From_Account", "To_Account", "OptPlatform", "PairCount", "SdkAppid", "Mutual", "Time", "vips", "staff", "nobody", "true", "==", "!=", "<=", ">=", "<", ">", "=",
	"startsWith", "endsWith", "contains", "in", "not", "not in", "matches", "and", "or", "&&", "||", "!", "(", ")", "[", "]", ",", `"a"`, `'b'`, "`c`", `""`, `"a\"b"`, "'\n'", "``", "0", "7", "012",
	"1_0", "2.5", "3e", "99999999999999999999", "-1", "a", ".", "?", ":", "#", "/*", "é", "len", "[\"a\", \"b\"]", "['z', `y`, 'z']", "[]", "[1]", "From_Account == \"x\"", "To_Account in vips",
	"PairCount > 1", "(Mutual)", "not Mutual", "lower(From_Account)", "upper(", "lower(vips)", "lower (To_Account ) == 'İ'", "lower"}

func TestQuickIsTheTree(t *testing.T) {
	read, all := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		src := "From_Account == 'x'"
		for range rapid.IntRange(0, 3).Draw(t, "operands") {
			src += rapid.SampledFrom([]string{" && ", " or ", "||", " and "}).Draw(t, "join") +
				rapid.SampledFrom([]string{"To_Account in vips", "(Mutual || PairCount > 3)", "ClientIP startsWith '10.'", "not (Mutual)", "OptPlatform not in ['a', 'b']"}).Draw(t, "operand")
		}
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			at := rapid.IntRange(0, len(src)).Draw(t, "at")
			end := min(len(src), at+rapid.SampledFrom([]int{0, 0, 0, 1, 2, 7}).Draw(t, "cut"))
			space := rapid.SampledFrom([]string{" ", " ", ""}).Draw(t, "space")
			src = src[:at] + space + rapid.SampledFrom(pieces).Draw(t, "piece") + space + src[end:]
		}
		all++
		if sameAsTree(t, src) {
			read++
		}
	})
	if read < all/10 {
		t.Errorf("only %d of %d were read quickly, so that this shows little", read, all)
	}
}

func FuzzQuick(f *testing.F) {
	for _, p := range pieces {
		f.Add("From_Account == 'x' && " + p)
		f.Add("From_Account " + p)
	}
	f.Fuzz(func(t *testing.T, src string) { sameAsTree(t, src) })
}
