package webhook

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	got := actionstest.Problems(t, Type(), `url: https://crm.example.com/
method: GET
body: hello
headers: {Host: x, a b: y, Webhook-Id: z}
secrets: [c2VjcmV0, "%", "?"]
cert: client.pem
`)
	want := []string{
		"action.yaml:4:7: body: a GET request has no body",
		"action.yaml:5:17: headers.Host: Host is set by aftermath itself and can't be configured",
		`action.yaml:5:25: headers.a b: "a b" is no name of a header`,
		"action.yaml:5:40: headers.Webhook-Id: Webhook-Id is set by aftermath itself and can't be configured",
		"action.yaml:6:21: secrets.1: " + noSecret,
		"action.yaml:6:26: secrets.2: " + noSecret,
		"action.yaml:7:7: cert: a client certificate needs its private key: set key too",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

const noSecret = "is no Standard Webhooks secret: write whsec_ and the base64 of 24 to 64 random bytes, " +
	`such as "whsec_$(openssl rand -base64 32)"`
