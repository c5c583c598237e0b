// Package master runs the suite: it binds the ports, starts the daemons,
// introduces them to each other, restarts what ends, and stops all in the order
// in which mail flows. It parses no mail and no SMTP.
//
// # What it promises
//
//   - A listening socket, once bound, stays open across crashes, restarts and
//     reloads of whoever serves it: connections wait in the kernel, none is
//     refused.
//   - Two daemons are connected only if an arrow of proto.Arrows leads from one
//     to the other (doc/adr/0001-brokered-arrows.md).
//   - A daemon that ends is started again: at once the first time, then after a
//     second, doubling to half a minute, until it has stayed up for a minute.
//     Each end is one event with exit status or signal.
//   - Daemons hold no inherited descriptor but 0, 1, 2 and the control channel,
//     and have a clean environment. They end when master does.
//   - A reload (doc/adr/0002-reload.md) takes effect whole or not at all.
//
// # Files
//
//	run/master.lock         locked while a master lives; its pid, for people
//	run/control/master      the administrator's socket (proto/control.go)
//	run/control/qmgr        the same, handed to qmgr
//	run/control/mtadb       the same, handed to mtadb
//	run/mine/qmgr           where users ask about their own mail, handed to qmgr
//	run/mine/mtadb          where users ask about their own mail, handed to mtadb
//	run/submit/cleanup      pickup's socket, handed to cleanup
//	run/submit/name         the name that pickup gives to bare addresses
//	run/empty               an empty directory, the root of most daemons
//
// # Signals
//
// SIGTERM and SIGINT stop; a second one stops without waiting. SIGHUP reloads.
// SIGUSR1 opens the log anew, after it was renamed.
//
// # Diagnostics
//
// Exit status 0 after a stop, 78 when the configuration has mistakes, 1 when the
// suite could not be started for another reason (both said on
// standard error), 75 when another master lives.
//
// # Security
//
// In a separated instance master stays root, since it starts daemons that
// become different users; of root's capabilities it keeps those that confine.go
// names. From below it decodes the frames of its daemons,
// which only name a service; from the administrators' socket, small JSON bodies
// of peers whom the kernel vouches for.
//
// A crash leaves sockets and the lock file, which the next start takes over.
package master
