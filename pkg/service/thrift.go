package service

import (
	"runtime"
	"runtime/debug"
)

// gcPercent lets a heap grow to three times what is alive before it is collected.
// What is alive in a daemon is a few megabytes, and nearly all it allocates lives as long
// as one message: collecting at twice that, the runtime's default, costs up to an
// eighth of the processor time under load. More than this saves no more. Of what is
// alive in a burst see garbage.
const gcPercent = 200

// thrift makes the Go runtime of a daemon a good neighbour of the others. Five of
// them work on each message, so a daemon that may run on every core spends more
// time on waking and parking its threads than it gains: a quarter of the time
// per message on two cores (scenario R50 of tests/bench).
func thrift() {
	runtime.GOMAXPROCS(shareOf(runtime.GOMAXPROCS(0)))
	debug.SetGCPercent(gcPercent)
	tune(&collector{percent: gcPercent, set: debug.SetGCPercent})
}

// shareOf is how many of the cores one daemon may keep busy at once.
func shareOf(cores int) int { return max(1, cores/2) }
