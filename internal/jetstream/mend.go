package jetstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

const (
	// mendingDir is where the streams are made anew. It is of no worth until it holds readyFile.
	mendingDir = "mending"
	readyFile  = "ready" // its content is the name that the damaged folder gets
	folderTime = "20060102T150405.000Z"
)

// mend makes the streams anew from all that is sound in their files, and sets the damaged folder aside. Messages keep their numbers
// and times, so what is handled stays handled, and a gap stays a gap. A crash at any step leaves either the damaged folder where it
// was, and it is mended again, or all that finishMending needs.
func mend(ctx context.Context, o *Options, st *state, found []string) error {
	o.Logger.Error("THE STORE IS DAMAGED: it is made anew from all that is sound; the damaged files are kept", zap.Strings("found", found))
	if err := os.RemoveAll(filepath.Join(o.Dir, mendingDir)); err != nil {
		return err
	}
	streams := make(map[string]*carvedStream)
	for _, name := range streamNames() {
		s, err := carveStream(o, name)
		if err != nil {
			return err
		}
		streams[name] = s
	}
	p := &plan{o: o, st: st, streams: streams, repair: repair{
		At: o.Now().UTC(), Found: found, Folder: server.JetStreamStoreDir + ".damaged-" + o.Now().UTC().Format(folderTime),
	}}
	if err := p.make(); err != nil {
		return err
	}
	if err := p.haveRoom(); err != nil {
		return err
	}
	if err := p.build(ctx); err != nil {
		return fmt.Errorf("make the store anew in %s: %w", filepath.Join(o.Dir, mendingDir), err)
	}
	return finishMending(o)
}

// haveRoom says whether the disk takes what is about to be written.
func (p *plan) haveRoom() error {
	free, err := p.o.free(p.o.Dir)
	if err != nil {
		return err
	}
	need := uint64(reserve)
	for _, s := range p.streams {
		for i, b := range s.blocks {
			if !b.sound() || i == len(s.blocks)-1 {
				need += uint64(b.size)
			}
		}
	}
	if free < need {
		return &DamageError{Dir: p.o.Dir, Reason: fmt.Sprintf("%s; making it anew takes %d bytes, and %d are free: make room and start again",
			strings.Join(p.repair.Found, "; "), need, free)}
	}
	return nil
}

// build writes the new streams beside the damaged ones.
func (p *plan) build(ctx context.Context) error {
	staging := *p.o
	staging.Dir = filepath.Join(p.o.Dir, mendingDir)
	// The server makes the streams, for their configuration; their messages are put below them then.
	s, err := openSession(ctx, &staging)
	if err != nil {
		return err
	}
	s.close()
	for _, name := range streamNames() {
		dir := streamDir(&staging, name)
		if err := p.buildStream(p.streams[name], dir); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if err := p.buildReader(p.streams[name], filepath.Join(dir, "obs")); err != nil {
			return fmt.Errorf("reader of stream %s: %w", name, err)
		}
	}
	p.st.repairs.Repairs = append(p.st.repairs.Repairs, p.repair)
	if err := p.st.repairs.write(staging.Dir); err != nil {
		return err
	}
	if err := syncTree(staging.Dir); err != nil {
		return err
	}
	ready := filepath.Join(staging.Dir, readyFile)
	if err := os.WriteFile(ready, []byte(p.repair.Folder), 0o600); err != nil {
		return err
	}
	return errors.Join(syncPath(ready), syncPath(staging.Dir), syncPath(p.o.Dir))
}

// buildStream puts the sound messages below a new stream's folder. Sound blocks are taken as they are: by a link, but for the last
// one, which the server goes on writing.
func (p *plan) buildStream(s *carvedStream, dir string) error {
	msgs := filepath.Join(dir, "msgs")
	entries, err := os.ReadDir(msgs)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(msgs, e.Name())); err != nil {
			return err
		}
	}
	index := uint32(0)
	for i, b := range s.blocks {
		to := filepath.Join(msgs, filepath.Base(b.path))
		index = b.index
		if b.sound() && i < len(s.blocks)-1 && os.Link(b.path, to) == nil {
			continue
		}
		if err := b.rewrite(to, p.mended(s.name)); err != nil {
			return err
		}
	}
	return p.writeAdded(s, msgs, index+1)
}

// buildReader takes away the new stream's reader: it is made again, and told where it stands. Only where nothing but the damaged
// stream's reader knows that, it is taken over.
func (p *plan) buildReader(s *carvedStream, obs string) error {
	if err := os.RemoveAll(obs); err != nil {
		return err
	}
	old := filepath.Join(s.dir, "obs")
	if s.name != acceptStream || p.st.mark.Floor != nil || !isDir(old) {
		return nil
	}
	return os.CopyFS(obs, os.DirFS(old))
}

