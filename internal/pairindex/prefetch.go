//go:build amd64 || arm64

package pairindex

import "unsafe"

// prefetch has the cache line of p brought from memory and waits for nothing. A read would hold up what comes after it, since a
// processor has only a few hundred instructions under way at once. Go itself has no means for it.
//
//go:noescape
func prefetch(p unsafe.Pointer)
