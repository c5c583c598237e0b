package smtpclient

import (
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
)

// An action is what the transaction wants done next.
type action uint8

const (
	actDone    action = iota
	actSend           // send these commands, then take a reply for each
	actContent        // send content, then take the replies
)

// A transaction is one message for some recipients over one session, as a
// state machine without clock or socket: next says what to send, take is told
// each reply, and the outcomes are in rcpts.
//
// Invariant: a recipient is Delivered only by a 2yz reply to the end of the
// content that was sent for him.
type transaction struct {
	plan  plan
	rcpts []rcpt
	reset bool // a RSET goes first: the one before was left open

	state    txState
	queue    []due // commands whose replies are not here yet, oldest first
	named    int   // recipients whose RCPT has been sent
	accepted int   // of them, accepted
	refused  bool  // MAIL was
	mailOK   bool
	dataSent bool
	data354  bool
	ended    bool // a reply to the end of data came
	over     bool // the session is of no further use

	// site is what the server said that is no verdict on the message: the
	// next server may be asked, or it holds if there is none.
	site outcome.Outcome
}

type txState uint8

const (
	txMail txState = iota
	txRcpt
	txData
	txContent
	txEmptyEnd
	txReplies // the end of the content is sent
	txDone
)

// due is a reply that is due.
type due struct {
	step step
	rcpt int // stepRcpt; stepEnd of LMTP: whose
}

// rcpt is one recipient of a transaction.
type rcpt struct {
	index    int // in the job
	to       *envelope.Recipient
	accepted bool
	tooMany  bool
	out      outcome.Outcome // Class 0: nothing final yet
}

// next appends the commands to be sent now to dst and says what to do.
//
// Requires: all replies that were due have been taken.
func (t *transaction) next(dst []byte) ([]byte, action) {
	if t.over {
		return dst, actDone
	}
	switch t.state {
	case txMail:
		if t.reset {
			dst = t.command(append(dst, "RSET\r\n"...), due{step: stepReset})
			if !t.plan.pipeline {
				t.reset = false
				return dst, actSend
			}
		}
		dst = t.command(t.plan.appendMail(dst), due{step: stepMail})
		if t.plan.pipeline {
			dst = t.addRcpts(dst, rcptWindow)
		}
	case txRcpt:
		window := 1
		if t.plan.pipeline {
			window = rcptWindow
		}
		dst = t.addRcpts(dst, window)
	case txData:
		dst = t.addData(dst)
	case txEmptyEnd:
		dst = t.command(append(dst, ".\r\n"...), due{step: stepEmptyEnd})
	case txContent:
		return dst, actContent
	case txReplies, txDone:
		return dst, actDone
	}
	return dst, actSend
}

func (t *transaction) command(dst []byte, d due) []byte {
	t.queue = append(t.queue, d)
	return dst
}

// addRcpts adds RCPT commands, and DATA behind the last (RFC 2920, section
// 3.1). BDAT is not sent along: its content would go to a server that has
// refused every recipient, and nothing like 354 shows that the replies are
// still in step before it counts.
func (t *transaction) addRcpts(dst []byte, window int) []byte {
	for ; window > 0 && t.named < len(t.rcpts); window-- {
		dst = t.command(t.plan.appendRcpt(dst, t.rcpts[t.named].to), due{stepRcpt, t.named})
		t.named++
	}
	if t.plan.pipeline && !t.plan.chunking && t.named == len(t.rcpts) {
		dst = t.addData(dst)
	}
	return dst
}

func (t *transaction) addData(dst []byte) []byte {
	t.dataSent = true
	return t.command(append(dst, "DATA\r\n"...), due{step: stepData})
}

// owed is the step whose reply is due next.
func (t *transaction) owed() (step, bool) {
	if len(t.queue) == 0 || t.over {
		return 0, false
	}
	return t.queue[0].step, true
}

// take is told the reply that was due next.
//
// Requires: owed said that one is.
func (t *transaction) take(r smtp.ServerReply) {
	d := t.queue[0]
	t.queue = append(t.queue[:0], t.queue[1:]...)
	switch d.step {
	case stepReset, stepMail:
		t.takeMail(d.step, judge(d.step, r))
	case stepRcpt, stepData:
		if t.refused || d.step == stepData && t.accepted == 0 {
			t.takeEcho(d.step, r)
			break
		}
		t.takeVerdict(d, judge(d.step, r))
	case stepChunk, stepEnd:
		t.takeEnd(d, judge(d.step, r))
	default:
		t.over = true // the empty end: whatever it said, nothing was to be delivered
	}
	if len(t.queue) == 0 && !t.over {
		t.advance()
	}
}