// rewrite writes what is sound in a block to a new file; none where that is nothing.
func (b *carvedBlock) rewrite(to string, mended func(*found, *entry) error) error {
	h := blockHash(b.stream, b.index)
	var out []byte
	if err := b.each(func(m *found, e *entry) error {
		if m.seq == 0 {
			return nil // it has a place nowhere: what stands there is sound
		}
		if !e.proven {
			if err := mended(m, e); err != nil {
				return err
			}
		}
		out = appendEntry(out, e, h)
		return nil
	}); err != nil {
		return err
	}
	for _, seq := range b.deleted {
		out = appendEntry(out, &entry{seq: seq, tombstone: true}, h)
	}
	if len(out) == 0 {
		return nil
	}
	return os.WriteFile(to, out, 0o600)
}

// writeAdded writes the messages that are made anew into a block of their own, behind all others, and how far the stream had come.
func (p *plan) writeAdded(s *carvedStream, msgs string, index uint32) error {
	reach, _ := p.st.reach(s.name)
	last := max(s.highest(), reach)
	h := blockHash(s.name, index)
	var out []byte
	if last > s.lastMessage() {
		// It says that this number was used; of a message that is there it would say that it is deleted.
		out = appendEntry(out, &entry{seq: last, tombstone: true, at: p.repair.At.UnixNano()}, h)
	}
	for _, e := range p.added[s.name] {
		last++
		e.seq, e.at = last, p.repair.At.UnixNano()
		out = appendEntry(out, e, h)
	}
	if len(out) == 0 {
		return nil
	}
	return os.WriteFile(filepath.Join(msgs, fmt.Sprintf("%d.blk", index)), out, 0o600)
}

// finishMending puts what build has made in the place of the damaged streams. Where build did not come to its end nothing is
// done. It can be called again after a crash.
func finishMending(o *Options) error {
	staging := filepath.Join(o.Dir, mendingDir)
	name, err := os.ReadFile(filepath.Join(staging, readyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(staging)
	}
	if err != nil {
		return err
	}
	anew, live := filepath.Join(staging, server.JetStreamStoreDir), filepath.Join(o.Dir, server.JetStreamStoreDir)
	aside := filepath.Join(o.Dir, filepath.Base(string(name)))
	if isDir(anew) {
		if isDir(live) && !isDir(aside) {
			if err := os.Rename(live, aside); err != nil {
				return err
			}
		} else if err := os.MkdirAll(aside, 0o700); err != nil { // there was none: the message about it has its place all the same
			return err
		}
		if err := os.Rename(anew, live); err != nil {
			return err
		}
	}
	if _, err := os.Stat(filepath.Join(staging, repairsFile)); err == nil {
		if err := os.Rename(filepath.Join(staging, repairsFile), filepath.Join(o.Dir, repairsFile)); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(o.Dir, suspectFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncPath(o.Dir); err != nil {
		return err
	}
	return os.RemoveAll(staging)
}

// syncTree brings a folder and all that is in it to the disk.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() && !d.Type().IsRegular() {
			return err
		}
		return syncPath(path)
	})
}

// syncPath brings a file, or the entries of a folder, to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// said is what status and log say of repairs that nobody has taken note of.
func (rs *repairs) said(dir string) string {
	var all []string
	for _, r := range rs.open(dir) {
		all = append(all, r.String())
	}
	return strings.Join(all, " ")
}

// suspect says loudly that something stored cannot be read, and has the next start carve everything.
func (s *Store) suspect(stream string, err error) {
	s.log.Error("what is stored is damaged: restart when it suits, and the store is made anew from all that is sound; callbacks are taken meanwhile",
		zap.String("stream", stream), zap.Error(err))
	s.health.mu.Lock()
	s.health.damage = fmt.Sprintf("%s: %v; it is mended at the next start", stream, err)
	s.health.mu.Unlock()
	if s.o.URL != "" {
		return
	}
	path := filepath.Join(s.o.Dir, suspectFile)
	if err := errors.Join(os.WriteFile(path, fmt.Appendf(nil, "%s: %v", stream, err), 0o600), syncPath(s.o.Dir)); err != nil {
		s.log.Error("the next start would not know of the damage", zap.Error(err))
	}
}

// forgetServerState takes away what the server keeps of consumers and schedules without a checksum: it makes it anew from the
// messages, and where the readers stand is told to it. The description of a consumer that is damaged goes with it.
func forgetServerState(o *Options, st *state) error {
	for _, name := range streamNames() {
		dir := streamDir(o, name)
		if err := os.RemoveAll(filepath.Join(dir, "msgs", "sched.db")); err != nil {
			return err
		}
		reader := filepath.Join(dir, "obs", readerName)
		if err := metaSound(name+"/"+readerName, reader); err != nil {
			if err := os.RemoveAll(reader); err != nil {
				return err
			}
		}
		if st.mark.Floor == nil && name == acceptStream {
			continue // nothing else knows where the reader stands
		}
		if err := os.RemoveAll(filepath.Join(reader, "o.dat")); err != nil {
			return err
		}
	}
	return nil
}
