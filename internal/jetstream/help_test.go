package jetstream_test

import (
	"crypto/rand"

	"go.uber.org/zap"
)

// random fills b with random bytes.
func random(b []byte) { rand.Read(b) }

// quiet is a logger for what logs the errors that a test causes.
func quiet() *zap.Logger { return zap.NewNop() }
