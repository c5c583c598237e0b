// Package retry decides when mail that could not be delivered is tried again, and
// when it has been tried long enough. It is pure: rules, what is known of a host
// or an address, a failure and the present moment in; the next state and a decision
// out. The caller keeps the states, the clock and the dice.
//
// The state belongs to the host and to the address and not to the message (paper,
// section 5): phases count from the first failure in a row, so that a new message
// to a host that has been down for a day begins with the long wait. Of the message
// only its age counts, for giving up.
//
// It promises that no wait is negative or longer than the longest of its rule with
// the jitter, that a message is given up only when an attempt of its own has failed,
// that the last attempt falls on the moment of giving up and not a whole wait later,
// that every message ends, that what nobody can tell at the moment gives up none
// (Answers), and that a clock set back or forward changes none of this. RFC 5321, section 4.5.4.1 (sending strategy) gives the reasons for waits of
// half an hour and days of trying. It refuses rules that it can't understand (Check).
package retry
