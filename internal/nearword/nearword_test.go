package nearword

import (
	"strings"
	"testing"
)

func TestHint(t *testing.T) {
	known := []string{"From_Account", "To_Account", "CRM", "crm", "pagxr", "pager", "mail-care", "in"}
	for _, test := range []struct{ name, word, want string }{
		{"a letter is missing", "From_Acount", "From_Account"},
		{"another case", "from_account", "From_Account"},
		{"two letters are swapped", "pgaer", "pager"},
		{"one letter of three is wrong", "crn", "crm"},
		{"another sign", "mail_care", "mail-care"},
		{"nothing is close", "webhook", ""},
		{"nothing in common with a short word", "on_", ""},
		{"two are as close", "pagir", "pager"},
		{"two are as close but for their case", "crn", "crm"},
		{"empty", "", ""},
		{"far too long", strings.Repeat("From_Account", 10), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := ""
			if test.want != "" {
				want = "; did you mean " + test.want + "?"
			}
			if got := Hint(test.word, known); got != want {
				t.Errorf("%q: got %q, want %q", test.word, got, want)
			}
		})
	}
}
