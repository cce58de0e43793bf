// Package engine takes callbacks in, matches them against the rules of the moment and delivers what matched.
//
// The way of a callback: Accept stores it, and nothing else happens before the answer. The reader takes packs of stored callbacks,
// asks the current rule set about each pair, records what matched and makes a delivery of each match and action. A runner for
// each action attempts its deliveries under the action's limits; judge turns what an attempt gave into a verdict: done, again at
// a time (parked in the store until then), or dead (a dead letter). The ledger records every outcome together with the totals
// after it. A pack is acked, and never read again, when all of its outcomes are recorded.
//
// What must hold after a crash at any step:
//
//   - A delivery exists in copies: its pack is copy 0, and each time it is parked a copy with the next number is stored before the
//     one before it is let go. Only the copy with the highest number counts; memory finds out which that is.
//   - What matched is recorded before any copy of its deliveries is parked or buried, so a pack that is read again makes the
//     same deliveries, whatever the rules say by then.
//   - A dead letter that is replayed or discarded, and a delivery that reprocessing makes, begin with a copy that carries an order.
//     Whoever reads it takes the dead letter away, which only one can, records what became of it, and goes on from there. The copies
//     of a delivery's next life have higher numbers than any of the lives before.
//   - An outcome is recorded before its pack or bundle is acked, and counted in the same write. So nothing is lost, nothing is
//     counted twice, and what may be repeated is only what ran when the process ended.
package engine
