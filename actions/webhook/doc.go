// Package webhook is the action type that posts a delivery to a URL, signed as Standard Webhooks asks
// (https://www.standardwebhooks.com).
package webhook
