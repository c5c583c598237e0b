package event

import (
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// about is embedded by events that concern one message.
type about struct{ ID queueid.ID }

// Subject is the message.
func (a about) Subject() queueid.ID { return a.ID }

// About names the message of an event.
func About(id queueid.ID) about { return about{id} }

// general is embedded by events that concern no message.
type general struct{}

// Subject is none.
func (general) Subject() queueid.ID { return 0 }

// Received: a message is ours. Emitted by cleanup after the flush.
type Received struct {
	Envelope  *envelope.Envelope
	MessageID untrusted.Text
}

// Verb is "received".
func (Received) Verb() string { return "received" }

// Subject is the message.
func (e Received) Subject() queueid.ID { return e.Envelope.ID }

// Fields adds from, nrcpt, size, client, helo, proto, port, login, uid, priority, msgid. The
// login is the submitting program's word, the uid is the kernel's.
func (e Received) Fields(f *Fields) {
	v := e.Envelope
	f.Addr("from", v.Sender)
	f.Num("nrcpt", int64(len(v.Recipients)))
	f.Num("size", v.Size)
	if v.Client.Addr.IsValid() {
		f.Word("client", v.Client.Addr.String())
	}
	f.Word("proto", v.Client.Proto)
	f.Word("port", v.Client.Port)
	f.Word("login", v.Client.Login)
	if v.Source == envelope.FromLocal {
		f.Num("uid", v.Client.UID)
	}
	if v.Priority != 0 {
		f.Num("priority", int64(v.Priority)) // RFC 6710, section 4.1
	}
	f.Text("msgid", e.MessageID)
}

// Refused: a client was refused something. Emitted by smtpd and cleanup.
type Refused struct {
	Client string // address, or the local user
	Port   string
	Stage  string // connect, helo, mail, rcpt, data, size, content ...
	From   *mailaddr.Address
	To     *mailaddr.Address
	Code   int
	Why    untrusted.Text
	Count  int // how many alike this line stands for, 0 = 1
}

// Verb is "refused".
func (Refused) Verb() string { return "refused" }

// Subject is none: what was refused never had an id.
func (Refused) Subject() queueid.ID { return 0 }

// Fields adds stage, client, port, from, to, code, why, count.
func (e Refused) Fields(f *Fields) {
	f.Word("stage", e.Stage)
	f.Word("client", e.Client)
	f.Word("port", e.Port)
	if e.From != nil {
		f.Addr("from", *e.From)
	}
	if e.To != nil {
		f.Addr("to", *e.To)
	}
	f.Int("code", int64(e.Code))
	f.Text("why", e.Why)
	f.Int("count", int64(e.Count))
}

// Session: an SMTP session ended. Emitted by smtpd.
type Session struct {
	general
	Client   string
	Port     string
	HELO     untrusted.Text
	Messages int
	Commands int
	Errors   int
	In       int64 // bytes
	Took     time.Duration
	End      string // quit, lost, timeout, shed, drained, errors ...
}

// Verb is "session".
func (Session) Verb() string { return "session" }

// Detail: only written when smtpd is debugged.
func (Session) Detail() bool { return true }

// Fields adds client, port, helo, msgs, cmds, errors, in, took, end.
func (e Session) Fields(f *Fields) {
	f.Word("client", e.Client)
	f.Word("port", e.Port)
	f.Text("helo", e.HELO)
	f.Num("msgs", int64(e.Messages))
	f.Num("cmds", int64(e.Commands))
	f.Int("errors", int64(e.Errors))
	f.Num("in", e.In)
	f.Took("took", e.Took)
	f.Word("end", e.End)
}

// Settled: what became of one recipient at one attempt; the verb is the
// outcome's class: delivered, deferred, failed, expanded. Emitted by dispatch.
type Settled struct {
	about
	To       mailaddr.Address
	Orig     *mailaddr.Address // the recipient it was expanded from
	Outcome  *outcome.Outcome
	Target   string // pipe or file
	Attempt  int
	Took     time.Duration // this attempt
	SinceRcv time.Duration // since the message arrived
}

// SettledOf starts a Settled event.
func SettledOf(id queueid.ID) Settled { return Settled{about: about{id}} }

// Verb is delivered, deferred, failed or expanded.
func (e Settled) Verb() string { return e.Outcome.Class.String() }

// Fields adds to, orig, via, host, ip, tls, code, status, kind, n, took, age, said.
func (e Settled) Fields(f *Fields) {
	o := e.Outcome
	f.Addr("to", e.To)
	if e.Orig != nil {
		f.Addr("orig", *e.Orig)
	}
	f.Word("target", e.Target)
	f.Word("via", o.Transport)
	f.Word("host", o.Remote)
	f.Word("ip", o.RemoteIP)
	f.Word("tls", o.TLS)
	f.Int("code", int64(o.Code))
	if o.Status.Class != 0 && o.Class != outcome.Delivered {
		f.Word("status", o.Status.String())
	}
	f.Word("kind", string(o.Kind))
	if e.Attempt > 1 {
		f.Int("n", int64(e.Attempt))
	}
	f.Took("took", e.Took)
	f.Took("age", e.SinceRcv)
	f.Text("said", o.Text)
}

// Finished: nothing more is owed for this message. Emitted by dispatch.
type Finished struct{ about }

// FinishedOf makes a Finished event.
func FinishedOf(id queueid.ID) Finished { return Finished{about{id}} }

// Verb is "finished".
func (Finished) Verb() string { return "finished" }

// Fields adds nothing.
func (Finished) Fields(*Fields) {}

// Filed: the message now lies under deferred/. Emitted by dispatch.
type Filed struct {
	about
	Waiting int
	Why     string // outcome kind of the first waiting recipient
}

// FiledOf makes a Filed event.
func FiledOf(id queueid.ID, waiting int, why string) Filed { return Filed{about{id}, waiting, why} }

// Verb is "filed".
func (Filed) Verb() string { return "filed" }

// Fields adds waiting, why.
func (e Filed) Fields(f *Fields) {
	f.Num("waiting", int64(e.Waiting))
	f.Word("why", e.Why)
}

// Bounced: a delivery report was sent (or was not due to anyone). Emitted by
// bounce.
type Bounced struct {
	about
	Report queueid.ID // the report's own id, 0 = none was sent
	To     mailaddr.Address
	What   string // failure, delay, success, double
	Count  int    // recipients reported on
}

// BouncedOf starts a Bounced event.
func BouncedOf(id queueid.ID) Bounced { return Bounced{about: about{id}} }

// Verb is "reported".
func (Bounced) Verb() string { return "reported" }

// Fields adds what, to, nrcpt, report.
func (e Bounced) Fields(f *Fields) {
	f.Word("what", e.What)
	f.Addr("to", e.To)
	f.Num("nrcpt", int64(e.Count))
	if !e.Report.IsZero() {
		f.Word("report", e.Report.String())
	}
}

// Order: an administrator did something to a message, or gave an order that stands, or
// one of these ended. Emitted by qmgr.
type Order struct {
	about
	Did    string // held, released, deleted, retried, ...
	Who    string
	Reason string
}

// OrderOf makes an Order event.
func OrderOf(id queueid.ID, did, who, reason string) Order {
	return Order{about{id}, did, who, reason}
}

// Verb is held, released, retried, returned, deleted, redirected, dropped, aborted, ordered, cancelled or expired.
func (e Order) Verb() string { return e.Did }

// Fields adds who, reason.
func (e Order) Fields(f *Fields) {
	f.Word("who", e.Who)
	f.Text("reason", untrusted.From(e.Reason))
}

// Scheduled: when a deferred message is due next. Emitted by qmgr, in detail only.
type Scheduled struct {
	about
	Due time.Time
}

// ScheduledOf makes a Scheduled event.
func ScheduledOf(id queueid.ID, due time.Time) Scheduled { return Scheduled{about{id}, due} }

// Verb is "scheduled".
func (Scheduled) Verb() string { return "scheduled" }

// Detail: only written when qmgr is debugged.
func (Scheduled) Detail() bool { return true }

// Fields adds due.
func (e Scheduled) Fields(f *Fields) { f.Word("due", e.Due.UTC().Format(timeLayout)) }

// Corrupt: something in the spool could not be understood and was set aside.
type Corrupt struct {
	about
	What  string
	Where string // file in corrupt/
	Err   error
}

// CorruptOf makes a Corrupt event.
func CorruptOf(id queueid.ID, what, where string, err error) Corrupt {
	return Corrupt{about{id}, what, where, err}
}

// Verb is "corrupt".
func (Corrupt) Verb() string { return "corrupt" }

// Fields adds what, where, err.
func (e Corrupt) Fields(f *Fields) {
	f.Word("what", e.What)
	f.Word("where", e.Where)
	if e.Err != nil {
		f.Text("err", untrusted.From(e.Err.Error()))
	}
}

// Child: a daemon started or ended. Emitted by master.
type Child struct {
	general
	Did     string // started, ended, replaced, restarting
	Name    string
	PID     int
	Status  string // ended: "exit 0", "signal killed"
	Backoff time.Duration
}

// Verb is "child".
func (Child) Verb() string { return "child" }

// Fields adds did, name, pid, status, backoff.
func (e Child) Fields(f *Fields) {
	f.Word("did", e.Did)
	f.Word("name", e.Name)
	f.Int("pid", int64(e.PID))
	f.Word("status", e.Status)
	f.Took("backoff", e.Backoff)
}

// State: a program or the suite changed its state (ready, draining, stopped,
// reloaded, full, room again).
type State struct {
	general
	Now string
	Why string
}

// Verb is "state".
func (State) Verb() string { return "state" }

// Fields adds now, why.
func (e State) Fields(f *Fields) {
	f.Word("now", e.Now)
	f.Text("why", untrusted.From(e.Why))
}

// Trouble: something went wrong that the administrator should know of and that
// no other event tells.
type Trouble struct {
	about
	Doing string // what was being done
	Err   error
}

// TroubleOf makes a Trouble event; id may be 0.
func TroubleOf(id queueid.ID, doing string, err error) Trouble {
	return Trouble{about{id}, doing, err}
}

// Verb is "trouble".
func (Trouble) Verb() string { return "trouble" }

// Fields adds doing, err.
func (e Trouble) Fields(f *Fields) {
	f.Word("doing", e.Doing)
	if e.Err != nil {
		f.Text("err", untrusted.From(e.Err.Error()))
	}
}

// Note: a detail for whoever debugs a service.
type Note struct {
	about
	What string
	Text untrusted.Text
}

// NoteOf makes a Note event; id may be 0.
func NoteOf(id queueid.ID, what string, text untrusted.Text) Note { return Note{about{id}, what, text} }

// Verb is "note".
func (Note) Verb() string { return "note" }

// Detail: only written when the service is debugged.
func (Note) Detail() bool { return true }

// Fields adds what, text.
func (e Note) Fields(f *Fields) {
	f.Word("what", e.What)
	f.Text("text", e.Text)
}
