package jetstream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
)

// MaxPartitions is how many accept streams a cluster can have.
const MaxPartitions = 64

// seqBits is where the number of the partition begins in a Pack's Seq, so that the packs of all partitions have numbers of their
// own. What remains is enough for a thousand packs a second over 4,000 years, and all of it is exact as a JSON number.
const seqBits = 47

// packSeq is what a pack is called outside: for the first partition, its sequence number in the stream.
func packSeq(partition int, seq uint64) uint64 { return uint64(partition)<<seqBits | seq }

// splitSeq undoes packSeq.
func splitSeq(packSeq uint64) (partition int, seq uint64) {
	return int(packSeq >> seqBits), packSeq & (1<<seqBits - 1)
}

// homeOf gives the partition of n that a callback goes to: all of one key to the same, so that it tells repeats.
func homeOf(k engine.Key, n int) int { return int(binary.BigEndian.Uint64(k[:8]) % uint64(n)) }

// partition is one accept stream and what belongs to it: its packer, its reader and its index of repeats.
type partition struct {
	s       *Store
	number  int
	chain   *chain
	repeats *repeats
	packs   *source[*engine.Pack]

	held atomic.Bool // with a spool: nothing is sent to the cluster

	counted uint64        // where the stream ended when the other nodes' callbacks were counted; the keeper's
	others  atomic.Uint64 // callbacks that the other nodes have stored, ever

	packing sync.Mutex
	next    *batch        // under packing: the pack that callbacks join now
	closed  bool          // under packing: nothing joins any more
	joined  chan struct{} // tells the packer that something has, or that nothing will
	closing chan struct{} // closed with closed
	recent  recent        // the packer's
	crowded atomic.Bool   // recent has no room
}

func newPartition(s *Store, number int, from markOf, out chan *engine.Pack) *partition {
	p := &partition{s: s, number: number, next: newBatch(nil), joined: make(chan struct{}, 1), closing: make(chan struct{})}
	p.recent.most = s.o.Recent
	p.held.Store(s.o.Spool != nil)
	name := acceptName(number)
	p.chain = newChain(s, name, acceptSubjects(number), kindCallbacks, from)
	p.packs = newSource(s, name, out, func(ss *session) jetstream.Consumer { return ss.readPacks[number] }, p.readPack)
	return p
}

// acceptName is the stream of a partition; the first one's is the one there is without partitions.
func acceptName(partition int) string {
	if partition == 0 {
		return acceptStream
	}
	return acceptStream + "_" + strconv.Itoa(partition)
}

// acceptSubjects is what the partition's subjects begin with; the node follows.
func acceptSubjects(partition int) string {
	if partition == 0 {
		return acceptSubject
	}
	return "aftermath.accept_" + strconv.Itoa(partition) + "."
}

var acceptNames = regexp.MustCompile(`^` + acceptStream + `_([1-9][0-9]?)$`)

// partitionOf tells which partition's stream that is.
func partitionOf(stream string) (int, bool) {
	if stream == acceptStream {
		return 0, true
	}
	m := acceptNames.FindStringSubmatch(stream)
	if m == nil {
		return 0, false
	}
	n, err := strconv.Atoi(m[1])
	return n, err == nil && n < MaxPartitions
}

// Metadata of the first accept stream: what all nodes must agree on.
const (
	partitionsKey = "aftermath_partitions"
	sinceKey      = "aftermath_partitions_since" // RFC 3339: when the number was last changed
)

// agreement is what the nodes of a cluster go by.
type agreement struct {
	partitions int       // callbacks are spread over
	streams    int       // that are read: more, where there were more partitions once
	since      time.Time // when the number was changed; zero: never
}

