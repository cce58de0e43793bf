package jetstream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/highwayhash"
)

// The embedded server's block files (N.blk below a stream's msgs), as nats-server 2.15 writes them (server/filestore.go,
// writeMsgRecord). Numbers are little-endian.
//
//	offset  bytes
//	 0      4      length of the record; the highest bit: it has headers
//	 4      8      sequence number; the highest bit: erased, the next: a tombstone, which says that this number is deleted
//	12      8      time, Unix nanoseconds
//	20      2      length of the subject
//	22             the subject, then with headers their length (4 bytes) and they, then the message
//	end-8   8      HighwayHash-64 of bytes 4 to 20, subject, headers and message; its key is the SHA-256 of "STREAM-N"
const (
	recordHeader  = 22
	recordTrailer = 8
	headersBit    = 1 << 31
	erasedBit     = 1 << 63
	tombstoneBit  = 1 << 62
	maxBlockEntry = 32 << 20 // what the server takes for a length that can be

	subjectPrefix = "aftermath." // of all subjects
	headerMagic   = "NATS/1.0\r\n"
	maxHeaders    = 4 << 10 // of the messages that this program and the scheduler send
)

// entry is one record of a block file.
type entry struct {
	seq       uint64
	at        int64 // Unix nanoseconds
	subject   string
	header    []byte
	data      []byte // shares the block's memory
	erased    bool
	tombstone bool // seq is of another message, which is deleted
	// proven says that the server's own checksum holds. Where it does not, the pack inside is sound, but seq, at, subject and header
	// are only what seems to be.
	proven bool
}

// message says whether it holds one.
func (e *entry) message() bool { return !e.erased && !e.tombstone }

// span is a stretch of a block file in which nothing can be read as a record.
type span struct{ from, to int }

// blockHash is the server's checksum for the records of one block file.
func blockHash(stream string, index uint32) hash.Hash64 {
	key := sha256.Sum256(fmt.Appendf(nil, "%s-%d", stream, index))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	return h
}

// parseEntry reads the record that b begins with; ok only where its checksum holds.
func parseEntry(b []byte, h hash.Hash64) (e entry, size int, ok bool) {
	if len(b) < recordHeader+recordTrailer {
		return e, 0, false
	}
	length := binary.LittleEndian.Uint32(b)
	hasHeaders := length&headersBit != 0
	size = int(length &^ headersBit)
	slen := int(binary.LittleEndian.Uint16(b[20:]))
	body := recordHeader + slen
	if hasHeaders {
		body += 4
	}
	if size > maxBlockEntry || size > len(b) || body+recordTrailer > size {
		return e, 0, false
	}
	h.Reset()
	h.Write(b[4:20])
	h.Write(b[recordHeader : recordHeader+slen])
	h.Write(b[body : size-recordTrailer])
	var sum [recordTrailer]byte
	if !bytes.Equal(h.Sum(sum[:0]), b[size-recordTrailer:size]) {
		return e, 0, false
	}
	seq := binary.LittleEndian.Uint64(b[4:])
	e = entry{
		seq: seq &^ (erasedBit | tombstoneBit), erased: seq&erasedBit != 0 || seq == 0, tombstone: seq&tombstoneBit != 0,
		at: int64(binary.LittleEndian.Uint64(b[12:])), subject: string(b[recordHeader : recordHeader+slen]), proven: true,
		data: b[body : size-recordTrailer : size-recordTrailer],
	}
	if hasHeaders {
		// The length of the headers is not under the checksum.
		n := int(binary.LittleEndian.Uint32(b[body-4:]))
		if n > len(e.data) {
			return e, 0, false
		}
		e.header, e.data = e.data[:n:n], e.data[n:]
	}
	return e, size, true
}

// appendEntry writes a record as the server does.
func appendEntry(b []byte, e *entry, h hash.Hash64) []byte {
	start := len(b)
	size := recordHeader + len(e.subject) + len(e.data) + recordTrailer
	length, seq := uint32(size), e.seq
	if len(e.header) > 0 {
		length = uint32(size+4+len(e.header)) | headersBit
	}
	if e.erased {
		seq |= erasedBit
	}
	if e.tombstone {
		seq |= tombstoneBit
	}
	b = binary.LittleEndian.AppendUint32(b, length)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.at))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.subject)))
	b = append(b, e.subject...)
	if len(e.header) > 0 {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(e.header)))
		b = append(b, e.header...)
	}
	b = append(b, e.data...)
	h.Reset()
	h.Write(b[start+4 : start+20])
	h.Write([]byte(e.subject))
	h.Write(e.header)
	h.Write(e.data)
	return h.Sum(b)
}

