package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
	"github.com/aftermath-rules/aftermath/internal/failpoint"
)

// senderRetryWindow is how long the same app, command and body count as one where the sender repeats what timed out.
const senderRetryWindow = 10 * time.Second

// Accept stores a callback. It returns nil once the callback is on stable storage, from where Run takes it; nothing else is done
// with it before.
func (e *Engine) Accept(ctx context.Context, cb *callback.Callback) error {
	r := &Record{Received: cb.Received.UTC(), Query: cb.Query, Body: cb.Body}
	r.Key, r.Window = keyOf(cb, e.Dedupe, e.SenderRetries)
	if err := e.Store.Accept(ctx, r); err != nil {
		return err
	}
	failpoint.Pass(failpoint.Answer)
	return nil
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
	d := newDigest(nil)
	d.number(cb.SdkAppid)
	d.text(cb.CallbackCommand)
	d.text(cb.RequestId)
	return d.key(cb.Body), window
}

// callbackID is the id of a stored callback. The time is in it, so that a repeat beyond the window is a callback of its own.
func callbackID(k Key, received time.Time) string {
	var room [128]byte
	d := newDigest(room[:0])
	d.text(string(k[:]))
	d.number(received.UnixNano())
	return d.id()
}

// deliveryID is the id of a delivery: the same whenever the same callback is read.
func deliveryID(callback string, pair int, rule, action, reprocess string) string {
	var room [256]byte
	d := newDigest(room[:0])
	d.text(callback)
	d.number(int64(pair))
	d.text(rule)
	d.text(action)
	if reprocess != "" {
		d.text(reprocess)
	}
	return d.id()
}

// digest hashes fields one after the other, each with its length, so that no two lists of fields look alike.
type digest struct{ b []byte }

// newDigest begins a digest in room, which saves an allocation where the fields fit into it.
func newDigest(room []byte) digest { return digest{room} }

func (d *digest) number(n int64) { d.b = binary.BigEndian.AppendUint64(d.b, uint64(n)) }

func (d *digest) text(s string) {
	d.number(int64(len(s)))
	d.b = append(d.b, s...)
}

// id gives the first 16 bytes in hex.
func (d *digest) id() string {
	sum := sha256.Sum256(d.b)
	return hex.EncodeToString(sum[:16])
}

// key gives the first 16 bytes with one more field, which may be large and is not copied.
func (d *digest) key(last []byte) (k Key) {
	d.number(int64(len(last)))
	h := sha256.New()
	h.Write(d.b)
	h.Write(last)
	copy(k[:], h.Sum(nil))
	return k
}

// ID names the callback.
func (r *Record) ID() string { return callbackID(r.Key, r.Received) }
