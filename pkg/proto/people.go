package proto

import "time"

// The people's arrow: mailq of any user of the machine -> qmgr, mtadb.
//
// It is JSON over HTTP/1.1 on Unix sockets that everybody may connect to,
// run/mine/NAME, one request a connection. Who somebody is comes from the kernel
// (SO_PEERCRED) and from nowhere else: a user sees and cancels what was handed in
// with his user id, and of anything else is told that there is no such message of
// his, whether it exists or not. Root and the instance's administrators may ask for
// everybody's.
//
// run/mine/qmgr, what is still in the queue:
//
//	1. C: GET  /v1/mine          S: 200 application/x-ndjson, a MineItem a line,
//	                                oldest first, and one with More if it was cut short
//	                                (?all=1: everybody's, administrators only)
//	2. C: GET  /v1/mine/ID       S: 200 MineMessage, 404
//	3. C: POST /v1/mine/cancel   S: 200 MineCancelled (MineCancel), 404, 422 when a
//	                                recipient is none of the message's
//
// run/mine/mtadb, what became of it:
//
//	1. C: GET /v1/mine/history   S: 200 application/x-ndjson, a HistoryMessage a line
//	                                (history.go), 404 where no history is kept, 503
//
// Bounds, for each user: MinePerUser connections at once, MineRate requests a
// second in the long run and MineBurst at once (429 beyond that, with the time to
// wait in Retry-After), and an answer has at most MineMaxItems messages with
// MineMaxRecipients recipients each.

// Names of the people's sockets under run/mine, and the arrow's bounds.
const (
	MineQmgr  = "qmgr"
	MineMTADB = "mtadb"

	MinePerUser       = 4
	MineRate          = 5
	MineBurst         = 20
	MineMaxItems      = 500
	MineMaxRecipients = 100
	// MineMaxAttempts is how many of the newest attempts a MineMessage has.
	MineMaxAttempts = 200
	// MineMax bounds the body of a request.
	MineMax = 64 << 10
)

// MineItem is one of a user's messages in the queue.
type MineItem struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // "waiting", "delivering" (an attempt is under way), "held"
	Arrived     time.Time  `json:"arrived"`
	Size        int64      `json:"size"`
	Sender      string     `json:"sender"` // "" = the null sender
	Attempts    int        `json:"attempts"`
	LastAttempt *time.Time `json:"last_attempt,omitempty"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"` // only of what waits
	// GiveUpAt is when the message is returned to its sender if nothing succeeds.
	GiveUpAt *time.Time `json:"give_up_at,omitempty"`
	// Recipients that still wait.
	Recipients []MineRecipient `json:"recipients"`
	// MoreRecipients counts those that were left off.
	MoreRecipients int `json:"more_recipients,omitempty"`
	// More: there are further messages that were left off. Such an item stands last
	// and has nothing else.
	More int `json:"more,omitempty"`
}

// MineRecipient is one recipient of a user's message, by the address that he gave.
type MineRecipient struct {
	Address string `json:"address"`
	State   string `json:"state"` // "waiting", "delivered", "failed", "cancelled"
	// Why it waits, in plain words, and since when that is so.
	Why   string     `json:"why,omitempty"`
	Since *time.Time `json:"since,omitempty"`
	// Reply is what the other side said, if it said something.
	Reply string `json:"reply,omitempty"`
}

// MineMessage is all that its sender may know of a message.
type MineMessage struct {
	MineItem
	// Done are the recipients that wait no more.
	Done []MineRecipient `json:"done"`
	// Log is what was tried so far, oldest first.
	Log []MineAttempt `json:"log"`
	// Earlier counts the attempts that were left off in front.
	Earlier int `json:"earlier,omitempty"`
}

// MineAttempt is one thing that happened to a user's message.
type MineAttempt struct {
	At      time.Time `json:"at"`
	Address string    `json:"address,omitempty"` // "": the whole message
	What    string    `json:"what"`              // in plain words
	Reply   string    `json:"reply,omitempty"`
}

// MineCancel asks that a message be delivered to nobody any more, or not to
// some.
type MineCancel struct {
	ID         string   `json:"id"`
	Recipients []string `json:"recipients,omitempty"` // none: all
}

// MineCancelled says what came of it.
type MineCancelled struct {
	ID string `json:"id"`
	// State is "cancelled" (nobody waits any more), "partly" (others still wait),
	// "too-late" (there was nothing left to cancel) or "pending" (an attempt is under
	// way and takes long: what it does not deliver is cancelled when it ends).
	State string `json:"state"`
	// Said is the same in a sentence.
	Said string `json:"said"`
	// Cancelled are the addresses that get nothing.
	Cancelled []string `json:"cancelled"`
	// TooLate are those, of the ones that were asked for, that were done before.
	TooLate []MineRecipient `json:"too_late"`
	// Waited: an attempt was under way, and its end was waited for.
	Waited bool `json:"waited,omitempty"`
}
