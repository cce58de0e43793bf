package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
)

const (
	// inspectedAtStart is how many bytes of the newest block files are read before the server opens them; what is older is read
	// while it runs.
	inspectedAtStart = 1 << 30
	inspectors       = 2
	// inspectPace is how fast the rest is read: it competes with the fsyncs of callbacks being accepted.
	inspectPace = 32 << 20 // bytes a second
	// suspectFile says that damage was found while the store ran: the next start carves everything.
	suspectFile = "damage-found"
)

// state is what lies beside the streams, read before the server opens them.
type state struct {
	mark    *mark
	tail    tailAt
	repairs *repairs
	trouble []string // what was found while the store ran
}

// reach gives how far a stream had come for sure: the sequence number of its last message, and the ordinal after it.
func (st *state) reach(stream string) (seq, ordinal uint64) {
	seq = st.tail.of(stream)
	switch stream {
	case acceptStream:
		return max(seq, st.mark.Accept.Seq), max(st.tail.accept, st.mark.Accept.Ordinal)
	case outcomesStream:
		return max(seq, st.mark.Outcomes.Seq), max(st.tail.events, st.mark.Outcomes.Ordinal)
	}
	return seq, 0
}

// when gives about when that was.
func (st *state) when() time.Time { return st.tail.written }

// readState reads the files beside the streams. A damaged one is done without, and that is logged.
func readState(o *Options) (*state, error) {
	st := &state{}
	var bad error
	var err error
	if st.mark, bad, err = readMarkOrSetAside(o); err != nil {
		return nil, err
	}
	if bad != nil {
		o.Logger.Error("the file that says how far the streams have come is damaged: the streams themselves and the file "+tailFile+" tell it", zap.Error(bad))
	}
	if st.tail, bad, err = readTail(o.Dir); err != nil {
		return nil, err
	}
	if bad != nil {
		o.Logger.Warn("the other slot of the file is used, and both are written anew", zap.Error(bad))
	}
	if st.repairs, err = readRepairs(o.Dir); err != nil {
		return nil, err
	}
	switch why, err := os.ReadFile(filepath.Join(o.Dir, suspectFile)); {
	case err == nil:
		st.trouble = append(st.trouble, "found while it ran: "+string(why))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return st, nil
}

// inspection is what a look into the files found, before the server opened them.
type inspection struct {
	trouble []string
	rest    []blockFile // not looked at yet, newest first
}

// inspect looks whether what the server is about to open is whole: the newest block files, and how far the streams reach. It
// changes nothing.
func inspect(ctx context.Context, o *Options, st *state) (*inspection, error) {
	in := &inspection{trouble: st.trouble}
	budget := int64(inspectedAtStart)
	for _, name := range streamNames() {
		dir := streamDir(o, name)
		files, err := blockFiles(name, dir)
		if err != nil {
			return nil, err
		}
		from := len(files)
		for from > 0 && (from == len(files) || budget >= files[from-1].size) {
			from--
			budget -= files[from].size
		}
		for _, f := range slices.Backward(files[:from]) {
			in.rest = append(in.rest, f)
		}
		reach, _ := st.reach(name)
		switch err := metaSound(name, dir); {
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			in.trouble = append(in.trouble, fmt.Sprintf("%s: %v", name, err))
		case err != nil && (reach > 0 || len(files) > 0 || isDir(dir)):
			in.trouble = append(in.trouble, fmt.Sprintf("%s: its folder or its meta.inf is gone", name))
		}
		trouble, err := inspectStream(ctx, o, st, name, files[from:], from == 0)
		if err != nil {
			return nil, err
		}
		in.trouble = append(in.trouble, trouble...)
	}
	return in, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// inspectStream looks through these block files, the newest of a stream.
func inspectStream(ctx context.Context, o *Options, st *state, name string, files []blockFile, all bool) (trouble []string, err error) {
	blocks := make([]*carvedBlock, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspectors)
	bufs := sync.Pool{New: func() any { return new([]byte) }}
	for i, f := range files {
		g.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			buf := bufs.Get().(*[]byte)
			defer bufs.Put(buf)
			blocks[i], *buf, err = carveBlock(f, *buf)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	reach, ordinal := st.reach(name)
	s := &carvedStream{name: name, blocks: blocks}
	for i, b := range blocks {
		if b.sound() {
			continue
		}
		if i == len(blocks)-1 && b.torn && s.highest() >= reach {
			o.Logger.Info("a write that never ended, and was never confirmed, is cut off", zap.String("file", b.path), zap.Int("at", b.bad[0].from))
			continue
		}
		trouble = append(trouble, fmt.Sprintf("%s: %s: bytes %d to %d are no message", name, b.path, b.bad[0].from, b.bad[0].to))
	}
	if high := s.highest(); high < reach && !st.repairs.known(name, high+1, reach) {
		trouble = append(trouble, fmt.Sprintf("%s: it ends at message %d, but %d were stored and confirmed", name, high, reach))
	}
	if isChain(name) && len(trouble) == 0 {
		for _, g := range st.chainGaps(s, all, reach, ordinal) {
			trouble = append(trouble, g.String())
		}
	}
	return trouble, nil
}

// isChain says whether a stream's messages are packs of ordinals that go on without a gap.
func isChain(stream string) bool { return stream == acceptStream || stream == outcomesStream }

// chainGaps gives what is missing of a chain. all says that its first block is among them.
func (st *state) chainGaps(s *carvedStream, all bool, reach, ordinal uint64) []gap {
	w := &chainWalk{stream: s.name, known: func(from, to uint64) bool { return st.repairs.known(s.name, from, to) }}
	messages := s.messages()
	if first := st.mark.first(s.name); all && first > 0 && len(messages) > 0 && messages[0].seq > first {
		// The ordinal is not known: the gap has no number of records.
		w.last = &found{seq: first - 1, ordinal: messages[0].ordinal}
		if messages[0].seq == first {
			w.last = nil
		}
	}
	for _, m := range messages {
		w.add(m)
	}
	w.finish(reach, ordinal, st.when())
	return w.gaps
}

// inspectRest looks through the older block files, slowly, once. It is a goroutine of the store.
func (s *Store) inspectRest(files []blockFile) {
	var buf []byte
	var err error
	for _, f := range files {
		var b *carvedBlock
		b, buf, err = carveBlock(f, buf)
		if err == nil && !b.sound() {
			// The server may have been at work on it.
			if !s.pause(time.Second) {
				return
			}
			b, buf, err = carveBlock(f, buf)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // purged meanwhile
		case err != nil:
			s.suspect(f.stream, fmt.Errorf("%s cannot be read: %w", f.path, err))
		case !b.sound():
			s.suspect(f.stream, fmt.Errorf("%s: bytes %d to %d are no message", f.path, b.bad[0].from, b.bad[0].to))
		}
		if !s.pause(time.Duration(f.size) * time.Second / inspectPace) {
			return
		}
	}
	s.log.Debug("every block file of the store has been read and is as it should be", zap.Int("read_while_running", len(files)))
}

// pause waits; it tells whether the store still runs.
func (s *Store) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.work.Done():
		return false
	case <-t.C:
		return true
	}
}
