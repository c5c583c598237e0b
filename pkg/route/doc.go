// Package route holds the rules by which mail finds its hosts: pure functions
// from what DNS and the administrator said to an ordered list of addresses or a
// verdict. It does no I/O, knows no clock, and takes its randomness as an
// argument.
//
// The rules are those of RFC 5321, section 5.1 (order by preference, random
// among equals, one's own place in the list), RFC 7505 (a domain that takes no
// mail), and RFC 1123, section 5.3.4 (trying several addresses).
//
// It promises that no list ever leads to this machine as long as it is told
// which addresses and names are its own, that a list is bounded whatever a zone
// says, and that each verdict carries the kind and the enhanced status that
// retry rules and reports go by (RFC 3463):
//
//	no such domain             failed    no-domain  5.1.2
//	it takes no mail           failed    null-mx    5.1.10
//	nothing to deliver to      failed    no-mx      5.4.4
//	it leads to this machine   failed    loop       5.4.6
//	DNS gave no answer         deferred  dns        4.4.3
//	our own configuration      deferred  dns        4.3.5
//
// It refuses to repair: a host specification that cannot be read is an error.
package route
