// Package mtactl is what a postmaster types: it makes, starts, stops, checks
// and asks an instance of the suite.
//
// # Promises
//
// mtactl is a client with no state and no rights of its own. What it tells of
// the running suite it was told by master and qmgr over their control sockets,
// where the kernel vouches for the caller; what it tells of the configuration
// it read with pkg/config, as master does. Text of peers that it prints cannot
// steer a terminal. Messages say what happened, to what, why, and what to do
// about it. Everything that lists takes --json, for programs.
//
// `init`, `check --fix` and `start` are the only commands that write files;
// none overwrites one.
//
// # Standards
//
// Exit statuses are those of sysexits(3): 0 well, 1 `check` found something,
// 64 wrong use, 65 wrong input, 69 the suite does not run or did not answer,
// 73 a file could not be made, 75 try again, 77 not permitted, 78 the
// configuration has mistakes.
//
// # Security
//
// Queue ids are read with queueid.Parse before they go anywhere, and answers of
// the control sockets are bounded. A crash leaves at most an instance that was
// not yet made whole, and `check` tells what is missing.
package mtactl
