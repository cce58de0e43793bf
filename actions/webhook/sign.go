package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aftermath-rules/aftermath/actions"
)

// The headers of Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// parseSecret gives the key of a secret: the base64 behind whsec_, which may be left out, as the reference libraries read it.
func parseSecret(s string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(s), "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, errors.New("is no Standard Webhooks secret: write whsec_ and the base64 of 24 to 64 random bytes, " +
			`such as "whsec_$(openssl rand -base64 32)"`)
	}
	return key, nil
}

func parseSecrets(secrets []actions.Secret) ([][]byte, error) {
	var keys [][]byte
	var errs []error
	for i, secret := range secrets {
		key, err := parseSecret(secret.Reveal())
		if err != nil {
			errs = append(errs, fieldError("secrets."+strconv.Itoa(i), "%w", err))
		}
		keys = append(keys, key)
	}
	return keys, errors.Join(errs...)
}

// sign puts the three headers of Standard Webhooks on h: one signature for each key, so that a key can be changed without a gap.
// Without a key there is no signature.
func sign(h http.Header, keys [][]byte, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h[headerID] = []string{id}
	h[headerTimestamp] = []string{timestamp}
	if len(keys) == 0 {
		return
	}
	signatures := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	h[headerSignature] = []string{strings.Join(signatures, " ")}
}
