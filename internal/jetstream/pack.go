package jetstream

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"
	"unsafe"

	gojson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/aftermath-rules/aftermath/engine"
)

type kind byte

const (
	kindCallbacks  kind = 1
	kindEvents     kind = 2
	kindParked     kind = 3
	kindDead       kind = 4
	kindQuarantine kind = 5
)

func (k kind) String() string {
	switch k {
	case kindCallbacks:
		return "callbacks"
	case kindEvents:
		return "events"
	case kindParked:
		return "parked deliveries"
	case kindDead:
		return "dead letter"
	case kindQuarantine:
		return "quarantined packet"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

const (
	packMagic   = "AMPK"
	packVersion = 1
	headSize    = 36
	crcAt       = 32

	maxRecords = 1024    // in a pack of callbacks
	softPack   = 4 << 20 // bytes after which a pack takes no more records
	maxPayload = 8 << 20 // the server's bound of one message
	maxRecord  = maxPayload - 64<<10
)

// castagnoli is the polynomial whose checksum processors compute.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// pack is one decoded message.
type pack struct {
	kind    kind
	ordinal uint64
	written time.Time
	records [][]byte // they share the message's memory
}

// errUnknownVersion says that a later release wrote it.
var errUnknownVersion = errors.New("a newer release of aftermath wrote it, which this one cannot read")

// draft is a pack being written: its records stand behind the room for its head.
type draft struct {
	b     []byte
	count int
	flags uint16
}

// newDraft begins a pack in buf, whose content is lost. buf may be nil.
func newDraft(buf []byte) *draft {
	if cap(buf) < headSize {
		buf = make([]byte, headSize)
	}
	return &draft{b: buf[:headSize]}
}

func (d *draft) add(record []byte) {
	d.b = binary.BigEndian.AppendUint32(d.b, uint32(len(record)))
	d.b = append(d.b, record...)
	d.count++
}

// addCallback adds the record that decodeRecord reads.
func (d *draft) addCallback(r *engine.Record) {
	d.b = binary.BigEndian.AppendUint32(d.b, uint32(recordSize(r)))
	d.b = appendRecord(d.b, r)
	d.count++
}

// addEvent adds the record of an event, and gives its size.
func (d *draft) addEvent(ev *engine.Event) int {
	at := len(d.b)
	d.b = appendEvent(binary.BigEndian.AppendUint32(d.b, 0), ev)
	size := len(d.b) - at - 4
	binary.BigEndian.PutUint32(d.b[at:], uint32(size))
	d.count++
	return size
}

// seal writes the head and gives the message, which is the draft's memory.
func (d *draft) seal(k kind, ordinal uint64, written time.Time) []byte {
	b := d.b
	clear(b[:headSize])
	copy(b, packMagic)
	b[4], b[5] = packVersion, byte(k)
	binary.BigEndian.PutUint16(b[6:], d.flags)
	binary.BigEndian.PutUint32(b[8:], uint32(d.count))
	binary.BigEndian.PutUint32(b[12:], uint32(len(b)-headSize))
	binary.BigEndian.PutUint64(b[16:], ordinal)
	binary.BigEndian.PutUint64(b[24:], uint64(written.UnixNano()))
	binary.BigEndian.PutUint32(b[crcAt:], packSum(b))
	return b
}

// draftOf writes records.
func draftOf(records [][]byte) *draft {
	size := headSize
	for _, r := range records {
		size += 4 + len(r)
	}
	d := newDraft(make([]byte, headSize, size))
	for _, r := range records {
		d.add(r)
	}
	return d
}

// encodePack gives the message for records.
func encodePack(k kind, ordinal uint64, written time.Time, records [][]byte) []byte {
	return draftOf(records).seal(k, ordinal, written)
}

func packSum(b []byte) uint32 {
	t := castagnoli()
	return crc32.Update(crc32.Checksum(b[:crcAt], t), t, b[headSize:])
}

// decodePack reads a message that must be a pack of kind k, and nothing else.
func decodePack(k kind, b []byte) (*pack, error) {
	if len(b) < headSize || string(b[:4]) != packMagic {
		return nil, fmt.Errorf("%d bytes that are no pack", len(b))
	}
	if v := b[4]; v > packVersion {
		return nil, fmt.Errorf("pack of version %d: %w", v, errUnknownVersion)
	} else if v == 0 {
		return nil, errors.New("pack of version 0, which there is not")
	}
	length := binary.BigEndian.Uint32(b[12:])
	if uint64(length) != uint64(len(b)-headSize) {
		return nil, fmt.Errorf("pack of %d bytes, where its head says %d", len(b)-headSize, length)
	}
	if got, want := packSum(b), binary.BigEndian.Uint32(b[crcAt:]); got != want {
		return nil, fmt.Errorf("pack whose checksum is %08x, where its head says %08x: its bytes were changed", got, want)
	}
	if kind(b[5]) != k {
		return nil, fmt.Errorf("pack of %v, where there should be one of %v", kind(b[5]), k)
	}
	records := b[headSize:]
	switch flags := binary.BigEndian.Uint16(b[6:]); {
	case flags == 0:
	case flags == flagSqueezed && (k == kindCallbacks || k == kindParked || k == kindEvents):
		var err error
		if records, err = unsqueezed(records); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("pack with the flags %#x: %w", flags, errUnknownVersion)
	}
	p := &pack{
		kind:    k,
		ordinal: binary.BigEndian.Uint64(b[16:]),
		written: time.Unix(0, int64(binary.BigEndian.Uint64(b[24:]))).UTC(),
	}
	return p, p.split(binary.BigEndian.Uint32(b[8:]), records)
}

// split fills in the records.
func (p *pack) split(count uint32, b []byte) error {
	if uint64(count)*4 > uint64(len(b)) {
		return fmt.Errorf("pack of %d records in %d bytes", count, len(b))
	}
	p.records = make([][]byte, 0, count)
	for i := range count {
		if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
			return fmt.Errorf("pack whose record %d of %d is cut off", i, count)
		}
		n := 4 + int(binary.BigEndian.Uint32(b))
		p.records = append(p.records, b[4:n:n])
		b = b[n:]
	}
	if len(b) > 0 {
		return fmt.Errorf("pack with %d bytes after its last record", len(b))
	}
	return nil
}

const (
	recordVersion = 1
	recordHead    = 37
)

// recordSize is how many bytes appendRecord appends.
func recordSize(r *engine.Record) int { return recordHead + len(r.Query) + len(r.Body) }

// appendRecord appends the bytes of a callback.
func appendRecord(b []byte, r *engine.Record) []byte {
	b = append(b, recordVersion)
	b = append(b, r.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Window))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Received.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Query)))
	b = append(b, r.Query...)
	return append(b, r.Body...)
}

