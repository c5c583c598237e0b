// Package service is the skeleton of every daemon: it takes a process from
// master's start frame to a confined server and to an orderly end.
//
// A daemon is a type with three methods, and its main.go is one line:
//
//	func main() { service.Main("cleanup", cleanup.New()) }
//
// Main reads top to bottom, the same in all daemons:
//
//	configure  read the start frame on descriptor 3: settings, listening sockets
//	open       Daemon.Open: what needs privilege or the file system
//	drop       become the daemon's own user
//	confine    Daemon.Confinement, put on by pkg/privsep
//	assert     try what must not work any more
//	serve      Daemon.Serve
//	drain      when master says so: finish, flush the log, end
//
// # What a daemon can count on
//
// It serves connections that master hands over (Accept), calls others through
// clients that connect again by themselves (Client), sees each new
// configuration (Settings, OnReload), writes events (Log) and shows what it is
// doing (Board). It needs no path for any of this.
//
// # Diagnostics
//
// Events go to standard output, the instance's log file. Standard error is a
// pipe to master, which logs what comes: the trace of a panic, mostly. The exit
// status is 0 after draining, 1 for an error that the log tells, 2 after a
// panic, 3 when master went away, 64 when started by hand.
//
// # Security
//
// When the control channel reaches its end, master is dead, and the daemon ends
// at once: nothing is left to restart, replace or stop it. SIGTERM drains;
// signals of the terminal are ignored, as they are master's to interpret.
//
// A crash leaves what the daemon itself left; this package writes nothing.
package service
