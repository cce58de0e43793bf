package jetstream

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"go.uber.org/zap"
)

// Options say where and how to store.
type Options struct {
	// Dir is the folder of the embedded server; for an external cluster, of the node's name. It is made, mode 0700.
	Dir string
	// URL names an existing cluster (nats://host:port, comma-separated); empty: the server is embedded.
	URL string
	// Replicas of each stream of a cluster; 0 is 1.
	Replicas int
	// Partitions is over how many streams a cluster spreads what it accepts; 0 is 1. Nodes at work on it decide where they differ.
	Partitions int
	// Credentials is the content of a NATS credentials file.
	Credentials string
	// Node is this node's stable name, [A-Za-z0-9_-]+. Empty: "embedded", or for a cluster one made up and kept in Dir.
	Node string
	// Spool, for a cluster: it keeps what the cluster does not take within a second. Nothing is sent there before Resume is called.
	Spool Spool
	// Linger is how long a pack of callbacks waits for more; 0 is best for who waits, more makes fewer packs.
	Linger time.Duration
	Keep   Keep
	// Recent bounds the bytes of callbacks that are written within some ten seconds, after compression: the embedded server keeps them in
	// memory for so long. Whoever comes beyond it waits. 0: no bound.
	Recent int64
	// Dedupe is the largest window of repeats in use; 0 is 10 minutes. Older callbacks are not needed to tell repeats.
	Dedupe time.Duration
	// Logger may be nil.
	Logger *zap.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time

	free func(dir string) (uint64, error) // of the disk, in bytes; tests fill it
}

// Keep bounds what is kept. Zero fields have the contract's defaults.
type Keep struct {
	Callbacks  time.Duration // how long the journal goes back
	Deliveries time.Duration // how long outcomes are kept
	Disk       int64         // bytes, of all streams together
	Quarantine int           // packets
}

// ErrLocked says that another process has the data folder open.
var ErrLocked = errors.New("another process has it open; stop that one, or give this one a data folder of its own")

// ErrRefused says that the cluster is there and does not let this node in, or that the data folder is not for a cluster.
var ErrRefused = errors.New("refused")

// DamageError says that what is stored is not whole, and could not be made whole, so that the store was not opened: nothing is
// built over it.
type DamageError struct {
	Dir    string // the data folder, or the cluster's URL
	Stream string // empty: more than one, or a file beside them
	Reason string
}

// Error says what is wrong and what can be done.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s: the store is damaged: %s; aftermath does not start on it. Keep a copy of the whole folder and "+
		"restore it from a backup, or move it aside to begin with an empty store", e.Dir, e.what())
}

func (e *DamageError) what() string {
	if e.Stream == "" {
		return e.Reason
	}
	return fmt.Sprintf("the stream %q: %s", e.Stream, e.Reason)
}

var nodeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// embeddedNode is the name of the one node of an embedded store.
const embeddedNode = "embedded"

const defaultDedupe = 10 * time.Minute

// withDefaults fills in and checks.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("the store needs a data folder")
	}
	if o.Node == "" && o.URL == "" {
		o.Node = embeddedNode
	}
	if o.Node != "" && !nodeName.MatchString(o.Node) {
		return o, fmt.Errorf("node name %q: it may have up to 64 letters, digits, _ and -", o.Node)
	}
	if o.Replicas < 0 || o.Replicas > 5 {
		return o, fmt.Errorf("%d replicas: it can be 1 to 5", o.Replicas)
	}
	o.Replicas = max(o.Replicas, 1)
	if o.Partitions < 0 || o.Partitions > MaxPartitions {
		return o, fmt.Errorf("%d partitions: it can be 1 to %d", o.Partitions, MaxPartitions)
	}
	if o.Partitions = max(o.Partitions, 1); o.URL == "" {
		o.Partitions = 1
	} else {
		o.Recent = 0 // the memory is the cluster's
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.free == nil {
		o.free = diskFree
	}
	setDefault(&o.Dedupe, defaultDedupe)
	setDefault(&o.Keep.Callbacks, 7*24*time.Hour)
	setDefault(&o.Keep.Deliveries, 7*24*time.Hour)
	setDefault(&o.Keep.Disk, 10<<30)
	setDefault(&o.Keep.Quarantine, 1000)
	if o.Keep.Disk < minDisk {
		return o, fmt.Errorf("keep.disk of %d bytes: the store needs at least %d", o.Keep.Disk, int64(minDisk))
	}
	return o, nil
}

// minDisk is the least that all streams together need.
const minDisk = 64 << 20

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
