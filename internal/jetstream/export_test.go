package jetstream

import "github.com/aftermath-rules/aftermath/engine"

// WithFree makes the store believe in another disk.
func (o Options) WithFree(free func() uint64) Options {
	o.free = func(string) (uint64, error) { return free(), nil }
	return o
}

// StopServer stops the embedded server under the store, as an error does that sticks to it.
func (s *Store) StopServer() {
	s.session().srv.Shutdown()
	s.session().srv.WaitForShutdown()
}

// PurgeNow takes away what is older than is kept.
func (s *Store) PurgeNow() { s.wantPurge() }

// StreamDir is the folder of a stream of the embedded server.
func StreamDir(dir, stream string) string { return streamDir(&Options{Dir: dir}, "aftermath_"+stream) }

// EncodeCallbacks makes a pack.
func EncodeCallbacks(ordinal uint64, o Options, rs ...*engine.Record) []byte {
	var raw [][]byte
	for _, r := range rs {
		raw = append(raw, appendRecord(nil, r))
	}
	return encodePack(kindCallbacks, ordinal, o.Now(), raw)
}

// DecodeCallbacks reads a pack.
func DecodeCallbacks(b []byte) ([]engine.Record, error) {
	_, rs, err := decodeCallbacks(b)
	return rs, err
}
