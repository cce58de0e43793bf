package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

const (
	startDeadline = 60 * time.Second // for the embedded server to read its folder
	apiDeadline   = 10 * time.Second // for one request that no caller waits for
	account       = "$G"             // of the embedded server
)

// session is one life of the server and the connection to it. The embedded server is given a new one to heal a write error.
type session struct {
	srv *server.Server // nil for a cluster
	nc  *nats.Conn
	js  jetstream.JetStream

	agreement
	accept                            []jetstream.Stream   // by partition
	readPacks                         []jetstream.Consumer // by partition
	later, outcomes, dead, quarantine jetstream.Stream
	readBundles                       jetstream.Consumer
}

// openSession starts the server, or connects to the cluster, and sees to it that streams and consumers are there.
func openSession(ctx context.Context, o *Options) (*session, error) {
	s := &session{}
	if err := s.open(ctx, o); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) open(ctx context.Context, o *Options) (err error) {
	if o.URL == "" {
		err = s.startServer(ctx, o)
	} else {
		err = s.connect(ctx, o)
	}
	if err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithDefaultTimeout(apiDeadline)); err != nil {
		return err
	}
	if err := s.lookForLost(ctx, o); err != nil {
		return err
	}
	if err := s.agree(ctx, o); err != nil {
		return err
	}
	if o.URL != "" {
		if err := s.answerNodes(); err != nil {
			return err
		}
	}
	if err := s.makeAccept(ctx, o); err != nil {
		return err
	}
	return s.makeStreams(ctx, o)
}

// startServer starts the embedded server. It listens on nothing: the one connection to it is a pipe in this process.
func (s *session) startServer(ctx context.Context, o *Options) error {
	opts := &server.Options{
		ServerName:         "aftermath",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           o.Dir,
		SyncAlways:         true,
		MaxPayload:         maxPayload,
		MaxPending:         8 * maxPayload,
		JetStreamMaxStore:  o.Keep.Disk + o.Keep.Disk/4, // the streams' own bounds are what holds
		JetStreamMaxMemory: 64 << 20,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded store %s: %w", o.Dir, err)
	}
	log := &serverLog{log: o.Logger.Named("nats").Sugar()}
	srv.SetLoggerV2(log, false, false, false)
	s.srv = srv
	started := make(chan struct{})
	go func() {
		defer close(started)
		srv.Start()
	}()
	select {
	case <-started:
	case <-ctx.Done():
		return fmt.Errorf("embedded store %s: start: %w", o.Dir, context.Cause(ctx))
	}
	if !srv.JetStreamEnabled() {
		return fmt.Errorf("embedded store %s: the server could not open the folder: %s", o.Dir, log.last())
	}
	if s.nc, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("aftermath"), nats.MaxReconnects(-1), syncQueue, logErrors(o.Logger)); err != nil {
		return fmt.Errorf("embedded store %s: connect: %w", o.Dir, err)
	}
	return nil
}

// syncQueue is room for what getBatch asks for at once. The client's own default takes half a megabyte for each subscription.
var syncQueue = nats.SyncQueueLen(4 * scanBatch)

// logErrors logs what the client would print on stderr: errors that belong to no call.
func logErrors(log *zap.Logger) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
		of := ""
		if sub != nil {
			of = sub.Subject
		}
		log.Warn("nats client", zap.Error(err), zap.String("subscription", of))
	})
}

