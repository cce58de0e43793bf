package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Carving finds the packs in the raw block files, without the server: that cuts a damaged block where the damage begins as soon as
// it opens it, and what is sound behind is gone then.

// found is one message that was carved.
type found struct {
	seq     uint64
	at      int64 // Unix nanoseconds
	ordinal uint64
	count   uint64
	proven  bool
}

// end is the ordinal of the record after it.
func (f *found) end() uint64 { return f.ordinal + f.count }

// carvedBlock is what is sound in one block file.
type carvedBlock struct {
	blockFile
	messages []found // by sequence number
	deleted  []uint64
	bad      []span
	torn     bool // all that is bad is one unfinished record at the end
}

func (b *carvedBlock) sound() bool { return len(b.bad) == 0 }

// highest gives the highest sequence number that the block speaks of.
func (b *carvedBlock) highest() uint64 {
	var most uint64
	if n := len(b.messages); n > 0 {
		most = b.messages[n-1].seq
	}
	for _, seq := range b.deleted {
		most = max(most, seq)
	}
	return most
}

// carveBlock looks through one block file. buf is memory to use; the grown one is returned.
func carveBlock(f blockFile, buf []byte) (*carvedBlock, []byte, error) {
	data, err := readInto(buf, f.path)
	if err != nil {
		return nil, buf, err
	}
	b := &carvedBlock{blockFile: f}
	unproven := 0
	b.bad = walkBlock(data, blockHash(f.stream, f.index), func(e *entry) {
		if !e.message() {
			b.deleted = append(b.deleted, e.seq)
			return
		}
		m := found{seq: e.seq, at: e.at, proven: e.proven}
		if len(e.data) >= headSize && string(e.data[:4]) == packMagic {
			m.ordinal, m.count = ordinalOf(e.data)
			if !e.proven {
				m.at = int64(binary.BigEndian.Uint64(e.data[24:]))
			}
		}
		if !e.proven {
			unproven++
		}
		b.messages = append(b.messages, m)
	})
	b.torn = len(b.bad) == 1 && b.bad[0].to == len(data) && unproven == 0
	return b, data[:0], nil
}

// readInto reads a file into buf's memory, where that is large enough.
func readInto(buf []byte, path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
	n, err := f.ReadAt(buf, 0)
	if n == len(buf) {
		return buf, nil
	}
	return nil, fmt.Errorf("%s: %d of %d bytes: %w", path, n, len(buf), err)
}

// carvedStream is what is sound in the files of one stream.
type carvedStream struct {
	name   string
	dir    string
	meta   error // what is wrong with its meta.inf
	blocks []*carvedBlock
}

// carveStream looks through all block files of a stream. A folder that is not there is a stream without any.
func carveStream(o *Options, name string) (*carvedStream, error) {
	s := &carvedStream{name: name, dir: streamDir(o, name)}
	if s.meta = metaSound(name, s.dir); s.meta != nil && !errors.Is(s.meta, fs.ErrNotExist) {
		s.meta = fmt.Errorf("%s: %w", s.dir, s.meta)
	}
	files, err := blockFiles(name, s.dir)
	if err != nil {
		return nil, err
	}
	var buf []byte
	for _, f := range files {
		var b *carvedBlock
		if b, buf, err = carveBlock(f, buf); err != nil {
			return nil, err
		}
		s.blocks = append(s.blocks, b)
	}
	s.place()
	return s, nil
}

// place gives the messages whose records are damaged a sequence number: in a chain the one that their ordinal asks for, next to a
// neighbour; else between their neighbours their own where that fits, the next one otherwise. One that fits nowhere gets 0, and is left
// out.
func (s *carvedStream) place() {
	all := s.messages()
	placed := make([]bool, len(all))
	for i, m := range all {
		placed[i] = m.proven
	}
	if isChain(s.name) {
		placeByOrdinal(all, placed)
	}
	var last uint64
	for i, m := range all {
		if placed[i] {
			last = max(last, m.seq)
			continue
		}
		next := ^uint64(0)
		for j := i + 1; j < len(all); j++ {
			if placed[j] {
				next = all[j].seq
				break
			}
		}
		switch {
		case last < m.seq && m.seq < next && (next != ^uint64(0) || m.seq-last < 1<<20):
		case last+1 < next:
			m.seq = last + 1
		default:
			m.seq = 0
			continue
		}
		last = m.seq
	}
}

