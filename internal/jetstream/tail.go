package jetstream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// tail is the file beside the embedded streams that says exactly how far they have come: it is written after each confirmed
// message, with one small write that is synced only now and then. A process that is killed leaves it exact, since what is written
// outlives a process; after a power cut it is behind, never ahead. Two slots are written in turn, so that one is always whole.
//
// A slot, all numbers big-endian: magic "AMTL", version 1 and three bytes 0, a count of the writes, the time in Unix nanoseconds,
// the last sequence numbers of accept, later, outcomes, dead and quarantine, the ordinals of accept and outcomes, CRC-32C of
// all that.
type tail struct {
	mu   sync.Mutex
	f    *os.File
	at   tailAt
	err  error
	slot [tailSlot]byte
}

// tailAt is what the tail says.
type tailAt struct {
	writes  uint64
	written time.Time
	seqs    [5]uint64 // in the order of streamNames
	accept  uint64    // the next ordinals
	events  uint64
}

const (
	tailFile  = "tail"
	tailMagic = "AMTL"
	tailSlot  = 8 + 8*(1+1+5+2) + 4
	tailApart = 4096 // from one slot to the other: they lie in different blocks of the disk
)

// streamNames are the store's streams.
func streamNames() [5]string {
	return [5]string{acceptStream, laterStream, outcomesStream, deadStream, quarantineStream}
}

// readTail gives the newest slot that is whole. bad says what is wrong with the file: nothing where there is none, and where a
// slot was never written.
func readTail(dir string) (at tailAt, bad error, err error) {
	b, err := os.ReadFile(filepath.Join(dir, tailFile))
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil, nil
	}
	if err != nil {
		return at, nil, err
	}
	for i := range 2 {
		from := i * tailApart
		if len(b) <= from {
			continue
		}
		slot, ok := parseTail(b[from:min(len(b), from+tailSlot)])
		if !ok {
			bad = fmt.Errorf("%s: slot %d is damaged", filepath.Join(dir, tailFile), i)
			continue
		}
		if slot.writes >= at.writes {
			at = slot
		}
	}
	return at, bad, nil
}

func parseTail(b []byte) (at tailAt, ok bool) {
	n := tailSlot - 4
	if len(b) != tailSlot || string(b[:4]) != tailMagic || crc32.Checksum(b[:n], castagnoli()) != binary.BigEndian.Uint32(b[n:]) {
		return at, false
	}
	next := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	at = tailAt{writes: next(0), written: time.Unix(0, int64(next(1))).UTC(), accept: next(7), events: next(8)}
	for i := range at.seqs {
		at.seqs[i] = next(2 + i)
	}
	return at, true
}

// openTail opens the file to go on from there.
func openTail(dir string, at tailAt) (*tail, error) {
	f, err := os.OpenFile(filepath.Join(dir, tailFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	t := &tail{f: f, at: at}
	// Both slots anew, so that a damaged one is mended.
	for range 2 {
		t.write()
	}
	if t.err != nil {
		f.Close()
		return nil, t.err
	}
	return t, nil
}

// reached takes down that a message of a stream is confirmed. ordinal is the next one of a chain; 0 for the other streams.
func (t *tail) reached(stream string, seq, ordinal uint64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.at.reached(stream, seq, ordinal) {
		return
	}
	t.write()
}

// recorded gives how far what is parked, outcomes and dead letters have come.
func (t *tail) recorded() (parked, ended, dead uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at.of(laterStream), t.at.of(outcomesStream), t.at.of(deadStream)
}

func (at *tailAt) reached(stream string, seq, ordinal uint64) (further bool) {
	for i, name := range streamNames() {
		if name != stream || seq <= at.seqs[i] {
			continue
		}
		at.seqs[i] = seq
		switch stream {
		case acceptStream:
			at.accept = max(at.accept, ordinal)
		case outcomesStream:
			at.events = max(at.events, ordinal)
		}
		return true
	}
	return false
}

// of gives how far a stream had come.
func (at *tailAt) of(stream string) uint64 {
	for i, name := range streamNames() {
		if name == stream {
			return at.seqs[i]
		}
	}
	return 0
}

// write writes the next slot, under mu.
func (t *tail) write() {
	t.at.writes++
	t.at.written = time.Now()
	b := append(t.slot[:0], tailMagic...)
	b = append(b, 1, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, t.at.writes)
	b = binary.BigEndian.AppendUint64(b, uint64(t.at.written.UnixNano()))
	for _, seq := range t.at.seqs {
		b = binary.BigEndian.AppendUint64(b, seq)
	}
	b = binary.BigEndian.AppendUint64(b, t.at.accept)
	b = binary.BigEndian.AppendUint64(b, t.at.events)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	if _, err := t.f.WriteAt(b, int64(t.at.writes%2)*tailApart); err != nil {
		t.err = err
	}
}

// sync brings the file to the disk. It gives the error of a write since the last sync too: the file is behind then.
func (t *tail) sync() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	err := t.err
	t.err = nil
	t.mu.Unlock()
	return errors.Join(err, t.f.Sync())
}

func (t *tail) close() error {
	if t == nil {
		return nil
	}
	return errors.Join(t.sync(), t.f.Close())
}
