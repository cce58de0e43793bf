// Package spool is engine.Store on a cluster with a store of this node's own in front: what the cluster does not take within a
// second is kept there, synced, and handed on in order when the cluster is back.
//
// # What is handed on, and how it stays once
//
// A pack that was sent to the cluster, and of which it is not known whether it was stored, is kept whole. It is sent again as it is,
// to the same place in this node's chain of packs: whichever of the two arrives first takes the place, and the other is refused. A
// callback that was never sent is kept as it came, with the key and the time that it has had from the start, which make its id. What
// is handed on carries, in a header, how far that is; so a node that is killed while it hands on finds out from the cluster where
// to go on.
//
// While a node keeps callbacks, all that come are kept, so that they are handed on in the order in which they came; once all are
// handed on, the next one goes to the cluster again. A repeat of a callback that another node has given to the cluster meanwhile is
// told when it is handed on, within the window of repeats.
//
// # What waits for the cluster
//
// Everything but taking callbacks: matching, deliveries, outcomes, and reading what is stored.
package spool
