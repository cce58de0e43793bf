package webhook

import (
	"testing"

	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func TestConformance(t *testing.T) {
	actionstest.Run(t, Type(), actionstest.Config{
		Good: []string{
			"url: http://127.0.0.1:1/hooks\nsecrets: ['${env:CRM_SECRET}']",
			"url: http://127.0.0.1:1/u/{{ From_Account }}?q={{ To_Account }}\nheaders: {Authorization: 'Bearer ${env:CRM_TOKEN}', X-Who: '{{ From_Account }}'}\n" +
				"body: {who: '{{ From_Account }}', n: '{{ PairCount }}', token: '${env:CRM_TOKEN}'}\nfollow_redirects: true",
			"url: http://127.0.0.1:1/?token=${env:CRM_TOKEN}\nmethod: GET",
		},
		Bad: []string{
			"method: POST",
			"url: https://{{ From_Account }}/",
			"url: http://127.0.0.1:1/\nsecrets: ['not base64']",
			"url: http://127.0.0.1:1/\nsecrets: ['${env:NOT_SET_ANYWHERE}']",
			"url: http://127.0.0.1:1/\nheaders: {webhook-id: x}",
			"url: http://127.0.0.1:1/\nca: /none.pem",
		},
		Secrets: map[string]string{"CRM_SECRET": secretA, "CRM_TOKEN": "canary-9f2b7c41"},
	})
}
