// Package mtadb is what the suite remembers: what is known of hosts and addresses
// (proto/memory.go), and the history of messages (proto/history.go), in one Pebble
// database in the instance's db directory. Nothing of it is needed to deliver mail.
//
// # What it promises
//
//   - What a caller was told is Remembered is found by the next Recall and is on disk:
//     neither a kill nor a power cut takes it. Callers gather records for a second before
//     they tell them, so this is one flush a second, and none when nothing happens.
//   - The history, and that something was forgotten, is on disk about a second later. A kill
//     or a power cut takes that last second, in order: what is there afterwards was written
//     before what is not. The history is then read from the log again.
//   - A batch is there whole or not at all. The history and the place in the log up to
//     which it was read are one batch, so that no line is told twice or left
//     out after a kill.
//   - Each kind of record is bounded in number, size and age, the history in size and age.
//     What expires first, and the oldest history, goes first.
//   - The history is read from the log, behind the hot path: no program waits for it,
//     and a message that goes through costs no call to mtadb.
//   - A damaged database is renamed to memory.damaged-TIME (one is kept), told, and begun anew.
//     A full or read-only disk is told once; meanwhile calls are refused, and the log is
//     caught up with when there is room.
//
// # Files
//
//	db/memory/                 the database
//	db/memory.damaged-TIME/    one that could not be read, for whoever wants to know why
//
// Deleting db/memory while the suite runs ends mtadb, which master starts again.
//
// # Security
//
// It runs as a user of its own in an empty root. The log is opened
// before it gives up its rights, later ones come from master as descriptors: of all
// files it can reach db/ alone. It has no network and starts no
// program. Administrators ask over run/control/mtadb. Over run/mine/mtadb every user of
// the machine may ask, and is told of the messages that the kernel saw him submit
// (history.ForSubmitter), with bounds on connections, queries and answers for each uid.
//
// # Diagnostics
//
// Pebble can't go on after some errors of the disk, nor after damage that it finds while
// it serves: then mtadb says so and ends, and the next start sorts it out.
package mtadb
