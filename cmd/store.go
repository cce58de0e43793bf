package cmd

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/aftermath-rules/aftermath/engine"
	"github.com/aftermath-rules/aftermath/internal/admin"
	"github.com/aftermath-rules/aftermath/internal/config"
	"github.com/aftermath-rules/aftermath/internal/history"
	"github.com/aftermath-rules/aftermath/internal/jetstream"
	"github.com/aftermath-rules/aftermath/internal/spool"
)

// store is what serve needs of one: the embedded one, a cluster, or a cluster with a spool.
type store interface {
	engine.Store
	admin.Journal
	history.Source
}

// spoolFolder is the spool's, in the data folder.
const spoolFolder = "spool"

func openStore(ctx context.Context, cfg *config.Config, log *zap.Logger, metrics prometheus.Registerer) (store, error) {
	o := jetstream.Options{
		Dir: cfg.Data,
		Keep: jetstream.Keep{
			Callbacks: cfg.Keep.Callbacks, Deliveries: cfg.Keep.Deliveries, Disk: int64(cfg.Keep.Disk), Quarantine: cfg.Keep.Quarantine,
		},
		Recent: recentShare("/"),
		Dedupe: cfg.Callback.Dedupe,
		Logger: log,
	}
	if cfg.NATS.URL != "" {
		o.URL, o.Replicas, o.Partitions, o.Credentials = cfg.NATS.URL, cfg.NATS.Replicas, cfg.NATS.Partitions, cfg.NATS.Credentials.Reveal()
	}
	if o.URL == "" {
		return jetstream.Open(ctx, o)
	}
	so := spool.Options{Cluster: o, Logger: log}
	if cfg.NATS.Spool {
		so.Dir, so.Disk = filepath.Join(cfg.Data, spoolFolder), int64(cfg.Keep.Disk)/4
	}
	s, err := spool.Open(ctx, so)
	if err != nil {
		return nil, err
	}
	if cfg.NATS.Spool {
		watchSpool(metrics, s.Status)
	}
	return s, nil
}

// watchSpool registers the gauges of what this node keeps alone.
func watchSpool(metrics prometheus.Registerer, status func() engine.StoreStatus) {
	for _, g := range []struct {
		name, help string
		value      func(s *engine.SpoolStatus) float64
	}{
		{"aftermath_spool_callbacks", "Callbacks that this node keeps alone, until the cluster takes them.",
			func(s *engine.SpoolStatus) float64 { return float64(s.Callbacks) }},
		{"aftermath_spool_bytes", "Their bytes.", func(s *engine.SpoolStatus) float64 { return float64(s.Bytes) }},
		{"aftermath_spool_oldest_seconds", "How long ago the oldest of them came; 0 where there is none.", func(s *engine.SpoolStatus) float64 {
			if s.Oldest.IsZero() {
				return 0
			}
			return time.Since(s.Oldest).Seconds()
		}},
	} {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 {
			return g.value(status().Spool)
		}))
	}
}

// awaitsCluster tells whether the store was opened without its cluster: the counts are not known yet then, and the engine reads them
// when they can be read.
func awaitsCluster(s store) bool {
	sp, ok := s.(*spool.Store)
	return ok && !sp.Opened()
}
