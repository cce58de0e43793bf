package history

import (
	"sync"

	"github.com/aftermath-rules/aftermath/engine"
)

// fresh is what this process has just recorded and the file does not have yet. It spares reading it back from the stream and decoding
// it; where it is not all there is, the stream is read.
type fresh struct {
	mu     sync.Mutex
	packs  []engine.EventPack
	events int
}

// maxFresh is how many events are held, some 15 MB. What comes beyond it comes from the stream later.
const maxFresh = 2 * maxEvents

// put takes a pack in, where there is room.
func (f *fresh) put(seq uint64, events []engine.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.events+len(events) > maxFresh {
		return
	}
	f.packs = append(f.packs, engine.EventPack{Seq: seq, Events: lean(events)})
	f.events += len(events)
}

// lean gives events without what the file does not have, which is the larger part of them.
func lean(events []engine.Event) []engine.Event {
	out := make([]engine.Event, len(events))
	for i, ev := range events {
		if ev.Ended != nil {
			d := *ev.Ended
			d.Sent, d.Received, d.Detail = nil, nil, ""
			ev.Ended = &d
		}
		out[i] = ev
	}
	return out
}

// take gives the packs that follow on the one of the number, without a gap; what is behind a gap is dropped.
func (f *fresh) take(after uint64) []engine.EventPack {
	f.mu.Lock()
	packs := f.packs
	f.packs, f.events = nil, 0
	f.mu.Unlock()
	for len(packs) > 0 && packs[0].Seq <= after {
		packs = packs[1:]
	}
	for i := range packs {
		if packs[i].Seq != after+uint64(i)+1 {
			return packs[:i]
		}
	}
	return packs
}