// placeByOrdinal places the messages that go on where a placed one ends, or that end where a placed one begins.
func placeByOrdinal(all []*found, placed []bool) {
	for i := 1; i < len(all); i++ {
		if !placed[i] && placed[i-1] && all[i].ordinal == all[i-1].end() {
			all[i].seq, placed[i] = all[i-1].seq+1, true
		}
	}
	for i := len(all) - 2; i >= 0; i-- {
		if !placed[i] && placed[i+1] && all[i].end() == all[i+1].ordinal {
			all[i].seq, placed[i] = all[i+1].seq-1, true
		}
	}
}

// messages gives all messages, in order.
func (s *carvedStream) messages() []*found {
	var all []*found
	for _, b := range s.blocks {
		for i := range b.messages {
			all = append(all, &b.messages[i])
		}
	}
	return all
}

// highest gives the highest sequence number that the stream speaks of.
func (s *carvedStream) highest() uint64 {
	var most uint64
	for _, b := range s.blocks {
		most = max(most, b.highest())
	}
	return most
}

// lastMessage gives the sequence number of the last message, deleted or not.
func (s *carvedStream) lastMessage() uint64 {
	var last uint64
	for _, b := range s.blocks {
		for i := range b.messages {
			last = max(last, b.messages[i].seq)
		}
	}
	return last
}

// deleted gives the sequence numbers of the messages that were deleted.
func (s *carvedStream) deleted() map[uint64]bool {
	all := make(map[uint64]bool)
	for _, b := range s.blocks {
		for _, seq := range b.deleted {
			all[seq] = true
		}
	}
	return all
}

// each gives the live messages of a stream with their bytes, in order.
func (s *carvedStream) each(f func(m *found, e *entry) error) error {
	deleted := s.deleted()
	for _, b := range s.blocks {
		if err := b.each(func(m *found, e *entry) error {
			if deleted[m.seq] {
				return nil
			}
			return f(m, e)
		}); err != nil {
			return fmt.Errorf("stream %s: %w", s.name, err)
		}
	}
	return nil
}

// each reads the block's messages again, with their bytes.
func (b *carvedBlock) each(f func(m *found, e *entry) error) error {
	data, err := os.ReadFile(b.path)
	if err != nil {
		return err
	}
	i := 0
	walkBlock(data, blockHash(b.stream, b.index), func(e *entry) {
		if err != nil || !e.message() {
			return
		}
		if i == len(b.messages) {
			err = fmt.Errorf("%s changes while it is read", b.path)
			return
		}
		m := &b.messages[i]
		i++
		err = f(m, e)
	})
	return err
}

// gap is a stretch of a chain that is missing: messages from and to, both included, that held the records from an ordinal on.
type gap struct {
	Stream  string    `json:"stream"`
	From    uint64    `json:"from"` // the first message that is missing
	To      uint64    `json:"to"`
	Ordinal uint64    `json:"ordinal"` // of the first record that is missing
	Records uint64    `json:"records"`
	After   time.Time `json:"after,omitzero"` // what is missing was stored after this
	Before  time.Time `json:"before"`         // and before this
}

// chainWalk holds the messages of a chain (accept, outcomes) against each other: numbers and ordinals must go on without a gap,
// but for those that are known.
type chainWalk struct {
	stream string
	known  func(from, to uint64) bool
	last   *found
	gaps   []gap
}

// add takes the next message.
func (w *chainWalk) add(m *found) {
	if w.last != nil && (m.seq != w.last.seq+1 || m.ordinal != w.last.end()) && !w.known(w.last.seq+1, m.seq-1) {
		g := gap{
			Stream: w.stream, From: w.last.seq + 1, To: m.seq - 1, Ordinal: w.last.end(),
			After: time.Unix(0, w.last.at).UTC(), Before: time.Unix(0, m.at).UTC(),
		}
		if m.ordinal > g.Ordinal {
			g.Records = m.ordinal - g.Ordinal
		}
		w.gaps = append(w.gaps, g)
	}
	c := *m
	w.last = &c
}

// finish takes how far the chain must reach: its last message and the ordinal after it.
func (w *chainWalk) finish(seq, ordinal uint64, when time.Time) {
	var last found
	if w.last != nil {
		last = *w.last
	}
	if last.seq >= seq || w.known(last.seq+1, seq) {
		return
	}
	g := gap{Stream: w.stream, From: last.seq + 1, To: seq, Ordinal: last.end(), Before: when}
	if last.at != 0 {
		g.After = time.Unix(0, last.at).UTC()
	}
	if ordinal > g.Ordinal {
		g.Records = ordinal - g.Ordinal
	}
	w.gaps = append(w.gaps, g)
}
