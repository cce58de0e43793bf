package email

import (
	"testing"

	"github.com/aftermath-rules/aftermath/actions/actionstest"
)

func TestConformance(t *testing.T) {
	actionstest.Run(t, Type(), actionstest.Config{
		Good: []string{
			"to: [ops@example.com]\ntext: '{{ From_Account }} removed {{ To_Account }}'",
			"to: ['\"{{ From_Account }}\" <ops@example.com>']\ncc: [a@example.com, b@example.com]\nsubject: 'VIP {{ From_Account }}'\n" +
				"html: '<p title=\"{{ To_Account }}\">{{ From_Account }}</p>'\nheaders: {X-Who: '{{ From_Account }}', X-Key: '${env:MAIL_KEY}'}",
			"bcc: ['{{ From_Account }}@example.com']\ntext: x\nhost: 127.0.0.1\nport: 1\ntls: implicit\nusername: u\npassword: '${env:SMTP_PASSWORD}'",
		},
		Bad: []string{
			"text: x",
			"to: [ops@example.com]",
			"to: ['{{ From_Account }}']\ntext: x",
			"to: ['a@example.com, b@example.com']\ntext: x",
			"to: [a@example.com]\ntext: x\ntls: startls",
			"to: [a@example.com]\ntext: x\nheaders: {Bcc: b@example.com}",
			"to: [a@example.com]\nhtml: '<a href=\"{{ From_Account }}\">x</a>'",
		},
		Secrets: map[string]string{"MAIL_KEY": "canary-1d44e0aa", "SMTP_PASSWORD": "canary-77b0c2f3"},
	})
}
