// Package history is what people search: every delivery, pending or ended, and its attempts.
//
// It is a read model. The outcomes stream of the store says all that is true; this package follows it into a SQLite file, one
// transaction a run of events with the place in the stream beside them, so that a crash neither loses an event nor applies it twice.
// It may lag behind, and nothing decides by it. A file that is missing, damaged, of another version or of another store is thrown
// away and built anew while everything else goes on.
//
// What was sent and received stays in the stream: the file knows where each attempt is.
package history
