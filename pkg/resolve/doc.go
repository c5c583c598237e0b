// Package resolve asks the domain name system: a stub resolver with a cache
// of its own, for the one program of the suite that speaks DNS.
//
// It promises that what it gives out is usable: a name in an answer has the
// form of a host name (no NUL, space, newline or `;`, whatever a hostile zone
// says), an address is one, lists are short, and no chain of aliases is
// followed for ever. Text records come as untrusted.Text. What cannot be used
// is dropped where it stands and counted, so that the caller can say so.
//
// It tells apart what mail must treat apart: the name does not exist, the name
// has no such records, and the several ways in which nothing certain is known
// (server failure, refusal, time-out, nonsense). Only the first two are
// permanent: an *Error answers Kind and Temporary.
//
// Each question goes to the configured servers in order, over UDP from a fresh
// random port with a random id and random letter case (RFC 5452), with EDNS(0)
// (RFC 6891), and over TCP where an answer was cut (RFC 7766); a server that did
// not answer is asked last for a while. Every query has a time-out and every
// lookup a deadline. Callers with the same question share one lookup.
//
// Answers are kept for their TTL within bounds, absences as RFC 2308 says,
// failures for a second (RFC 9520, section 3.2). There is no search list: names
// are absolute. "localhost" is this machine (RFC 6761, section 6.3); no other
// name is answered from a file.
//
// It refuses to guess: an answer to another question, with another id or from
// another address is no answer. It does not validate DNSSEC.
//
// A crash leaves nothing behind.
package resolve
