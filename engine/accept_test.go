package engine

import (
	"bytes"
	"testing"
	"time"

	"github.com/aftermath-rules/aftermath/callback"
)

func TestKeyOf(t *testing.T) {
	base := func() *callback.Callback {
		return &callback.Callback{SdkAppid: 1, CallbackCommand: callback.Command, RequestId: "id", Body: []byte("{}")}
	}
	key := func(change func(*callback.Callback), senderRetries bool) (Key, time.Duration) {
		cb := base()
		change(cb)
		return keyOf(cb, time.Minute, senderRetries)
	}
	same, window := key(func(*callback.Callback) {}, false)
	if window != time.Minute {
		t.Errorf("the window is %s", window)
	}
	tests := []struct {
		name   string
		change func(*callback.Callback)
		same   bool
	}{
		{"nothing", func(*callback.Callback) {}, true},
		{"who sent it", func(c *callback.Callback) { c.ClientIP, c.Received = "::1", time.Now() }, true},
		{"app", func(c *callback.Callback) { c.SdkAppid = 2 }, false},
		{"command", func(c *callback.Callback) { c.CallbackCommand = "x" }, false},
		{"request", func(c *callback.Callback) { c.RequestId = "id2" }, false},
		{"body", func(c *callback.Callback) { c.Body = []byte("{ }") }, false},
		{"bytes moved from one field to the next", func(c *callback.Callback) { c.RequestId, c.Body = "id{", []byte("}") }, false},
	}
	for _, test := range tests {
		if k, _ := key(test.change, false); (k == same) != test.same {
			t.Errorf("another %s: same key %t, want %t", test.name, k == same, test.same)
		}
	}
	noID := func(c *callback.Callback) { c.RequestId = "" }
	a, window := key(noID, false)
	b, _ := key(noID, false)
	if a == b || window != 0 {
		t.Errorf("without a RequestId nothing is a repeat, but the window is %s", window)
	}
	a, window = key(noID, true)
	b, _ = key(noID, true)
	if a != b || window != 10*time.Second {
		t.Errorf("where the sender repeats: same %t, window %s", a == b, window)
	}
}

func TestIDs(t *testing.T) {
	at := time.Unix(1, 2)
	id := callbackID(Key{1}, at)
	if id != callbackID(Key{1}, at.UTC()) || id == callbackID(Key{2}, at) || id == callbackID(Key{1}, at.Add(1)) || len(id) != 32 {
		t.Errorf("callback id %q", id)
	}
	d := deliveryID(id, 0, "rule", "action", "")
	for _, other := range []string{
		deliveryID(id, 1, "rule", "action", ""), deliveryID(id, 0, "rulea", "ction", ""), deliveryID(id, 0, "rule", "action", "run1"),
		deliveryID("x", 0, "rule", "action", ""),
	} {
		if other == d {
			t.Errorf("two deliveries have the id %s", d)
		}
	}
}

func TestExcerptsAndClips(t *testing.T) {
	e := New(Options{})
	e.Mask.Add("hunter2hunter2")
	long := append(bytes.Repeat([]byte("x"), maxReceived-5), "hunter2hunter2"...)
	if got := e.excerpt(long, maxReceived); bytes.Contains(got, []byte("hunt")) || len(got) != maxReceived {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-10:])
	}
	if got := clip("ab\xff€€", 6); got != "ab\uFFFD…" {
		t.Errorf("clipped to %q", got)
	}
}
