package email

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	got := actionstest.Problems(t, Type(), `to: []
subject: hello
headers: {Bcc: evil@example.com, Content-Type: text/x}
host: mail.example.com
port: 70000
`)
	want := []string{
		"action.yaml:1:1: text: is missing: a mail needs text, html or both",
		"action.yaml:2:5: to: is missing: a mail needs a recipient in to, cc or bcc",
		"action.yaml:4:16: headers.Bcc: Bcc can't be set here: use the action's own fields, or leave it to aftermath",
		"action.yaml:4:48: headers.Content-Type: Content-Type can't be set here: use the action's own fields, or leave it to aftermath",
		"action.yaml:6:7: port: 70000 is no port",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
