// Package turns decides which of several priorities has its turn. It is pure: what waits
// and how the turns before went in, a priority out. The queue manager asks it for what is
// due, dispatch for who waits for a place at a destination.
//
// Of eight turns that are fought over the highest priority that waits has seven, and the
// others share the eighth, one after the other from above (RFC 6710, section 4.1: who
// comes first must not keep the others out for ever). A turn that nobody else wants costs
// nobody anything.
//
// It promises that a priority that waits all the time is served within Bound turns,
// whatever else comes meanwhile. It keeps nothing and knows no clock: what a crash
// leaves is nothing, and the turns begin anew.
package turns
