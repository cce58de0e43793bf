// Package email is the action type that sends a delivery as mail, over SMTP, in one transaction a recipient: so who has had it
// is not sent it again.
package email
