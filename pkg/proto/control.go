package proto

import "time"

// The administrator's arrow: mtactl, the monitor, curl -> master, qmgr.
//
// It is JSON over HTTP/1.1 on a Unix socket, run/control/NAME, so that every
// language and `curl --unix-socket` can speak it. The kernel says who calls:
// root, the user the suite runs as, and members of users.admin_group; others
// get 403. A body is at most ControlMax octets, unknown fields are refused, and
// a failure is a status of 4xx or 5xx with a ControlError as its body.
//
// run/control/master:
//
//	1. C: GET  /v1/status           S: 200 Status (?boards=1: with scoreboards,
//	                                   ?stats=1: with what was counted)
//	2. C: POST /v1/explain          S: 200 ExplainAnswer (ExplainQuery, asks router)
//	   C: POST /v1/lookup           S: 200 LookupAnswered (LookupQuestion), 404
//	3. C: POST /v1/reload           S: 200 ReloadResult, 422 when the new
//	                                   configuration has problems and the old
//	                                   one stays in force
//	4. C: POST /v1/stop             S: 202, then master drains and ends
//
// run/control/qmgr:
//
//	1. C: GET /v1/queue?FILTER      S: 200 application/x-ndjson, a QueueItem a
//	                                   line, oldest first, sent as they are found
//	2. C: GET /v1/queue/ID          S: 200 QueueMessage, 404
//	3. C: GET /v1/queue/ID/content  S: 200 message/rfc822, the bytes as received
//	4. C: POST /v1/queue/ORDER      S: 200 QueueResult (QueueOrder); ORDER is
//	                                   retry, hold, release, bounce, delete,
//	                                   redirect or drop
//	5. C: GET  /v1/orders           S: 200 StandingOrders
//	   C: POST /v1/orders           S: 200 StandingOrder (OrderRequest)
//	   C: POST /v1/orders/N/cancel  S: 200 StandingOrder (CancelRequest), 404
//	6. C: POST /v1/abort            S: 200 AbortResult (AbortRequest)
//
// FILTER is the fields of QueueFilter as query parameters, by their JSON names.
// An ID is taken only when queueid.Parse accepts it: a name with a slash or a
// dot in it never gets near a path.

// Names of the control sockets under run/control, and the arrow's bounds.
const (
	ControlMaster = "master"
	ControlQmgr   = "qmgr"
	ControlMTADB  = "mtadb"
	// ControlMax bounds the body of a request.
	ControlMax = 1 << 20
	// ControlMaxIDs bounds the ids of one order.
	ControlMaxIDs = 10_000
)

// ControlError is the body of an answer that is no success.
type ControlError struct {
	Error string `json:"error"`          // what is wrong
	Hint  string `json:"hint,omitempty"` // what to do about it
}

// Status is what the suite is doing.
type Status struct {
	Version  string    `json:"version"`
	Hostname string    `json:"hostname"`
	Instance string    `json:"instance"` // DIR of a private instance, else ""
	PID      int       `json:"pid"`      // of master
	Started  time.Time `json:"started"`
	// State is "starting", "running" or "stopping".
	State string `json:"state"`
	// ConfigLoaded is when the configuration in force was read.
	ConfigLoaded time.Time `json:"config_loaded"`
	// Load is there where limits follow the load of the machine.
	Load      *LoadStatus      `json:"load,omitempty"`
	Services  []ServiceStatus  `json:"services"`
	Listeners []ListenerStatus `json:"listeners"`
}

// ServiceStatus is one program of the suite.
type ServiceStatus struct {
	Name string `json:"name"`
	// State is "running", "idle" (starts when it is first needed), "starting",
	// "backoff" (ended unexpectedly, waits for its next start), "draining" or
	// "stopped".
	State     string          `json:"state"`
	Processes []ProcessStatus `json:"processes"`
	// Restarts counts the starts after an unexpected end.
	Restarts int `json:"restarts"`
	// LastExit says how its last process ended, "" if none did.
	LastExit  string     `json:"last_exit,omitempty"`
	NextStart *time.Time `json:"next_start,omitempty"` // in backoff
}

