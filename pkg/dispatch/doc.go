// Package dispatch carries out one attempt of one message: it asks router where
// each recipient goes, groups recipients by next hop, hands the jobs to
// smtp-client and local-deliver within its limits, and settles what comes back:
// done, reported, or filed under deferred/ and told to qmgr. First attempts come
// from cleanup, later ones from qmgr; dispatch decides neither when nor where. It
// alone touches the files of a message: it also holds, releases and deletes one
// when qmgr asks.
//
// It promises that a recipient is finished only when its outcome is safe: a
// delivery once the agent said so, a failure once its report is durable, a
// deferral once the message lies flushed under deferred/. Until then the
// journal's record (or the deferred file) stands, and whoever comes next
// attempts it again. It refuses to hold more in memory than its budget: above
// it the journal itself is the backlog.
//
// # The path of a first attempt
//
//	intake.go   an Attempt arrives from cleanup, or a record is found in the journal
//	flight.go   one attempt from here to its end, in one goroutine
//	route.go    router's leaves; what it decided already
//	orders.go   the administrator's orders: what they keep, what goes elsewhere
//	group.go    leaves of one next hop become one job (pure)
//	limits.go   a place for each job, fair between destinations
//	shape.go    no more of them than a destination likes (pkg/pace)
//	lanes.go    which job is begun next (pure)
//	deliver.go  the jobs, side by side, each with its outcome
//	jot.go      who is served while others are not: written at once, unflushed
//	note.go     the same while others are slow: filed, for power cuts
//	source.go   the address that a job comes from, and way.go what hosts are known by for it
//	quirks.go   what servers showed of themselves, and what follows (pkg/quirk)
//	report.go   what failed is told to the sender, through bounce
//	settle.go   what is left is filed; then the record is marked done
//	finish.go   the end of what lies under deferred/, flushed behind
//
// Later attempts, and orders about messages, come in at due.go; abort.go ends an attempt.
//
// # What a crash leaves
//
// At any point before the mark: the record, attempted again at the next start
// (a delivery that was made in the last moment may be made twice; after a power cut,
// of a message whose other recipients take longer, one of the last quarter of a
// second). After
// filing and before the mark: both; recovery lets deferred/ win. What ended under
// deferred/ in the second before a power cut may be there again, as it was before its
// last attempt. See pkg/spool for the table of states.
//
// # Security
//
// Runs as filbert, sees spool/ alone, opens no network connection, parses no
// content.
//
// # Standards
//
// RFC 5321, section 4.5.4.1 (sending strategy); RFC 3461, section 6 (who
// reports what).
package dispatch
