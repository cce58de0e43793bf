// Package storetest has what the tests of a store, and of those who use one, need: Run, the conformance suite that every
// engine.Store must pass, and Memory, a store that keeps everything in memory and passes it too.
package storetest
