// Package jetstream is engine.Store on NATS JetStream: a server embedded in the process, or an existing cluster.
//
// # Streams
//
//	accept      packs of callbacks, a subject each node. The journal too: handled packs stay until they are older than is kept.
//	            With more than one partition there are accept_1 and so on: a callback's key decides which takes it
//	later       bundles of parked deliveries as scheduled messages, and those that fell due; what is acked is removed
//	outcomes    packs of events and, last in each, the node's totals; a subject each node, whose last message is never purged
//	dead        a dead letter a message, one subject each
//	quarantine  a refused packet a message, the newest ones
//
// # The pack
//
// Whatever is stored is a pack: a message's whole payload, which can be found again in the raw files by its magic and proven
// by its checksum. All numbers are big-endian.
//
//	offset  bytes
//	 0      4      magic "AMPK"
//	 4      1      version, 1
//	 5      1      kind: 1 callbacks, 2 events, 3 parked deliveries, 4 dead letter, 5 quarantined packet
//	 6      2      flags; 1 where the records are compressed with S2 (of the kinds 2 and 3), else 0
//	 8      4      count of records
//	12      4      length of all that follows the head, in bytes
//	16      8      ordinal: how many records of this kind the node stored before, over restarts (0 for the kinds 3 to 5)
//	24      8      when it was written, Unix nanoseconds
//	32      4      CRC-32C (Castagnoli) of the bytes 0 to 31 and all that follows the head
//	36             records, each its length (4 bytes) and its bytes
//
// A callback's record:
//
//	 0      1      version, 1
//	 1     16      key
//	17      8      window in nanoseconds
//	25      8      received, Unix nanoseconds
//	33      4      length of the query
//	37             the query, then the body to the end
//
// The others are the JSON of the structs of package engine: Event (and, last in its pack, {"totals": Totals}, where rules_at is the number of
// the pack before it that has the counts of the rules, to which the matches since are to be added), Parked, DeadLetter, Quarantined; what was
// sent and received stands in an Event as sent_text and received_text where it is text. To fields of these, later releases may add; what is
// there keeps its name and meaning.
//
// # What survives
//
// A method that stores returns once the message is synced to disk (a cluster: to a majority of the replicas). The files mark.json and,
// beside embedded streams, tail say how far they had come: the tail exactly, after a kill; both a little late after a power cut.
//
// # Damage
//
// The embedded server cuts a damaged block file where the damage begins, and what is sound behind is gone. So before it opens
// the folder, inspect reads the block files, and holds them against each other, the mark and the tail. Where anything is amiss, mend
// carves every sound pack out of them by its magic and checksum, and makes the streams anew: sound blocks as they are, of damaged ones
// what is sound, in the server's own format, with the numbers and times they had. Messages that are gone leave a gap, which repairs.json
// remembers. Where the reader stands comes from the mark, since the server's own file of that has no checksum. Pending deliveries and dead
// letters that are gone, and that the outcomes know of, are made anew, and totals put behind that balance with what is there.
package jetstream
