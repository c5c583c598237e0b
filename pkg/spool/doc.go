// Package spool keeps the messages that outlive their first attempt: one file
// per message under deferred/ or hold/, and beside it the log of its attempts,
// which people can read. It also knows what a restart has to do with each state
// that a crash can leave, together with pkg/journal.
//
// It promises that what File returned nil for is found whole by every later Open,
// with at least its first log lines, until Remove; that a line that AppendLog
// returned nil for is read by every later Log; and that a torn file is told from
// a whole one. It refuses text that could end a line of a log and begin another,
// and lines that it did not write. Files are opened below one directory and
// symbolic links are never followed. Like all mechanisms it never logs.
//
// # Files
//
//	deferred/XX/ID       the message: envelope and content, never changed
//	deferred/XX/ID.log   its attempts, appended
//	hold/XX/ID[.log]     the same, held
//	orders/standing      the administrator's standing orders (pkg/standing)
//	orders/cancels       what people were told is cancelled when its attempt ends (pkg/qmgr)
//	index/               what qmgr remembers of the queue (pkg/qindex); may be deleted
//	maildrop/ID          a message of pickup while the suite was down; the ID
//	                     is random and no message's (see Drop)
//	corrupt/             what could not be understood, kept
//
// XX is queueid.ID.Shard. A name that ends in ".new" is unfinished.
//
// A message file begins with 64 bytes, integers big-endian:
//
//	 0  8  magic "FILBMSG1"
//	 8  8  id
//	16  8  length of the content
//	24  4  length of the envelope
//	28  4  CRC-32C of the envelope
//	32  4  CRC-32C of the content
//	36  4  length of the log's first lines
//	40  4  CRC-32C of the log's first lines
//	44  16 zero
//	60  4  CRC-32C of the 60 bytes before
//	64  .. envelope, content
//
// A line of a log is text: time, verb, number of the recipient ("-" for the whole
// message), its address, what is known about the outcome as key=value, and a
// checksum of the line:
//
//	2026-03-01T09:30:00.123456Z deferred 0 "a@example.org" code=450 status=4.2.0 text="later" #5c1f0a3e
//
// A line is read as it was written or not at all: a torn one can't pass for
// another. A later line is always whole on its own, as AppendLog ends a torn one
// first.
//
// # States
//
// A message is in exactly one of these states. The journal record and its mark
// are journal's; recovery is Resolve for each undone record, then Sweep.
//
//	state                   record            mark  deferred/ or hold/    recovery
//	S1  being received      none or torn      -     no                    drop: never acknowledged
//	S2  ours, 1st attempt   whole             no    no, or a lone log     remove the log, attempt again,
//	                                                                      but who was jotted beside it
//	S3  being filed         whole             no    whole                 the file wins: mark done
//	S3' being filed         whole             no    torn                  remove the file, attempt again
//	S4  under qmgr, or      whole, recycled   yes   whole                 schedule
//	    noted
//	S4' being moved         whole, recycled   yes   in two places         bring them together
//	S5  finished            whole, recycled   yes   no                    nothing; reuse the segment
//	S6  finished, not yet   -                 -     log says finished,    remove
//	    removed                                     file there or not
//	S6' finished without    -                 -     file in the log's     remove
//	    a flush                                     place, or both names
//
// "Whole" means the message file and the first lines of its log: a file whose
// log did not make it would not say to whom the message was delivered already.
//
// "Noted" is a message whose first attempt goes on while some of its recipients
// have been served: it is filed with a line for each of these, so that a crash
// repeats nothing of them, and those who are still being served as owed. Its log
// ends in "ongoing" as long as the attempt does (as that of a later attempt, which
// is noted in the same way). To recovery it is a message like others, but that who
// has no line is due at once.
//
// "Jotted" is who was served while others were not: written without a flush, beside
// the record (journal.Marker.Serve) before the message is filed, and into its log
// after that (JotLog), which ends in "ongoing" then, too. A killed process leaves
// that behind and a power cut need not. It says of somebody that he was served, or
// nothing: whatever part of it is left is true.
//
// Resolve flushes what it finds whole (a killed process may have left it in the
// page cache alone) before the caller's mark says that it is there.
//
// S6' says "finished" to whoever reads the log. A power cut may also leave the message
// and its log as they were before: S4, and the last attempt is made again.
//
// S1 is dropped by the journal's reader. S6 with its file is found by whoever
// reads the log (qmgr when it builds its schedule, dispatch at an attempt) and
// removed with Remove; the lone log of S6 by Sweep.
//
// A message file that is damaged in S4 (so not by a crash) is moved to corrupt/
// with Quarantine and reported. A log that is damaged there costs knowledge: its
// good lines count, recipients without one are attempted again.
//
// # Order of the writes
//
//	File    log, flush; message, flush; flush the directory; then the journal's mark
//	Jot     beside the record, or a line; no flush
//	Note    as File, mark included; then Append for who is served later, and at the end
//	Append  line, flush
//	Move    link the log in the new place, flush, remove it from the old, flush;
//	        the same with the message
//	Finish  rename the message over its log; no flush
//	Reap    flush the directory; remove what is there in the log's place
//	Remove  "finished" into the log, flush; remove the message, flush the
//	        directory; remove the log
//
// Invariant: a message file is removed, or Finished, only when the mark of its journal record
// is known to be on stable storage (journal.Marker.Flushed). That is the
// caller's to keep.
package spool
