// Package standing is the administrator's standing orders: what they match, and the
// file that keeps them. qmgr owns them, dispatch, master and smtpd obey them; all must
// read them in the same way.
//
// It promises that an order that was compiled matches the same things everywhere, that
// one which has expired matches nothing, and that Save leaves the whole old file or the
// whole new one. It refuses an order that names nothing, and one that can't be read.
//
// # Targets
//
//	user@example.org, *@example.org     addresses: the recipient's, before and after aliases
//	example.org, *.example.org          domains of recipients, next hops and names of hosts
//	[192.0.2.1], 192.0.2.0/24           addresses of hosts
//
// as patterns of pkg/pattern; suspension and limits have words of their own
// (proto.TargetAll and those behind it).
//
// # The file
//
// spool/orders/standing has one line of JSON for each order, behind one with the next
// number. It is a file of its own, and not a record in the memory (mtadb), because the
// memory may be lost and is not needed to deliver mail: an order not to deliver, or not to
// take mail, that is forgotten with it does harm (doc/adr/0006-orders-in-a-file.md).
//
// # What a crash leaves
//
// The file before or the file after; standing.new beside it, which the next Save removes.
//
// # Security
//
// The file is written by filbert, and read by master as root before it serves: bounded,
// strict, and no path comes from it.
package standing