// agree finds out over how many partitions the nodes spread callbacks. The configured number is taken where the cluster has none
// yet, and where no other node is at work: two numbers at once would send a callback and its repeat to different partitions.
func (s *session) agree(ctx context.Context, o *Options) error {
	a := &s.agreement
	a.partitions, a.streams = o.Partitions, o.Partitions
	if o.URL == "" {
		return nil
	}
	names := s.js.StreamNames(ctx)
	for name := range names.Name() {
		if n, ok := partitionOf(name); ok {
			a.streams = max(a.streams, n+1)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	st, err := s.js.Stream(ctx, acceptStream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", acceptStream, err)
	}
	have, since := agreed(st.CachedInfo().Config.Metadata)
	a.since = since
	if have == o.Partitions {
		return nil
	}
	busy, err := s.othersAtWork(ctx)
	if err != nil {
		return err
	}
	if busy {
		a.partitions = have
		o.Logger.Warn("the cluster's number of partitions is used, not this node's: others are at work with it. To change it, stop all "+
			"nodes, give them the same nats.partitions, and start them again", zap.Int("cluster", have), zap.Int("this_node", o.Partitions))
		return nil
	}
	a.since = o.Now().UTC()
	o.Logger.Warn("the number of partitions is changed: what is in streams beyond it is still read",
		zap.Int("from", have), zap.Int("to", o.Partitions), zap.Int("streams", a.streams))
	return nil
}

// agreed reads the metadata of the first accept stream. A stream without is of a release that knew of one partition.
func agreed(metadata map[string]string) (partitions int, since time.Time) {
	n, err := strconv.Atoi(metadata[partitionsKey])
	if err != nil || n < 1 || n > MaxPartitions {
		n = 1
	}
	since, err = time.Parse(time.RFC3339Nano, metadata[sinceKey])
	if err != nil {
		since = time.Time{}
	}
	return n, since
}

func (a *agreement) metadata() map[string]string {
	m := map[string]string{partitionsKey: strconv.Itoa(a.partitions)}
	if !a.since.IsZero() {
		m[sinceKey] = a.since.Format(time.RFC3339Nano)
	}
	return m
}

// nodesSubject is where nodes ask each other how many partitions there are.
const nodesSubject = "aftermath.nodes"

// askWait is how long a node that starts waits for the answer of any other.
const askWait = time.Second

// othersAtWork asks whether there is another node.
func (s *session) othersAtWork(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_, err := s.nc.RequestWithContext(ctx, nodesSubject, nil)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// answerNodes answers that from now on.
func (s *session) answerNodes() error {
	_, err := s.nc.Subscribe(nodesSubject, func(m *nats.Msg) {
		m.Respond([]byte(strconv.Itoa(s.partitions))) // who asks waits no longer than askWait
	})
	return err
}

// stray tells, where another node has changed the number of partitions since this one started, what is to be done.
func (p *partition) stray(ss *session, info *jetstream.StreamInfo) string {
	if p.number > 0 || ss.srv != nil {
		return ""
	}
	have, _ := agreed(info.Config.Metadata)
	if have == ss.partitions {
		return ""
	}
	return fmt.Sprintf("the cluster's number of partitions was changed to %d while this node went on with %d: start it anew, or a "+
		"callback that comes to both kinds of nodes may be handled twice", have, ss.partitions)
}

// home gives the partition that takes a callback.
func (s *Store) home(k engine.Key) *partition { return s.parts[homeOf(k, s.session().partitions)] }

// Partitions is over how many streams callbacks are spread.
func (s *Store) Partitions() int { return s.session().partitions }

// countOthers counts what the other nodes have stored, where the stream has grown: each one's last pack says how much came before.
func (p *partition) countOthers(ctx context.Context, ss *session, last uint64) error {
	if ss.srv != nil || last == p.counted {
		return nil
	}
	var sum uint64
	err := ss.lastOfEach(ctx, p.chain.name, acceptSubjects(p.number)+"*", func(m *stored) error {
		if m.subject != p.chain.subject && len(m.data) >= headSize {
			ordinal, count := ordinalOf(m.data)
			sum += ordinal + count
		}
		return nil
	})
	if err == nil {
		p.others.Store(sum)
		p.counted = last
	}
	return err
}
