// Package cleanup makes a message ours: it checks what a submitter hands in,
// completes its header, commits it to the journal, and only then answers. Its
// answer is the moment of acceptance: smtpd's 250, sendmail's exit status 0 and
// the end of a bounced original all wait for it.
//
// It promises that an Acceptance with code 250 was preceded by the flush of the
// whole message, that every byte of the message is kept as it came but for the
// fields that it adds in front (Received always; Date, Message-ID and From where
// a local submitter left them out) and for the addresses that a [[rewrite]] rule
// changes, and that a refused message leaves nothing
// behind. It refuses messages beyond the limits whole; nothing is ever cut. A message
// whose rules wait for a lookup is refused for now: its submitter keeps it.
//
// It trusts no submitter: addresses, sizes, line ends and limits are checked
// again, and who a local user is comes from the kernel.
//
// # The path of a message
//
//	submit.go    a Submission arrives; small content is in it, large content is read from a pipe
//	check.go     limits, line ends, hops
//	complete.go  the fields that are added
//	rewrite.go   addresses, where [[rewrite]] rules and domains.syntax say so
//	lookup.go    what rules ask router, bounded in number and in time
//	accept.go    commit, then answer  <- the line after which a message is ours
//	handover.go  to dispatch
//
// # What a crash leaves
//
// Before the commit's flush: nothing that recovery keeps. After it: a whole
// record, attempted by dispatch, whether or not the answer got out.
//
// # Security
//
// Runs as filbert. The kernel lets it touch spool/incoming alone: no network,
// no exec, a seccomp filter of its own.
//
// # Standards
//
// RFC 5321, sections 4.4 (trace), 6.3 (loops), 4.5.3.1 (limits); RFC 5322,
// sections 2.1.1, 3.6; RFC 6409, section 8 (what a submission server may add).
package cleanup
