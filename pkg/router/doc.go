// Package router answers one question for the suite: where does mail for this
// address go? Address in, leaves of its expansion out: deliveries to make, each
// with its transport, hosts or user, or verdicts.
//
// # How an address finds its way
//
// A local address (domains.local, or without a domain) is offered to the
// directors, any other domain to the routers, each in the order of the
// configuration. One takes it, fails it, defers it, or declines, and then the
// next is asked. A director may replace the address by others, which begin
// anew: so an address becomes a tree, and the leaves are what is left.
//
// It promises:
//
//   - Every recipient of a query has at least one leaf, and no two leaves of an
//     answer deliver to the same place: a recipient whose mail goes with another's
//     gets a verdict that says so.
//   - Expansion ends. An address is not expanded by an alias that is one of its
//     ancestors (so `bob: bob, carol` is bob's mailbox and carol); each address is
//     expanded once; fan-out, nesting and included files are bounded. What goes
//     over a bound is deferred whole, never cut. A forward file has its turn
//     after an alias that names its own ancestor, and has it once: what it makes
//     of its user's address, and what stands behind a backslash, has the address
//     twice among its ancestors. So at a later attempt nothing is expanded again.
//   - What cannot be known now (a name server, an unreadable file) is deferred.
//     A mistake in our own configuration or files never fails mail.
//   - Mail for postmaster has a place: a director's, or that of the setting
//     postmaster (RFC 5321, section 4.5.1). So has that for users of uid 0, as
//     nothing is ever delivered as root.
//   - A domain is routed once in a query, and for up to a minute after.
//   - Commands and files come from alias files of directors that allow them, or
//     from a user's own forward file and then run as that user; never from an
//     address, nor from a program's answer.
//   - A lookup or program that does not answer, and a forward file that cannot be
//     read, never make an address unknown: on_defer says what they make of it.
//
// It refuses to deliver, to write, and to remember beyond its caches.
//
// # Security
//
// Addresses and DNS answers are hostile; both reach this code through types
// that checked them (mailaddr, resolve). The process reads configuration files
// and the password file, and talks to name servers; Landlock and seccomp leave
// it nothing else. It reads the whole of /etc, as far as its user may, because
// the password file is replaced by renaming, which a right on the one file
// would not survive.
//
// # Standards
//
// RFC 5321, sections 2.3.5, 4.5.1, 5 and 5.1; RFC 7505; RFC 3461, section 5.2.7
// (what an alias does to NOTIFY and ORCPT); RFC 6531 and RFC 5891 (domains).
//
// # Diagnostics
//
// A new version of a file with a mistake is told once (`trouble`), and the old
// one stays in force; so is mail for postmaster that has no place.
//
// A crash leaves nothing: dispatch asks again.
package router
