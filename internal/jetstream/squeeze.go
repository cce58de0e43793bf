package jetstream

import (
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
)

// flagSqueezed is set in the head of a pack whose records are compressed as one block of S2
// (https://github.com/klauspost/compress/tree/master/s2). Deliveries that wait together are much alike, and many of them wait for a
// receiver that is dead; outcomes say the same of each delivery twice; callbacks have the same names in query and packet. And each byte
// is copied several times on its way to the disk and back, and kept by the server for ten seconds.
const flagSqueezed = 1

// maxSqueezed bounds what a compressed pack may hold, so that a damaged one can't fill the memory.
const maxSqueezed = 4 * maxPayload

// encodeBundle gives the message for parked deliveries.
func encodeBundle(written time.Time, records [][]byte) []byte {
	d := draftOf(records)
	if small := s2.EncodeBetter(nil, d.b[headSize:]); len(small) < len(d.b)-headSize {
		d.b, d.flags = append(d.b[:headSize], small...), flagSqueezed
	}
	return d.seal(kindParked, 0, written)
}

// squeezed gives the draft with its records compressed, in buf where that is large enough; the draft itself where that would be no
// smaller.
func (d *draft) squeezed(buf []byte) *draft {
	plain := d.b[headSize:]
	most := s2.MaxEncodedLen(len(plain))
	if most < 0 {
		return d
	}
	if cap(buf) < headSize+most {
		buf = make([]byte, headSize+most)
	}
	buf = buf[:headSize+most]
	small := s2.Encode(buf[headSize:], plain)
	if len(small) >= len(plain) {
		return d
	}
	return &draft{b: buf[:headSize+len(small)], count: d.count, flags: d.flags | flagSqueezed}
}

// unsqueezed gives the records' bytes of a compressed pack.
func unsqueezed(b []byte) ([]byte, error) {
	if n, err := s2.DecodedLen(b); err == nil && n > maxSqueezed {
		return nil, fmt.Errorf("pack of %d compressed bytes that say they are %d", len(b), n)
	}
	plain, err := s2.Decode(nil, b)
	if err != nil {
		return nil, fmt.Errorf("pack of %d compressed bytes: %w", len(b), err)
	}
	return plain, nil
}
