// Package journal is where a message becomes ours: segments under incoming/
// into which cleanup appends whole messages, many with one flush, and in which
// dispatch marks what needs nothing more.
//
// It promises cleanup that when Commit returns nil the record is on stable
// storage and every later Scan finds it, byte for byte, until dispatch marks it
// done. It promises dispatch that a record that Scan or Read gives was written
// whole by this use of the segment. It refuses to try a failed flush again, to
// append where anything of an earlier run may still lie, and to have two writers.
// Like all mechanisms it returns errors and never logs.
//
// # Who does what
//
// The Writer belongs to cleanup, the Marker to dispatch; they share files and
// no memory. The Writer makes segments and the files of marks, appends records,
// and reuses a segment when its marks say that all its records are done and
// that these marks were flushed. It reads that from the file itself whenever it
// is short of segments, so that Marker's SegmentFree notice is a hint that may be
// lost. Scan reads everything and changes nothing.
//
// # What is on disk
//
//	incoming/.cleanup         locked by the Writer
//	incoming/.dispatch        locked by the Marker
//	incoming/NNNNNNNN.j       a segment: SegmentSize bytes, preallocated
//	incoming/NNNNNNNN.done    its marks
//	incoming/NNNNNNNN.served  who was served of its records that are not done
//	incoming/NNNNNNNN.new     a segment being made (a crash's leftover: removed)
//	incoming/ID               the content of one large message
//	corrupt/                  pieces of segments that could not be understood
//
// All integers are big-endian. A segment begins with a block of 4,096 bytes that
// holds the same header twice, at 0 and at 2,048 (a torn write spoils one):
//
//	 0  8  magic "FILBJRN1"
//	 8  4  segment number
//	12  4  generation: greater at each use of any segment
//	16  8  tag: random at each use
//	24  4  CRC-32C of the 24 bytes before
//
// Records follow from 4,096, each on a multiple of 8; the first of a flush on a
// multiple of 4,096, so that no acknowledged byte is in a page that is written
// again. A record:
//
//	 0  4  magic "FJR1"
//	 4  4  CRC-32C of the bytes from 8 to 64
//	 8  8  tag of the segment's use
//	16  4  generation
//	20  4  index in this use, from 0
//	24  4  flags: 1 = content is in incoming/ID
//	28  4  length of the envelope
//	32  8  length of the content
//	40  4  index of the first record of the same flush
//	44  4  zero
//	48  8  id
//	56  4  CRC-32C of envelope and content (of the envelope alone with flag 1)
//	60  4  CRC-32C of the file's content (with flag 1), else 0
//	64  .. envelope, content
//
// The generation keeps an earlier use of the same bytes from being read as new.
// The tag, which nobody outside can know, does the same for a message whose
// content was made to look like a record, where a reader has to search for the
// next whole record behind a damaged one.
//
// A file of marks begins with 512 bytes: magic "FILBDON1", generation (4), count
// of marks that were flushed (4), CRC-32C of the 16 bytes before (4). From 512, 4
// bytes per record: its generation when it is done. As each mark bears the
// generation, a mark of an earlier use can't hide a new record, whatever part
// of the file a power cut kept.
//
// A file of who was served belongs to the Marker alone. It is 40 bytes for each
// delivery of a record whose others go on, from the beginning of the file at each
// use, and is never flushed: it is for processes that are killed.
//
//	 0  8  id
//	 8  4  generation
//	12  4  index of the record
//	16 16  digest: which delivery of the record
//	32  4  flags, which the caller knows
//	36  4  CRC-32C of the 36 bytes before
//
// An entry that is missing costs a second delivery. One that is there is true
// whenever it was written, as no other message ever has its id.
//
// # What a crash leaves
//
// A flush that was under way leaves any part of its records. None of them was
// acknowledged. The whole ones are attempted (their senders will send them
// again: a duplicate, not a loss), the others dropped. The reader knows them by the
// index of the flush: what fails at or behind the beginning of the last flush was
// torn; what fails before it had been acknowledged, and goes to corrupt/.
//
// A process that is killed leaves things in the page cache that the next one
// reads and a power cut forgets. So nothing is acted upon that was only read:
// Recover flushes a segment before it tells its undone records, OpenMarker has
// marks that were not known as flushed written anew, and Open flushes the names
// in incoming/ before it commits under them.
//
// A Writer that starts never appends to a segment that it finds. It takes fresh
// ones and lets the old ones be until they are done. Marks of the last second
// may be missing after a power cut: such a message may be delivered twice,
// never lost. After a crash of dispatch alone no mark is missing.
//
// A large file that no undone record names belongs to a message that was never
// accepted, or is done: the Writer removes it when it starts.
package journal
