package spool

import (
	"slices"
	"sync"
	"time"

	"github.com/aftermath-rules/aftermath/engine"
)

// held is what the spool holds alone, and how the cluster is.
type held struct {
	seq uint64 // the mover's: of the pack that is handed on next

	mu        sync.Mutex
	callbacks int
	bytes     int
	oldest    time.Time // of those held when it began, or of the pack handed on last
	next      uint64    // the ordinal of the first that is not handed on
	handed    uint64    // since the outage began
	since     time.Time // of the outage; zero: there is none
	why       error     // the cluster takes nothing
	unacked   []unacked // what the spool's reader has given and is not handed on yet
}

func (h *held) add(callbacks, bytes int, received time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.callbacks == 0 || received.Before(h.oldest) {
		h.oldest = received
	}
	h.callbacks += callbacks
	h.bytes += bytes
}

func (h *held) remove(callbacks, bytes int, received time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.callbacks -= callbacks
	h.bytes -= bytes
	h.handed += uint64(callbacks)
	h.oldest = received // they come in order, so those that follow are hardly older
}

// unacked is a pack that the spool's reader has given.
type unacked struct {
	end uint64 // the ordinal after it
	ack func()
}

// read takes down what the spool's reader has given: it is acked once it is handed on.
func (h *held) read(end uint64, ack func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unacked = append(h.unacked, unacked{end, ack})
	h.ack()
}

// moved takes down that all before the ordinal next are handed on.
func (h *held) moved(next uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = next
	h.ack()
}

func (h *held) ack() {
	h.unacked = slices.DeleteFunc(h.unacked, func(u unacked) bool {
		if u.end > h.next {
			return false
		}
		u.ack()
		return true
	})
}

func (h *held) upTo() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

// begin notes that the cluster takes nothing; it tells whether it did until now.
func (h *held) begin(why error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.why = why
	if !h.since.IsZero() {
		return false
	}
	h.since, h.handed = time.Now(), 0
	return true
}

// because notes why the cluster takes nothing, where it does not.
func (h *held) because(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.since.IsZero() {
		h.why = why
	}
}

// end notes that the cluster takes callbacks; it gives how many were handed on, and since when it did not, zero where it did.
func (h *held) end() (handed uint64, since time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handed, since = h.handed, h.since
	h.since, h.why = time.Time{}, nil
	return handed, since
}

func (h *held) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.why
}

// status gives what is held.
func (h *held) status() *engine.SpoolStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &engine.SpoolStatus{Callbacks: uint64(max(h.callbacks, 0)), Bytes: uint64(max(h.bytes, 0)), Since: h.since}
	if h.callbacks > 0 {
		s.Oldest = h.oldest
	}
	if h.why != nil {
		s.Away = h.why.Error()
	}
	return s
}