// walkBlock gives what is sound in a block file, in its order: records whose checksum holds, and packs that are whole in a record
// whose does not. It returns the stretches in which there is something else.
func walkBlock(b []byte, h hash.Hash64, f func(*entry)) (bad []span) {
	for at := 0; at < len(b); {
		e, size, ok := parseEntry(b[at:], h)
		if ok {
			f(&e)
			at += size
			continue
		}
		from := at
		for at++; at < len(b); at++ {
			if likelyEntry(b[at:]) {
				if _, _, ok := parseEntry(b[at:], h); ok {
					break
				}
			}
			if n := packAt(b[at:]); n > 0 {
				e := entryAround(b[from:], at-from, n)
				f(e)
				at = min(at+n+recordTrailer, len(b))
				break
			}
		}
		bad = append(bad, span{from, at})
	}
	return bad
}

// likelyEntry is a cheap look whether a record may begin here, for a search byte by byte.
func likelyEntry(b []byte) bool {
	if len(b) < recordHeader+recordTrailer {
		return false
	}
	slen := int(binary.LittleEndian.Uint16(b[20:]))
	if slen == 0 {
		return binary.LittleEndian.Uint32(b) == recordHeader+recordTrailer
	}
	return bytes.HasPrefix(b[recordHeader:], []byte(subjectPrefix))
}

// packAt gives the length of the sound pack that b begins with; 0 where there is none.
func packAt(b []byte) int {
	if len(b) < headSize || string(b[:4]) != packMagic {
		return 0
	}
	n := headSize + int(binary.BigEndian.Uint32(b[12:]))
	if n > len(b) || n > maxPayload || packSum(b[:n]) != binary.BigEndian.Uint32(b[crcAt:]) {
		return 0
	}
	return n
}

// entryAround reads what it can of the record around a pack of n bytes at b[at:], where the record's checksum does not hold.
func entryAround(b []byte, at, n int) *entry {
	e := &entry{data: b[at : at+n : at+n]}
	subjectEnd, size := at, n+recordTrailer
	if h := bytes.LastIndex(b[max(0, at-maxHeaders):at], []byte(headerMagic)); h >= 0 {
		h += max(0, at-maxHeaders)
		if h >= 4 && int(binary.LittleEndian.Uint32(b[h-4:])) == at-h {
			subjectEnd, size = h-4, n+recordTrailer+4+at-h
		}
	}
	s := bytes.LastIndex(b[max(0, subjectEnd-512):subjectEnd], []byte(subjectPrefix))
	if s < 0 {
		return e
	}
	s += max(0, subjectEnd-512)
	e.subject = string(b[s:subjectEnd])
	size += recordHeader + len(e.subject)
	if s < recordHeader || int(binary.LittleEndian.Uint16(b[s-2:])) != len(e.subject) ||
		int(binary.LittleEndian.Uint32(b[s-recordHeader:])&^headersBit) != size {
		return e
	}
	e.seq = binary.LittleEndian.Uint64(b[s-recordHeader+4:])
	e.at = int64(binary.LittleEndian.Uint64(b[s-recordHeader+12:]))
	return e
}

// blockFile names one block file.
type blockFile struct {
	stream string
	index  uint32
	path   string
	size   int64
}

// blockFiles lists the block files of a stream's folder, by index. A folder that is not there has none.
func blockFiles(stream, dir string) ([]blockFile, error) {
	entries, err := os.ReadDir(filepath.Join(dir, "msgs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []blockFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".blk")
		index, err := strconv.ParseUint(name, 10, 32)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		all = append(all, blockFile{stream: stream, index: uint32(index), path: filepath.Join(dir, "msgs", e.Name()), size: info.Size()})
	}
	slices.SortFunc(all, func(a, b blockFile) int { return int(a.index) - int(b.index) })
	return all, nil
}

// metaSound says whether a stream's meta.inf is what its checksum says, which the server asks too: without it, the stream is not
// there for it.
func metaSound(stream, dir string) error {
	meta, err := os.ReadFile(filepath.Join(dir, "meta.inf"))
	if err != nil {
		return err
	}
	want, err := os.ReadFile(filepath.Join(dir, "meta.sum"))
	if err != nil {
		return err
	}
	key := sha256.Sum256([]byte(stream))
	h, err := highwayhash.New64(key[:])
	if err != nil {
		return err
	}
	h.Write(meta)
	if got := fmt.Sprintf("%x", h.Sum(nil)); got != string(want) {
		return fmt.Errorf("meta.inf has the checksum %s, and meta.sum says %s", got, want)
	}
	return nil
}