// ProcessStatus is one process.
type ProcessStatus struct {
	PID     int       `json:"pid"`
	User    string    `json:"user,omitempty"` // who it runs as
	Started time.Time `json:"started"`
	// State is "starting" (not confined yet, and serving nobody), "running" or
	// "draining".
	State string `json:"state"`
	// Board is its scoreboard, only when it was asked for.
	Board []BoardRow `json:"board,omitempty"`
	// Paces are the destinations of dispatch, likewise.
	Paces []PaceRow `json:"paces,omitempty"`
	// Stats is what it has counted since it was started, only when that was asked for.
	Stats *Stats `json:"stats,omitempty"`
}

// BoardRow is one thing that a process is doing now.
type BoardRow struct {
	ID    string    `json:"id,omitempty"`    // queue id
	Peer  string    `json:"peer,omitempty"`  // client, server, user; printable
	Phase string    `json:"phase,omitempty"` // what it is doing
	Since time.Time `json:"since"`
	Bytes int64     `json:"bytes,omitempty"`
}

// ListenerStatus is one listening socket.
type ListenerStatus struct {
	Name    string `json:"name"`
	Address string `json:"address"` // as bound: port 0 has become a port
	Service string `json:"service"`
}

// ReloadResult tells what a reload did.
type ReloadResult struct {
	// Problems of the new configuration, "file:line:col: what". When there are
	// errors among them nothing was changed.
	Problems []string `json:"problems,omitempty"`
	// Restarted names the services whose processes are being replaced.
	Restarted []string `json:"restarted,omitempty"`
}

// ExplainQuery asks what would become of an address.
type ExplainQuery struct {
	Address string `json:"address"`
	Sender  string `json:"sender,omitempty"` // "" = the null sender
	// Where the mail came from, for conditions on it.
	Client   string `json:"client,omitempty"`   // IP address
	Listener string `json:"listener,omitempty"` // name
	Source   string `json:"source,omitempty"`   // "smtp", "local", "bounce"; "" = smtp with a client, else local
	Size     int64  `json:"size,omitempty"`     // octets
	// Verify explains what is found out at RCPT: "route" or "callout"; "" = delivery.
	Verify string `json:"verify,omitempty"`
}

// ExplainAnswer is the path of an address.
type ExplainAnswer struct {
	Trace  []Step        `json:"trace"` // in the order in which it was asked
	Leaves []ExplainLeaf `json:"leaves"`
}

// ExplainLeaf is one end of it.
type ExplainLeaf struct {
	Address   string   `json:"address"`
	Verdict   string   `json:"verdict"`          // "deliver", "failed", "deferred", "discarded"
	Status    string   `json:"status,omitempty"` // enhanced, of what is not delivered
	Reason    string   `json:"reason,omitempty"`
	Target    string   `json:"target,omitempty"` // "|command" or "/file" of an alias or forward file
	By        string   `json:"by,omitempty"`     // director or router
	Transport string   `json:"transport,omitempty"`
	NextHop   string   `json:"next_hop,omitempty"`
	Hosts     []string `json:"hosts,omitempty"` // "name[address]:port", "address:port" of a literal
	User      string   `json:"user,omitempty"`
	ErrorsTo  string   `json:"errors_to,omitempty"`
	// HeadersAdd and HeadersRemove are the changes of the header.
	HeadersAdd    []string `json:"headers_add,omitempty"`
	HeadersRemove []string `json:"headers_remove,omitempty"`
	// Login tells as whom smtp-client would log in.
	Login string `json:"login,omitempty"`
	Once  bool   `json:"once,omitempty"` // not tried again
	// Known is what is remembered of those hosts that failed: mtactl asks mtadb for it.
	Known []ExplainKnown `json:"known,omitempty"`
	// Advice is how hosts are talked to otherwise than others, and why; likewise.
	Advice []string `json:"advice,omitempty"`
}

// ExplainKnown is the retry state of a host.
type ExplainKnown struct {
	Host     string    `json:"host"` // as in Hosts
	Since    time.Time `json:"since"`
	Next     time.Time `json:"next"`
	Attempts int       `json:"attempts"`
	Kind     string    `json:"kind"`
	Words    []string  `json:"words"` // the same for people
}

// LookupQuestion asks a lookup: POST /v1/lookup, S: 200 LookupAnswered, 404 when
// there is no such lookup.
type LookupQuestion struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// LookupAnswered is what it has.
type LookupAnswered struct {
	Found   bool     `json:"found"`
	Values  []string `json:"values"`
	Trouble string   `json:"trouble,omitempty"`
	Where   string   `json:"where,omitempty"`
}