// takeMail takes the reply to MAIL, or to the RSET before it.
func (t *transaction) takeMail(s step, v ruling) {
	if v.granted {
		t.mailOK = s == stepMail && !t.refused
		return
	}
	// A server that cannot even forget is of no further use.
	t.over = v.over || s == stepReset
	t.refused = true
	t.site = v.out
	if v.out.Class == outcome.Failed {
		t.settle(v.out)
	}
}

// settle gives everybody who has none a final outcome.
func (t *transaction) settle(o outcome.Outcome) {
	for i := range t.rcpts {
		if t.rcpts[i].out.Class == 0 {
			t.rcpts[i].out = o
		}
	}
}

// takeEcho takes the reply to a command that went out before the refusal of
// one that it depends on came back (RFC 2920, section 3.1). The refusal has
// decided; behind it comes 503 or the like, and only what is granted all the
// same means something: a recipient without a sender is nonsense, while after
// 354 the server waits for content.
func (t *transaction) takeEcho(s step, r smtp.ServerReply) {
	switch {
	case s == stepData && r.Intermediate():
		t.data354 = true
	case r.Code == 421, !r.Temporary() && !r.Permanent():
		t.over = true
		if t.site.Class == 0 {
			t.site = judge(s, r).out // or whoever is left would be tried on this session
		}
	}
}

// takeVerdict takes the reply to RCPT, or to DATA with recipients accepted.
func (t *transaction) takeVerdict(d due, v ruling) {
	switch {
	case v.over:
		t.over, t.site = true, v.out
	case d.step == stepData && v.granted:
		t.data354 = true
	case d.step == stepData:
		t.settleAccepted(v.out)
	case v.granted:
		t.rcpts[d.rcpt].accepted = true
		t.accepted++
	default:
		t.rcpts[d.rcpt].out, t.rcpts[d.rcpt].tooMany = v.out, v.tooMany
	}
}

// takeEnd takes the reply to a chunk or to the end of data.
func (t *transaction) takeEnd(d due, v ruling) {
	switch {
	case d.step == stepChunk && v.granted:
		return
	case d.step == stepChunk:
		// RFC 3030, section 2: only RSET leads on from here.
		t.refused = true
		t.settleAccepted(v.out)
	case t.plan.lmtp:
		t.ended = true
		t.rcpts[d.rcpt].out = v.out // RFC 2033, section 4.2
	default:
		t.ended = true
		t.settleAccepted(v.out)
	}
	if v.over {
		t.broke(v.out)
	}
}

func (t *transaction) settleAccepted(o outcome.Outcome) {
	for i := range t.rcpts {
		if t.rcpts[i].accepted {
			t.rcpts[i].out = o
		}
	}
}

// advance decides, with no reply due, what comes next.
func (t *transaction) advance() {
	switch {
	case t.state == txMail && !t.mailOK && !t.refused:
		// The RSET alone has been answered; MAIL comes now.
	case t.data354 && t.accepted == 0:
		t.state = txEmptyEnd // RFC 2920, section 3.1
	case t.refused, t.ended:
		t.state = txDone
	case t.named < len(t.rcpts):
		t.state = txRcpt
	case t.accepted == 0:
		t.state = txDone
	case t.data354, t.plan.chunking:
		t.state = txContent
	case !t.dataSent:
		t.state = txData
	default:
		t.state = txDone // DATA was refused
	}
}

// chunkSent notes that a BDAT chunk is on its way, and that its reply is due.
func (t *transaction) chunkSent() { t.queue = append(t.queue, due{step: stepChunk}) }

// endSent notes that the end of the content is on its way: from here on the
// message may be delivered although we never hear of it.
func (t *transaction) endSent() {
	t.state = txReplies
	if !t.plan.lmtp {
		t.queue = append(t.queue, due{step: stepEnd})
		return
	}
	for i := range t.rcpts {
		if t.rcpts[i].accepted {
			t.queue = append(t.queue, due{stepEnd, i})
		}
	}
}

// broke notes that the session broke. Who was accepted for content whose end
// is on its way has his outcome with it, as another server must not be given
// what this one may have taken; the others are still owed an attempt.
func (t *transaction) broke(o outcome.Outcome) {
	t.over = true
	t.site = o
	if t.state != txReplies {
		return
	}
	for i := range t.rcpts {
		if r := &t.rcpts[i]; r.accepted && r.out.Class == 0 {
			r.out = o
		}
	}
}

// leftOpen tells whether the server still has a transaction of ours, which the
// next MAIL would meet (RFC 5321, section 4.1.4: 503).
func (t *transaction) leftOpen() bool { return t.mailOK && !t.ended }
