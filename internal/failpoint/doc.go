// Package failpoint lets tests kill the process at a named step. It does nothing at all in a program that is built as usual: only with
// the build tag failpoint, which go build ./cmd/aftermath does not set, does Pass look at anything.
//
// In a program built with -tags failpoint, AFTERMATH_FAILPOINT=NAME:N has the process kill itself (SIGKILL, as kill -9) when it passes
// the point of that name for the Nth time.
package failpoint

// The points, in the order in which a callback passes them.
const (
	Pack      = "pack"      // callbacks are about to be stored as one pack
	Published = "published" // they are stored, and nobody knows yet
	Answer    = "answer"    // a callback is stored, and about to be answered
	Match     = "match"     // a pack was read, and is about to be matched
	Matched   = "matched"   // it was, and its deliveries are about to be sent on their way
	Run       = "run"       // an attempt is about to run
	Ran       = "ran"       // it has, and its outcome is about to be decided
	Outcome   = "outcome"   // outcomes are about to be recorded
	Recorded  = "recorded"  // they are, and what they settle is about to be acked
	Schedule  = "schedule"  // copies are about to be parked
	Scheduled = "scheduled" // they are, and their outcomes are about to be recorded
	Bury      = "bury"      // a dead letter is about to be stored
	Buried    = "buried"    // it is, and its outcome is about to be recorded
	Replay    = "replay"    // copies with orders are about to be stored
	Replayed  = "replayed"  // they are
	Exhume    = "exhume"    // an order is about to take a dead letter away
	Exhumed   = "exhumed"   // it has, and that is about to be recorded
)

// All gives the points.
func All() []string {
	return []string{
		Pack, Published, Answer, Match, Matched, Run, Ran, Outcome, Recorded, Schedule, Scheduled, Bury, Buried, Replay, Replayed, Exhume, Exhumed,
	}
}
