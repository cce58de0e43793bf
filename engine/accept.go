package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

// senderRetryWindow is how long the same app, command and body count as one where the sender repeats what timed out.
const senderRetryWindow = 10 * time.Second

// Accept stores a callback. It returns nil once the callback is on stable storage, from where Run takes it; nothing else is done
// with it before.
func (e *Engine) Accept(ctx context.Context, cb *callback.Callback) error {
	r := &Record{Received: cb.Received.UTC(), Query: cb.Query, Body: cb.Body}
	r.Key, r.Window = keyOf(cb, e.Dedupe, e.SenderRetries)
	return e.Store.Accept(ctx, r)
}

// keyOf gives the key that tells repeats of a callback, and the window in which they count as such. Without a RequestId nothing
// is a repeat, since deleting, adding and deleting again looks the same, unless the sender is known to repeat.
func keyOf(cb *callback.Callback, dedupe time.Duration, senderRetries bool) (Key, time.Duration) {
	var window time.Duration
	switch {
	case cb.RequestId != "":
		window = max(dedupe, 0)
	case senderRetries:
		window = senderRetryWindow
	}
	var k Key
	if window == 0 {
		rand.Read(k[:]) // it never gives an error
		return k, 0
	}
	h := newDigest()
	h.number(cb.SdkAppid)
	h.text(cb.CallbackCommand)
	h.text(cb.RequestId)
	h.bytes(cb.Body)
	copy(k[:], h.sum())
	return k, window
}

// callbackID is the id of a stored callback. The time is in it, so that a repeat beyond the window is a callback of its own.
func callbackID(k Key, received time.Time) string {
	h := newDigest()
	h.bytes(k[:])
	h.number(received.UnixNano())
	return hex.EncodeToString(h.sum())
}

// deliveryID is the id of a delivery: the same whenever the same callback is read.
func deliveryID(callback string, pair int, rule, action, reprocess string) string {
	h := newDigest()
	h.text(callback)
	h.number(int64(pair))
	h.text(rule)
	h.text(action)
	if reprocess != "" {
		h.text(reprocess)
	}
	return hex.EncodeToString(h.sum())
}

// digest hashes fields one after the other, each with its length, so that no two lists of fields look alike.
type digest struct{ h hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) number(n int64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	d.h.Write(b[:])
}

func (d digest) bytes(b []byte) {
	d.number(int64(len(b)))
	d.h.Write(b)
}

func (d digest) text(s string) { d.bytes([]byte(s)) }

// sum gives the first 16 bytes.
func (d digest) sum() []byte { return d.h.Sum(nil)[:16] }

// ID names the callback.
func (r *Record) ID() string { return callbackID(r.Key, r.Received) }
