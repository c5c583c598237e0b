package proto

import "time"

// What administrators and users ask mtadb: mtactl, mailq, the monitor, curl.
//
// It is JSON over HTTP/1.1 on a Unix socket, with the rules of run/control (see
// Status). run/control/mtadb, for administrators:
//
//	1. C: GET  /v1/history?QUERY    S: 200 application/x-ndjson, a HistoryMessage a
//	                                   line, the newest first, sent as they are found
//	2. C: GET  /v1/history/status   S: 200 HistoryStatus
//	3. C: GET  /v1/memory?kind=&prefix=&after=&limit=
//	                                S: 200 MemoryPage, records in the order of keys
//	4. C: POST /v1/memory/forget    S: 200 MemoryForgotten (MemoryForget)
//
// run/mine/mtadb, for every user (people.go):
//
//	1. C: GET  /v1/mine/history?QUERY   as above, but the oldest of what is sent first: of
//	                                    the messages that this user submitted, what is
//	                                    his to know; at most MineMaxItems
//
// QUERY is the fields of HistoryQuery by their JSON names. A query that has looked
// at more messages than it may ends with a line that has only "error". 503 means
// that the history can't be read at the moment.

// Bounds of a query.
const (
	HistoryLimit = 100 // without a limit of its own
	HistoryMost  = 100_000
)

// HistoryQuery says which messages; what is set must all hold.
type HistoryQuery struct {
	ID        string `json:"id,omitempty"`
	Sender    string `json:"sender,omitempty"` // an address, "<>" = the null sender
	Recipient string `json:"recipient,omitempty"`
	Domain    string `json:"domain,omitempty"`     // of a recipient
	Host      string `json:"host,omitempty"`       // name or address of the server that was spoken to
	Client    string `json:"client,omitempty"`     // IP address that it came from
	MessageID string `json:"message_id,omitempty"` // with or without <>
	Login     string `json:"login,omitempty"`
	UID       string `json:"uid,omitempty"` // of the local user who submitted it
	// Since and Until are RFC 3339 times, or ages like "2h", of the arrival.
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	Limit int    `json:"limit,omitempty"` // 0 = HistoryLimit
}

// HistoryMessage is the path of one message, or one refusal (without an ID).
type HistoryMessage struct {
	ID     string         `json:"id,omitempty"`
	Events []HistoryEvent `json:"events,omitempty"` // the oldest first
	Error  string         `json:"error,omitempty"`  // the last line of an answer that is not whole
}

// HistoryEvent is one line of the log (doc/LOG.md). All text is safe on a terminal.
type HistoryEvent struct {
	At   time.Time `json:"at"`
	What string    `json:"what"` // the verb: "received", "delivered", "deferred" ...
	By   string    `json:"by"`
	// Facts are the keys of the line with their values.
	Facts map[string]string `json:"facts,omitempty"`
}

// HistoryStatus says how true the history is.
type HistoryStatus struct {
	// Follows is the log that is read; Trouble is why it can't be, "" if it can.
	Follows string     `json:"follows"`
	Trouble string     `json:"trouble,omitempty"`
	Behind  int64      `json:"behind"`           // octets of the log that are not read yet
	Skipped int64      `json:"skipped"`          // lines since the start that were not understood
	Oldest  *time.Time `json:"oldest,omitempty"` // about when the history begins
	Size    uint64     `json:"size"`             // octets on disk, about
}

// MemoryPage is some of what is remembered.
type MemoryPage struct {
	Records []MemoryItem  `json:"records"`
	More    bool          `json:"more,omitempty"` // ask again after the last key
	Kinds   []MemoryCount `json:"kinds,omitempty"`
}

// MemoryItem is one record.
type MemoryItem struct {
	Kind    string     `json:"kind"`
	Key     string     `json:"key"`
	Size    int        `json:"size"`
	Kept    time.Time  `json:"kept"`
	Expires *time.Time `json:"expires,omitempty"`
	Value   []byte     `json:"value"` // base64; its writer knows what it means
}

// MemoryCount is how much there is of a kind. It is sent when no kind is asked for.
type MemoryCount struct {
	Kind    string `json:"kind"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
	Most    uint64 `json:"most"` // records
}

// MemoryForget says what to forget.
type MemoryForget struct {
	Kind   string `json:"kind"`
	Key    string `json:"key"`
	Prefix bool   `json:"prefix,omitempty"` // all whose keys begin with Key
}

// MemoryForgotten says how many there were.
type MemoryForgotten struct {
	Count uint32 `json:"count"`
}
