// Package resolvetest is a name server for tests that tells the truth of a
// zone, or lies about it in every way that hostile and broken servers do. It
// serves one goroutine per listener on loopback; tests/dnsd runs it as a
// program for scripts.
//
// # Zone text
//
// Lines of a zone file (RFC 1035, section 5), with a default TTL of 300, names
// absolute; `*.example.` is a wildcard. A line that begins with `!` is a lie:
//
//	!drop NAME [TYPE]           no answer
//	!servfail NAME [TYPE]       SERVFAIL; also !refused, !nxdomain, !formerr
//	!lame NAME [TYPE]           a referral without an answer
//	!truncate NAME [TYPE]       TC over UDP, the answer over TCP
//	!cut N NAME [TYPE]          only the first N octets of the answer
//	!garbage NAME [TYPE]        64 octets of 0xff behind the right id
//	!wrongid NAME [TYPE]        a forged answer with another id, no true one
//	!forge NAME [TYPE]          a forged answer with another id, then the true one
//	!wrongname NAME [TYPE]      an answer to another question
//	!lowercase NAME [TYPE]      the question's letters in lower case
//	!noedns NAME [TYPE]         FORMERR to whoever uses EDNS
//	!raw NAME TYPE HEX          a record with exactly these octets of data
//	!many NAME MX|A|TXT N       N records of the type
//	!loop NAME                  a CNAME to itself, by way of another name
//	!chain NAME N TARGET        N CNAMEs, one after the other, to TARGET
//
// TYPE "*" or none means every type. Names are compared without regard to case.
package resolvetest
