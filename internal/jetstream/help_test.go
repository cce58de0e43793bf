package jetstream_test

import "crypto/rand"

// random fills b with random bytes.
func random(b []byte) { rand.Read(b) }