// text gives b as a string without a copy. What is read of a pack is never written to.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// decodeRecord reads what appendRecord wrote. Query and body share b's memory.
func decodeRecord(b []byte) (engine.Record, error) {
	if len(b) < recordHead {
		return engine.Record{}, fmt.Errorf("callback of %d bytes, which is too short", len(b))
	}
	if v := b[0]; v > recordVersion {
		return engine.Record{}, fmt.Errorf("callback of version %d: %w", v, errUnknownVersion)
	} else if v == 0 {
		return engine.Record{}, errors.New("callback of version 0, which there is not")
	}
	n, rest := binary.BigEndian.Uint32(b[33:]), b[recordHead:]
	if uint64(n) > uint64(len(rest)) {
		return engine.Record{}, errors.New("callback whose query is cut off")
	}
	return engine.Record{
		Key:      engine.Key(b[1:17]),
		Window:   time.Duration(binary.BigEndian.Uint64(b[17:])),
		Received: time.Unix(0, int64(binary.BigEndian.Uint64(b[25:]))).UTC(),
		Query:    text(rest[:n]),
		Body:     rest[n:],
	}, nil
}

// decodeCallbacks reads a pack of callbacks.
func decodeCallbacks(b []byte) (*pack, []engine.Record, error) {
	p, err := decodePack(kindCallbacks, b)
	if err != nil {
		return nil, nil, err
	}
	if len(p.records) == 0 {
		return nil, nil, errors.New("pack without callbacks")
	}
	records := make([]engine.Record, len(p.records))
	for i, raw := range p.records {
		if records[i], err = decodeRecord(raw); err != nil {
			return nil, nil, fmt.Errorf("record %d: %w", i, err)
		}
	}
	return p, records, nil
}

// asWritten reads what encoding/json wrote, and what its twin in eventjson.go did: durations are nanoseconds, and of names and texts it is known
// that they are as they should be.
var asWritten = gojson.JoinOptions(jsonv1.FormatDurationAsNano(true), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// decodeJSON reads a pack whose records are the JSON of T.
func decodeJSON[T any](k kind, b []byte) (*pack, []T, error) {
	p, err := decodePack(k, b)
	if err != nil {
		return nil, nil, err
	}
	out := make([]T, len(p.records))
	for i, raw := range p.records {
		if err := gojson.Unmarshal(raw, &out[i], asWritten); err != nil {
			return nil, nil, fmt.Errorf("record %d of a pack of %v: %w", i, k, err)
		}
	}
	return p, out, nil
}

// encodeJSON gives the JSON of v, which must fit into a message.
func encodeJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > maxRecord {
		err = fmt.Errorf("%T of %d bytes: more than the %d that one record may have", v, len(b), maxRecord)
	}
	return b, err
}
