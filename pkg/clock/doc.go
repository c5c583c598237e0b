// Package clock tells the time by which mail is scheduled: when a message is tried
// again, when it is given up, when a memory expires, what the log says.
//
// Of an installed instance that is the machine's time: a nil *Clock, which does what
// package time does, at the same cost. A private instance may have a clock that can be
// moved ahead, to see in seconds what rules for days do to real messages: every timer
// that is due by the new time fires at once, the others are set anew.
//
// It promises to daemons that a Clock never goes back, that differences between two of
// its times are as long as its timers are, and that a timer fires once.
//
// It is not for deadlines of peers, of connections and of children, nor for back-off
// after a failure of our own: what waits for a machine waits in real time.
//
// A crash leaves nothing: where the clock was is in memory only.
package clock
