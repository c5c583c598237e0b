package smtpd

import (
	"bytes"
	"net/netip"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// state is where a session stands.
type state uint8

// The states.
const (
	strange       state = 1 << iota // no HELO or EHLO yet
	ready                           // greeted, no transaction
	haveSender                      // MAIL was accepted
	haveRecipient                   // and at least one RCPT
	haveChunks                      // and at least one BDAT, not the last
	broken                          // a BDAT failed: the client has to say RSET
)

// states is a set of them.
func states(list ...state) state {
	var set state
	for _, s := range list {
		set |= s
	}
	return set
}

const anyState = strange | ready | haveSender | haveRecipient | haveChunks | broken

// step is what the dialogue does next.
type step uint8

// The steps.
const (
	nextCommand  step = iota // reply, then read a command
	readContent              // reply, then read content up to the dot
	readChunk                // read size octets of content; session.chunkRead replies
	discardChunk             // read size octets and throw them away, then reply
	hangUp                   // reply, then close
	askRouter                // look the recipient up; session.lookedUp replies
	askSender                // look the sender up; session.senderLookedUp replies or goes on
	askLookup                // ask a lookup of the configuration; session.learned replies or goes on
	askTurn                  // ask qmgr for what waits; session.turned replies
)

// action is the session's decision.
type action struct {
	step  step
	reply *smtp.Reply
	size  int64
	last  smtp.LastChunk

	to   *mailaddr.Address // whom the reply is about, for the log
	from *mailaddr.Address // who sent the message of which nothing else is left, for the log
	rcpt *smtp.RcptParams  // ask...: the recipient that is under consideration

	inquiry  inquiry  // askRouter, askSender
	question question // askLookup
	turn     *turn    // askTurn; askLookup, where it is about one
}

// room is what cleanup last said of itself.
type room struct {
	up        bool // there is a cleanup
	accepting bool
	free      int64 // octets that a message may have
	suspended bool  // the administrator takes no mail from other machines
}

// draining says how far a stop of the process has come.
type draining uint8

// The degrees of draining.
const (
	notDraining  draining = iota
	drainServed           // who has had a message taken may not begin another
	drainWaiting          // nobody may begin one
	drainAll              // everybody ends
)

// session is the state of one dialogue. It decides and does nothing: no
// socket, no log, and no clock but the one that it is given.
type session struct {
	site  *site
	peer  netip.Addr
	relay standing                         // whether it may send to anywhere
	room  func() room                      // asked at MAIL
	now   func() time.Time                 // asked at EHLO and MAIL
	known map[question]*proto.LookupAnswer // what lookups have said, for this message

	state    state
	esmtp    bool
	hello    untrusted.Text
	tx       *transaction
	draining draining

	stage     string // the last command, for the log
	commands  int
	errors    int   // bad commands since the last message
	fruitless int   // commands without progress since the last message
	discarded int64 // octets thrown away since the last message
	messages  int
}

func newSession(e *site, peer netip.Addr, room func() room) *session {
	peer = peer.Unmap()
	s := &session{site: e, peer: peer, room: room, now: time.Now, state: strange, stage: "connect"}
	if may, certain := e.trusted.asking.CertainAddr(peer); certain {
		s.relay = standingOf(may)
	}
	return s
}

// verb is one row of the protocol.
type verb struct {
	name  string
	stage string // in the log
	in    state
	form  form
	do    func(*session, untrusted.Text) action
}

// form says what may stand behind a verb, and in the same packet.
type form uint8

// The forms.
const (
	takesArgument form = 0
	noArgument    form = 1 << 0
	// endsGroup: nothing may have been sent behind this command before our
	// reply to it (RFC 2920, section 3.1).
	endsGroup form = 1 << 1
	// fruitless: does not lead to a message; limits.commands counts these.
	fruitless form = 1 << 2
)

// verbs are the commands, with the states in which they are good.
var verbs = [...]verb{
	{"RCPT", "rcpt", states(haveSender, haveRecipient), takesArgument, (*session).rcpt}, // RFC 5321, section 4.1.1.3
	{"MAIL", "mail", states(ready), takesArgument, (*session).mail},                     // RFC 5321, section 4.1.1.2
	{"DATA", "data", states(haveRecipient), noArgument | endsGroup, (*session).data},    // RFC 5321, section 4.1.1.4
	{"BDAT", "bdat", anyState, takesArgument, (*session).bdat},                          // RFC 3030, section 2; sequence checked in bdat
	{"EHLO", "ehlo", anyState, endsGroup | fruitless, (*session).ehlo},                  // RFC 5321, section 4.1.1.1
	{"HELO", "helo", anyState, endsGroup | fruitless, (*session).helo},                  // RFC 5321, section 4.1.1.1
	{"RSET", "rset", anyState, noArgument | fruitless, (*session).rset},                 // RFC 5321, section 4.1.1.5
	{"NOOP", "noop", anyState, takesArgument | fruitless, (*session).noop},              // RFC 5321, section 4.1.1.9
	{"QUIT", "quit", anyState, noArgument, (*session).quit},                             // RFC 5321, section 4.1.1.10
	{"VRFY", "vrfy", anyState &^ broken, takesArgument | fruitless, (*session).vrfy},    // RFC 5321, section 4.1.1.6
	{"HELP", "help", anyState &^ broken, takesArgument | fruitless, (*session).help},    // RFC 5321, section 4.1.1.8
	{"EXPN", "expn", anyState &^ broken, takesArgument, (*session).unimplemented},       // RFC 5321, section 4.1.1.7
	{"STARTTLS", "starttls", anyState, takesArgument, (*session).unimplemented},
	{"AUTH", "auth", anyState, takesArgument, (*session).unimplemented},
	{"ETRN", "etrn", anyState, takesArgument | fruitless, (*session).etrn}, // RFC 1985; sequence checked in etrn
	{"TURN", "turn", anyState, takesArgument, (*session).unimplemented},    // RFC 5321, appendix F.1
	{"SEND", "send", anyState, takesArgument, (*session).unimplemented},    // RFC 5321, appendix F.6
	{"SOML", "soml", anyState, takesArgument, (*session).unimplemented},
	{"SAML", "saml", anyState, takesArgument, (*session).unimplemented},
}

func findVerb(name string) *verb {
	for i := range verbs {
		if verbs[i].name == name {
			return &verbs[i]
		}
	}
	return nil
}

// command decides about one command line, given without its CRLF. quiet says
// whether nothing has been sent behind it; it is asked only where that counts.
func (s *session) command(line []byte, quiet func() bool) action {
	s.commands++
	s.stage = "command"
	if notSMTP(line) {
		return hang(421, 4, 7, 0, "This port speaks SMTP")
	}
	cmd, bad := smtp.ParseCommand(line)
	if bad != nil {
		return s.settle(action{reply: bad})
	}
	v := findVerb(cmd.Verb)
	if v != nil {
		s.stage = v.stage
	}
	switch {
	case v == nil:
		return s.settle(action{reply: smtp.NewReply(500, smtp.Status{Class: 5, Subject: 5, Detail: 1}, "Command not recognized")})
	case v.form&endsGroup != 0 && !quiet():
		return hang(554, 5, 5, 0, "Data sent before our reply")
	case s.mustEnd(v.name):
		return s.stopping()
	case v.in&s.state == 0:
		return s.settle(s.outOfSequence(v.name))
	case v.form&noArgument != 0 && !cmd.Arg.IsEmpty():
		return s.settle(refuse(501, 5, 4, "No argument allowed"))
	}
	if v.form&fruitless != 0 {
		s.fruitless++
	}
	return s.settle(v.do(s, cmd.Arg))
}

// mustEnd tells whether a stopping process has come to the end of a session. A
// client that has had no message taken yet may send one: it connected before
// it could know.
func (s *session) mustEnd(name string) bool {
	if s.draining == notDraining || name == "QUIT" {
		return false
	}
	if s.draining == drainAll {
		return true
	}
	return s.tx == nil && (s.draining == drainWaiting || s.messages > 0)
}

func (s *session) stopping() action { return hang(421, 4, 3, 2, "Service is closing, try again") }

// outOfSequence is the reply to a command that exists but not now.
func (s *session) outOfSequence(name string) action {
	switch {
	case s.state == broken:
		return refuse(503, 5, 1, "BDAT failed, send RSET first")
	case s.state == strange:
		return refuse(503, 5, 1, "Send EHLO or HELO first")
	case s.state == haveChunks:
		return refuse(503, 5, 1, "BDAT is under way")
	case name == "MAIL":
		return refuse(503, 5, 1, "Sender already given")
	case s.state == ready:
		return refuse(503, 5, 1, "Send MAIL first")
	case s.tx != nil && s.tx.refused+s.tx.overflow > 0:
		return refuse(554, 5, 1, "No valid recipients") // RFC 5321, section 3.3
	}
	return refuse(503, 5, 1, "Send RCPT first")
}

// settle counts what a decision says of the client, and ends a session that
// has had too many bad or fruitless ones.
func (s *session) settle(a action) action {
	if a.reply == nil || a.step == hangUp {
		return a
	}
	switch {
	case a.reply.Permanent():
		s.errors++
	case a.reply.Temporary():
		s.fruitless++ // else a client could go on for ever against a full disk
	}
	switch {
	case s.errors >= max(1, s.site.limits.Errors):
		return hang(421, 4, 7, 0, "Too many errors")
	case s.fruitless > max(1, s.site.limits.Commands):
		return hang(421, 4, 7, 0, "Too many commands without mail")
	}
	return a
}

// reset drops the transaction, with all that belongs to it.
func (s *session) reset() {
	if s.tx != nil && s.tx.content != nil {
		s.tx.content.abandon()
	}
	s.tx, s.known = nil, nil
	if s.state != strange {
		s.state = ready
	}
}

// ended is told the fate of a message whose end has come. In every outcome
// nothing of it is left.
func (s *session) ended(r *smtp.Reply) action {
	from := s.tx.sender()
	s.reset()
	if r.Success() {
		s.messages++
		s.errors, s.fruitless, s.discarded = 0, 0, 0
	}
	a := s.settle(action{reply: r})
	a.from = from
	return a
}

// longLine decides about a line that was too long to be kept.
func (s *session) longLine() action {
	s.commands++
	return s.settle(refuse(500, 5, 6, "Command line too long"))
}

// badLineEnd decides about a line that ended in LF alone.
func (s *session) badLineEnd() action {
	s.commands++
	return s.settle(refuse(500, 5, 2, "Lines must end in CRLF"))
}

// refuse is a 5.x.y or 5yz reply of subject 5 (protocol).
func refuse(code, subject, detail int, text string) action {
	return action{reply: smtp.NewReply(code, smtp.Status{Class: code / 100, Subject: subject, Detail: detail}, text)}
}

func accept(subject, detail int, text string) action {
	return action{reply: smtp.NewReply(250, smtp.Status{Class: 2, Subject: subject, Detail: detail}, text)}
}

func hang(code, class, subject, detail int, text string) action {
	return action{step: hangUp, reply: smtp.NewReply(code, smtp.Status{Class: class, Subject: subject, Detail: detail}, text)}
}

// notSMTP finds out clients of other protocols. A browser can be made to send
// a form to our port, with commands of the attacker's in its lines: it says
// its own protocol's words first.
func notSMTP(line []byte) bool {
	word, rest, spaced := bytes.Cut(line, []byte(" "))
	switch strings.ToUpper(string(word[:min(len(word), 16)])) {
	case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH":
		return true
	case "HOST:":
		return spaced
	case "PRI": // HTTP/2
		return bytes.HasPrefix(rest, []byte("* HTTP/"))
	}
	return bytes.HasPrefix(line, []byte("SSH-")) || isTLS(line)
}

// isTLS tells the record that a TLS handshake begins with (RFC 8446, section 5.1).
func isTLS(b []byte) bool { return len(b) > 2 && b[0] == 0x16 && b[1] == 3 }
