package jetstream

import (
	"fmt"
	"time"

	"github.com/klauspost/compress/s2"
)

// flagSqueezed is set in the head of a bundle whose records are compressed as one block of S2
// (https://github.com/klauspost/compress/tree/master/s2): deliveries that wait together are much alike, and many of them wait for a
// receiver that is dead.
const flagSqueezed = 1

// maxSqueezed bounds what a compressed bundle may hold, so that a damaged one can't fill the memory.
const maxSqueezed = 2 * maxPayload

// encodeBundle gives the message for parked deliveries.
func encodeBundle(written time.Time, records [][]byte) []byte {
	d := draftOf(records)
	if small := s2.EncodeBetter(nil, d.b[headSize:]); len(small) < len(d.b)-headSize {
		d.b, d.flags = append(d.b[:headSize], small...), flagSqueezed
	}
	return d.seal(kindParked, 0, written)
}

// unsqueezed gives the records' bytes of a compressed bundle.
func unsqueezed(b []byte) ([]byte, error) {
	if n, err := s2.DecodedLen(b); err == nil && n > maxSqueezed {
		return nil, fmt.Errorf("bundle of %d compressed bytes that say they are %d", len(b), n)
	}
	plain, err := s2.Decode(nil, b)
	if err != nil {
		return nil, fmt.Errorf("bundle of %d compressed bytes: %w", len(b), err)
	}
	return plain, nil
}
