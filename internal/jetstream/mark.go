package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"github.com/nats-io/nats.go/jetstream"
)

// mark is kept in a file beside the streams: how far they had come at least. It is written after what it tells of is synced, so
// it can be behind the truth, never ahead of it: a stream that ends before its mark has lost something.
type mark struct {
	Version  int           `json:"version"`
	Node     string        `json:"node"`
	Window   time.Duration `json:"window_ns"` // the largest window of repeats in use
	Accept   markOf        `json:"accept"`
	Others   []markOf      `json:"accept_others,omitempty"` // of the partitions after the first
	Outcomes markOf        `json:"outcomes"`
	// Of the embedded store: up to where every pack is handled (the server's own file of that has no checksum), and from where on
	// messages are kept. Earlier releases wrote neither.
	Floor *uint64 `json:"floor,omitempty"`
	First firsts  `json:"first,omitzero"`
	// Last in the file is "sum", the CRC-32C of the JSON without it. Files of earlier releases have none.
}

// markOf is how far one stream had come.
type markOf struct {
	Seq     uint64 `json:"seq"`     // of the last message this node stored
	Ordinal uint64 `json:"ordinal"` // the records this node stored
}

// accepted is how far a partition had come.
func (m *mark) accepted(partition int) markOf {
	switch {
	case partition == 0:
		return m.Accept
	case partition <= len(m.Others):
		return m.Others[partition-1]
	}
	return markOf{}
}

// least gives the sequence number that each stream must have come to.
func (m *mark) least() map[string]uint64 {
	least := map[string]uint64{acceptStream: m.Accept.Seq, outcomesStream: m.Outcomes.Seq}
	for i, o := range m.Others {
		least[acceptName(i+1)] = o.Seq
	}
	return least
}

// firsts is a sequence number of each chain.
type firsts struct {
	Accept   uint64 `json:"accept"`
	Outcomes uint64 `json:"outcomes"`
}

// first gives the first message of a chain that is kept; 0 where that is not known.
func (m *mark) first(stream string) uint64 {
	if stream == acceptStream {
		return m.First.Accept
	}
	return m.First.Outcomes
}

const (
	markFile    = "mark.json"
	markVersion = 1
)

// errMarkDamaged says that the mark's bytes are not what was written.
var errMarkDamaged = errors.New("its bytes were changed")

func readMark(dir string) (*mark, error) {
	path := filepath.Join(dir, markFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &mark{Version: markVersion}, nil
	}
	if err != nil {
		return nil, err
	}
	var m mark
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w (%w); take it away to start without knowing how far the streams had come", path, errMarkDamaged, err)
	}
	if i := bytes.LastIndex(b, []byte(markSum)); i >= 0 {
		var last struct{ Sum uint32 }
		if err := json.Unmarshal(b, &last); err != nil || last.Sum != markSumOf(b[:i]) {
			return nil, fmt.Errorf("%s is damaged: %w; take it away to start without knowing how far the streams had come", path, errMarkDamaged)
		}
	}
	if m.Version != markVersion {
		return nil, fmt.Errorf("%s has version %d: %w", path, m.Version, errUnknownVersion)
	}
	return &m, nil
}

// readMarkOrSetAside is readMark for the embedded store, which can do without: a damaged one is renamed, and bad says so.
func readMarkOrSetAside(o *Options) (m *mark, bad, err error) {
	m, err = readMark(o.Dir)
	if !errors.Is(err, errMarkDamaged) {
		return m, nil, err
	}
	aside := fmt.Sprintf("%s.damaged-%s", markFile, o.Now().UTC().Format(folderTime))
	if err := os.Rename(filepath.Join(o.Dir, markFile), filepath.Join(o.Dir, aside)); err != nil {
		return nil, nil, err
	}
	return &mark{Version: markVersion}, fmt.Errorf("%s: %w; it is set aside as %s", markFile, errMarkDamaged, aside), nil
}

// markSum is where the checksum begins in the file.
const markSum = `,"sum":`

// markSumOf gives the checksum of a mark's JSON, whose closing brace is left out.
func markSumOf(open []byte) uint32 { return crc32.Checksum(open, castagnoli()) }

func (m *mark) write(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b = b[:len(b)-1]
	b = fmt.Appendf(b, "%s%d}\n", markSum, markSumOf(b))
	return renameio.WriteFile(filepath.Join(dir, markFile), b, 0o600, renameio.WithTempDir(dir))
}

func (s *Store) writeMark() error {
	m := mark{Version: markVersion, Node: s.o.Node, Outcomes: s.outcomesChain.position()}
	for n, p := range s.parts {
		_, window := p.repeats.position()
		m.Window = max(m.Window, window)
		if n == 0 {
			m.Accept = p.chain.position()
		} else {
			m.Others = append(m.Others, p.chain.position())
		}
	}
	if first := s.first.Load(); first != nil {
		m.First = *first
	}
	if s.floorOK.Load() {
		floor := s.floor.Load()
		m.Floor = &floor
	}
	return m.write(s.o.Dir)
}

// lookForLost finds streams that are on disk and that the server does not see, and such as end before their mark. It comes
// before any stream is made, so that nothing is built over what may still be saved.
func (s *session) lookForLost(ctx context.Context, o *Options) error {
	if s.srv != nil {
		if err := s.lookForUnseen(ctx, o); err != nil {
			return err
		}
	}
	m, err := readMark(o.Dir)
	if err != nil {
		return err
	}
	for name, min := range m.least() {
		var last uint64
		st, err := s.js.Stream(ctx, name)
		if err == nil {
			last = st.CachedInfo().State.LastSeq
		} else if !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if last < min {
			return &DamageError{Dir: o.place(), Stream: name, Reason: fmt.Sprintf(
				"it ends at message %d, but %d were stored and confirmed", last, min)}
		}
	}
	return nil
}

// place is how messages name the store.
func (o *Options) place() string {
	if o.URL != "" {
		return "cluster"
	}
	return o.Dir
}

func (s *session) lookForUnseen(ctx context.Context, o *Options) error {
	dir := filepath.Dir(streamDir(o, "x"))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var seen []string
	lister := s.js.StreamNames(ctx)
	for name := range lister.Name() {
		seen = append(seen, name)
	}
	if err := lister.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(seen, e.Name()) {
			return &DamageError{Dir: o.Dir, Stream: e.Name(), Reason: fmt.Sprintf(
				"its folder %s is there, but the server cannot read its meta.inf", filepath.Join(dir, e.Name()))}
		}
	}
	return nil
}