// connect connects to the cluster, for which it waits until ctx ends, and goes on trying for ever once it was connected.
func (s *session) connect(ctx context.Context, o *Options) error {
	log := o.Logger.Named("nats")
	opts := []nats.Option{
		nats.Name("aftermath " + o.Node),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1), // what is sent without a connection is an error at once, and is not sent behind anyone's back later
		nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 500*time.Millisecond),
		nats.Timeout(5 * time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreDiscoveredServers(),
		syncQueue,
		logErrors(log),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("the cluster's connection is lost", zap.Error(err)) }),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info("connected to the cluster again", zap.String("server", nc.ConnectedUrlRedacted()))
		}),
	}
	if o.Credentials != "" {
		opts = append(opts, nats.UserCredentialBytes([]byte(o.Credentials)))
	}
	var err error
	for first := true; ctx.Err() == nil; first = false {
		if s.nc, err = nats.Connect(o.URL, opts...); err == nil {
			return nil
		}
		if errors.Is(err, nats.ErrAuthorization) {
			err = fmt.Errorf("%w: %w", ErrRefused, err)
			break
		}
		if first {
			log.Warn("the cluster cannot be reached: waiting for it", zap.Strings("servers", hosts(o.URL)), zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return fmt.Errorf("cluster %s: connect: %w", strings.Join(hosts(o.URL), ", "), err)
}

// hosts names the servers of a URL as messages may show them: without users, passwords and tokens.
func hosts(servers string) []string {
	var names []string
	for server := range strings.SplitSeq(servers, ",") {
		if u, err := url.Parse(strings.TrimSpace(server)); err == nil {
			names = append(names, u.Host)
		}
	}
	return names
}

// close ends the connection, then the server, and waits for both.
func (s *session) close() {
	if s.nc != nil {
		s.nc.Close()
	}
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
}

// names and subjects
const (
	acceptStream     = "aftermath_accept"
	laterStream      = "aftermath_later"
	outcomesStream   = "aftermath_outcomes"
	deadStream       = "aftermath_dead"
	quarantineStream = "aftermath_quarantine"

	acceptSubject     = "aftermath.accept." // and the node
	scheduleSubject   = "aftermath.later.at."
	dueSubject        = "aftermath.later.due"
	outcomesSubject   = "aftermath.outcomes." // and the node
	deadSubject       = "aftermath.dead."     // and the delivery's id, as deadToken gives it
	quarantineSubject = "aftermath.quarantine"

	readerName = "reader"
)

// ackWait is how long a node may say nothing of a pack before another is given it.
const ackWait = 30 * time.Second

func streamDir(o *Options, stream string) string {
	return filepath.Join(o.Dir, server.JetStreamStoreDir, account, "streams", stream)
}

// laterShare is how much of keep.disk parked deliveries may take.
func laterShare(o *Options) uint64 { return uint64(o.Keep.Disk) / 8 }

// laterDuplicates is for how long parking that gave an error can be tried again: the server remembers the names of bundles for so long,
// some 150 bytes each.
func laterDuplicates(o *Options) time.Duration {
	if o.URL == "" {
		return 10 * time.Minute // it is started anew when it fails for long, in this process
	}
	return time.Hour
}

// makeAccept makes the streams of the partitions, and opens those of partitions that take no callbacks any more.
func (s *session) makeAccept(ctx context.Context, o *Options) error {
	for n := range s.streams {
		if n >= s.partitions {
			st, err := s.js.Stream(ctx, acceptName(n))
			if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return fmt.Errorf("stream %s: %w", acceptName(n), err)
			}
			if err == nil {
				if err := s.addAccept(ctx, o, n, st); err != nil {
					return err
				}
				continue
			}
		}
		// No MaxAge here and on the outcomes: it would take away what is not handled yet, and the totals. keep.go purges them.
		cfg := jetstream.StreamConfig{
			Name: acceptName(n), Subjects: []string{acceptSubjects(n) + "*"}, MaxBytes: o.Keep.Disk / 2 / int64(s.streams),
		}
		if n == 0 && o.URL != "" {
			cfg.Metadata = s.metadata()
		}
		st, err := s.makeStream(ctx, o, cfg)
		if err != nil {
			return err
		}
		if err := s.addAccept(ctx, o, n, st); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) addAccept(ctx context.Context, o *Options, n int, st jetstream.Stream) error {
	cons, err := s.makeConsumer(ctx, o, st, "")
	s.accept, s.readPacks = append(s.accept, st), append(s.readPacks, cons)
	return err
}

// makeStreams makes what is not there, and brings what is there to the configuration.
func (s *session) makeStreams(ctx context.Context, o *Options) error {
	disk := o.Keep.Disk
	for _, c := range []struct {
		to  *jetstream.Stream
		cfg jetstream.StreamConfig
	}{
		{&s.later, jetstream.StreamConfig{
			// Without a bound, since the server refuses DiscardNew here, and the other would drop what waits: Park keeps to laterShare.
			Name: laterStream, Subjects: []string{scheduleSubject + "*", dueSubject}, AllowMsgSchedules: true,
			Retention:  jetstream.WorkQueuePolicy, // an ack takes the bundle away
			Duplicates: laterDuplicates(o),
		}},
		{&s.outcomes, jetstream.StreamConfig{Name: outcomesStream, Subjects: []string{outcomesSubject + "*"}, MaxBytes: disk / 4}},
		{&s.dead, jetstream.StreamConfig{
			Name: deadStream, Subjects: []string{deadSubject + "*"}, MaxBytes: disk / 16, MaxMsgsPerSubject: 1,
		}},
		{&s.quarantine, jetstream.StreamConfig{
			Name: quarantineStream, Subjects: []string{quarantineSubject},
			MaxMsgs: int64(o.Keep.Quarantine), MaxBytes: disk / 16, Discard: jetstream.DiscardOld,
		}},
	} {
		st, err := s.makeStream(ctx, o, c.cfg)
		if err != nil {
			return err
		}
		*c.to = st
	}
	var err error
	s.readBundles, err = s.makeConsumer(ctx, o, s.later, dueSubject)
	return err
}

func (s *session) makeStream(ctx context.Context, o *Options, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	cfg.Storage, cfg.Replicas, cfg.AllowDirect = jetstream.FileStorage, o.Replicas, true
	if cfg.MaxBytes > 0 && cfg.Name != quarantineStream {
		cfg.Discard = jetstream.DiscardNew
	}
	st, err := ensureStream(ctx, s.js, cfg)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", cfg.Name, err)
	}
	return st, nil
}

// makeConsumer makes the reader of a stream, which all nodes share.
func (s *session) makeConsumer(ctx context.Context, o *Options, st jetstream.Stream, filter string) (jetstream.Consumer, error) {
	name := st.CachedInfo().Config.Name
	cons, err := ensureConsumer(ctx, st, jetstream.ConsumerConfig{
		Durable: readerName, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxAckPending: 20_000,
		DeliverPolicy: jetstream.DeliverAllPolicy, FilterSubject: filter,
	})
	if err != nil {
		return nil, fmt.Errorf("consumer of %s: %w", name, err)
	}
	if s.srv == nil {
		return cons, nil // other nodes may be at work on what is not acked
	}
	// Nobody else reads the embedded store: what was read before and not acked is to come at once, not after AckWait.
	if _, err := st.ResetConsumer(ctx, readerName); err != nil {
		return nil, fmt.Errorf("consumer of %s: reset: %w", name, err)
	}
	return cons, nil
}
