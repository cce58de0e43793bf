//go:build !amd64 && !arm64

package pairindex

import "unsafe"

func prefetch(unsafe.Pointer) {}
