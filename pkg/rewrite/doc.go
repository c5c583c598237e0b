// Package rewrite is what the [[rewrite]] rules of the configuration do to
// addresses: pure functions from rules and text to text. There is no clock, no
// I/O and no state.
//
// # A rule
//
//	sources    where the address stands: envelope-sender, envelope-recipients,
//	           any header field by its name, or headers and all for many of them
//	listeners  the doors by which the message came in, clients its networks
//	match      exact, a glob whose stars are {1} {2} ..., /an expression/, or
//	           lookup:NAME for the addresses that a lookup has
//	to         the new address; * for a local part or domain that stays
//	then       continue with the next rule, stop, or again from the first
//
// Rules are tried in their order, each on what the one before made. Upper and
// lower case are the same, captures keep the case of what they captured. A rule
// that a transport names is for what leaves by that transport, and is not asked
// when mail comes in.
//
// # Lookups
//
// The caller brings the function that asks them (Set.Asking). Keys are in lower
// case, domains in A-labels:
//
//	match = "lookup:NAME"             matches an address that NAME has as a key
//	{lookup:NAME:1} in `to`           what NAME has for the first capture; the key
//	                                  may be local_part, domain and address too
//	to = "{lookup:NAME:address}"      the value is the whole new address
//
// Of several values the first counts. A value must be what it stands for, a local
// part, a domain or an address, or the address stays (Failed). Where a lookup has no
// value the address stays too (NoValue), and the next rule is asked even behind
// then = "stop", as if the pattern had not matched. What can't be told now is an
// error (ErrUnanswered) and no answer: the mail must wait.
//
// # Promises
//
// Without rules nothing changes. In a header only the octets of an address that
// a rule changed are replaced; names, comments, groups, folding, encoded words
// and fields that cannot be read stay as they came, octet for octet. What a rule
// makes is parsed as any address is: it cannot end a line or begin another
// field. What is no address then is not used, and the old one stays. The null
// sender is never rewritten, because an answer to a report would be a loop
// (RFC 5321, section 4.5.5). The work on one address is bounded by the rules
// times MaxRounds, on a header by its length.
//
// # Refusals
//
// Fields that hold no addresses, and those that say what other servers did
// (Received, Return-Path), are no sources. An address without a domain is matched by
// expressions and "*" alone.
//
// # Standards
//
// RFC 5322, sections 3.4 (addresses) and 3.6 (fields that have them); RFC 5321,
// section 2.4 (local parts are only their own host's to read).
package rewrite
