package proto

import "time"

// The arrow between mtactl and local-deliver where it measures mailboxes: not a
// socket but the standard input and output of `local-deliver --measure`, which mtactl
// runs as the user whose mailboxes they are (as itself where it is not root).
//
//  1. C: MeasureQuery   one JSON value, then the end of the input
//  2. S: Measured       one JSON value a line for each mailbox that is there
//
// The user can trace that process, so its answer is no more than his word: it is
// read within limits and shown like any stranger's text, and what it says is about
// his own mailboxes alone.

// MeasureFlag is the argument of local-deliver for this.
const MeasureFlag = "--measure"

// The limits of the exchange.
const (
	// MaxMeasured bounds the answer of one process in octets.
	MaxMeasured = 16 << 20
	// MaxMeasureQuery bounds the question.
	MaxMeasureQuery = 64 << 20
)

// MeasureQuery asks about mailboxes of one user.
type MeasureQuery struct {
	Mailboxes []MeasureMailbox `json:"mailboxes"`
}

// MeasureMailbox is where mailboxes may be.
type MeasureMailbox struct {
	Driver string `json:"driver"` // maildir or mbox
	// Pattern is an absolute path, as path.Match has it; what the user does not own
	// is passed over where it has a wildcard.
	Pattern string `json:"pattern"`
	Wild    bool   `json:"wild"`
}

// Measured is what is known of one mailbox.
type Measured struct {
	// Query is the place of the MeasureMailbox, from 0.
	Query    int    `json:"query"`
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Messages int64  `json:"messages"` // -1 = not counted (mbox)
	// AtLeast: it holds more than is counted.
	AtLeast bool `json:"at_least,omitempty"`
	// LastRead is zero where nobody can tell.
	LastRead time.Time `json:"last_read,omitzero"`
	// Trouble is why there is nothing to say.
	Trouble string `json:"trouble,omitempty"`
}
