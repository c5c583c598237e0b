// Package bounce tells senders what became of their messages: it takes what
// dispatch found out, decides whether anybody is to be told and whom, has
// pkg/dsn write the report, and submits it to cleanup like anyone else.
//
// It promises that dispatch hears "done" only when the report has cleanup's
// 250 (so it is durable) or none was due, that a null sender is never answered,
// and that a report of ours that fails goes to the postmaster once and then no
// further. It refuses to report to recipients with NOTIFY=NEVER.
//
//	decide.go   is a report due, about whom, to whom (pure)
//	report.go   the report from the request to cleanup's answer
//	words.go    in which language, and in whose words
//
// # Security
//
// Runs as filbert without a file system or the network. What it quotes of
// messages and servers is untrusted.Text and cleaned on its way into the report.
//
// # Standards
//
// RFC 3461, sections 4.1, 6 (NOTIFY, who reports); RFC 5321, section 4.5.5
// (null reverse-path); RFC 3464.
package bounce
