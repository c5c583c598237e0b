// Fill puts messages that were deferred into the spool of an instance that does not
// run, as many as are asked for and in a minute or two: through pkg/spool, so that
// they are what dispatch would have filed, but without one flush. million.sh beside it
// measures how the suite bears such a queue.
//
// The messages came in over the last three days, one at a time, from 1,000 senders to
// 10,000 domains: one in ten is for the first domain, the others fall off with the
// number of the domain. Each was tried nine times, the last time within the ten minutes
// before; -due of a million have not been tried for a day and are due.
//
// What a power cut would leave of it is nobody's concern: it is only for measuring.
package main
