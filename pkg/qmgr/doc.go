// Package qmgr decides WHEN: it owns what is deferred and held, asks dispatch
// to try what is due, and carries out the administrator's orders. It never
// delivers, routes or parses a message, and new mail does not pass through it.
//
// It promises that a message under deferred/ is tried when its retry rule says
// (within a second or so), that nothing under hold/ is tried, and that an order that
// was answered with "done" is on disk. It keeps about 200 bytes a message in
// memory and reads the rest when somebody asks. It refuses ids that are not ids,
// and orders that name neither messages nor a filter.
//
// # Files
//
//	schedule.go   the messages and when they are due (pure: no clock, no I/O)
//	load.go       deferred/ and hold/ at the start, behind what is already served
//	remember.go   the index on disk at the start, and what the walk still has to look at
//	remind.go     writing it (news.go: what has changed), each second
//	candidates.go looking for addresses in it
//	hops.go       who waits for which next hop
//	serve.go      asking dispatch for what is due
//	mine.go       run/mine/qmgr: what users see of their own mail (words.go says it)
//	cancel.go     what they cancel
//	wishes.go     what of it waits for the end of an attempt, over a restart too
//	list.go       listing and showing
//	order.go      retry, hold, release, bounce, delete
//	order_recipient.go
//	              redirect and drop: one recipient
//	orders_*.go   orders that stand: kept in spool/orders, told to dispatch and master,
//	              what waits for their end, holds that end by themselves
//	abort.go      the attempt that is under way
//	turn.go       a site that has come back and asks for its mail (ETRN)
//
// # What a crash leaves
//
// The schedule is memory. The index on disk (pkg/qindex) remembers it, but for the last
// second or more; it is believed until the walk of deferred/ and hold/ with their logs, which are
// the truth, has come by. An attempt or an order that was under way is dispatch's to finish. Orders
// that stand are on disk before they are answered.
//
// # Security
//
// Runs as filbert; reads spool/deferred and spool/hold, moves what it can't
// read from hold/ to corrupt/, and writes spool/orders and spool/index. All else is done to files by dispatch. Its control
// socket answers administrators only (peer credentials). At run/mine/qmgr any user of
// the machine is told of the messages that he handed in, by the user id that the
// kernel gives and within the bounds of proto/people.go, and of nothing else.
package qmgr