// QueueFilter chooses messages; what is set must all hold. The zero value
// chooses all.
type QueueFilter struct {
	// Sender, Recipient and Domain are patterns of pkg/pattern; Recipient and
	// Domain match recipients that still wait.
	Sender    string `json:"sender,omitempty"`
	Recipient string `json:"recipient,omitempty"`
	Domain    string `json:"domain,omitempty"`
	// Older and Younger compare the age since arrival: "2h", "3 days".
	Older   string `json:"older,omitempty"`
	Younger string `json:"younger,omitempty"`
	// State is "deferred" or "held", "" = both.
	State string `json:"state,omitempty"`
	// Larger and Smaller compare the size: "10 MB".
	Larger  string `json:"larger,omitempty"`
	Smaller string `json:"smaller,omitempty"`
	// Why is an expression (RE2, case does not count) that is found in the reason of a
	// recipient that waits, or in why the message is held.
	Why   string `json:"why,omitempty"`
	Limit int    `json:"limit,omitempty"` // 0 = all
}

// QueueItem is one message in a listing.
type QueueItem struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // "deferred", "active" (an attempt is under way), "held"
	Arrived     time.Time  `json:"arrived"`
	Size        int64      `json:"size"`
	Sender      string     `json:"sender"` // "" = the null sender
	Attempts    int        `json:"attempts"`
	LastAttempt *time.Time `json:"last_attempt,omitempty"`
	NextAttempt *time.Time `json:"next_attempt,omitempty"` // not when held
	NextHop     string     `json:"next_hop,omitempty"`
	Reason      string     `json:"reason,omitempty"` // last failure, or why it is held
	// Recipients that still wait.
	Recipients []QueueRecipient `json:"recipients"`
}

// QueueRecipient is one recipient of a message in the queue.
type QueueRecipient struct {
	Address string `json:"address"`
	State   string `json:"state"` // "waiting", "delivered", "failed"
	Reason  string `json:"reason,omitempty"`
	// Target is the command or the file that Address, as its sender wrote it, led to.
	Target string `json:"target,omitempty"`
}

// QueueMessage is all that is known of one message.
type QueueMessage struct {
	QueueItem
	Client string `json:"client,omitempty"` // where it came from
	HELO   string `json:"helo,omitempty"`
	Proto  string `json:"proto,omitempty"`
	// Done are the recipients that wait no more.
	Done []QueueRecipient `json:"done,omitempty"`
	// Log is the message's attempts, oldest first.
	Log      []QueueAttempt `json:"log"`
	GiveUpAt *time.Time     `json:"give_up_at,omitempty"`
}

// QueueAttempt is one line of a message's log.
type QueueAttempt struct {
	At        time.Time `json:"at"`
	Recipient string    `json:"recipient"`
	Result    string    `json:"result"` // "delivered", "deferred", "failed", ...
	Status    string    `json:"status,omitempty"`
	Host      string    `json:"host,omitempty"`
	Text      string    `json:"text,omitempty"`
}

// QueueOrder is what is to be done, and with which messages: those of IDs, or
// with no IDs those that Filter chooses. An order with neither is refused, so
// that a client's mistake cannot empty a queue; All says it in so many words.
type QueueOrder struct {
	IDs    []string    `json:"ids,omitempty"`
	Filter QueueFilter `json:"filter,omitzero"`
	All    bool        `json:"all,omitempty"`
	DryRun bool        `json:"dry_run,omitempty"` // only count
	Reason string      `json:"reason,omitempty"`  // kept with the message, and logged
	For    string      `json:"for,omitempty"`     // hold: released by itself after this time
	// ExceptIDs and Except leave messages out: each field of Except by itself, unlike those
	// of Filter.
	ExceptIDs []string    `json:"except_ids,omitempty"`
	Except    QueueFilter `json:"except,omitzero"`
	// Recipient is whom redirect and drop are about; To is his new address. With Report
	// drop tells the sender.
	Recipient string `json:"recipient,omitempty"`
	To        string `json:"to,omitempty"`
	Report    bool   `json:"report,omitempty"`
}

// QueueResult is what was done.
type QueueResult struct {
	Matched int      `json:"matched"`
	Done    int      `json:"done"`
	IDs     []string `json:"ids,omitempty"`    // at most the first 1,000 that matched
	Errors  []string `json:"errors,omitempty"` // "ID: why", at most 100
}
