// Package pace decides how fast mail goes to one destination: how many deliveries at
// once, how many within a time, and whether for a while none at all. It is pure: what
// is configured, a state for each destination, what a delivery met with and the present
// moment in; a number or a moment out. The caller keeps the states, the clock and a lock.
//
// Deliveries at once begin at a few, grow by one for each window of successes up to
// what is allowed, and halve when a connection fails or the server says that it is too
// much (421, RFC 5321, section 3.8), never below one. What fails together, as it was
// begun together, halves once.
//
// A rate may have a warm-up: a ceiling below it that grows from day to day, by the same
// factor, until it is the rate.
//
// It promises that no more than N deliveries begin in any time that is as long as the
// one that a rate of N names, wherever that time begins; that a pause ends; that a
// destination that works again comes back to what is allowed; and that a clock that is
// set back makes nobody wait longer than a pause, or one time of a rate, from then on.
//
// It knows nothing of failed hosts: a destination that is paused takes mail, though not
// now. It refuses rates and patterns that it can't understand (ParseRate, ParseReply).
//
// What a crash leaves: nothing. Each destination is learned again.
package pace
