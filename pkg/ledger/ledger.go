// Package ledger reads the log of a message's attempts against its envelope:
// who still waits, who is done, how often and when it was tried. dispatch
// attempts what waits, qmgr schedules and lists by it; both must see the same.
//
// It promises that a recipient counts as done only by a line that says so: a
// delivery, an expansion, or a failure whose report was accepted. A line it does
// not understand, or one that was torn, costs knowledge and never mail: the
// recipient is attempted again. It writes nothing.
package ledger

import (
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// Ledger is what the log of one message comes to.
type Ledger struct {
	States   []State // one for each recipient of the envelope
	Attempts int
	// FirstAttempt is when anything was tried for the first time; zero: never. That some
	// recipients were returned by order is no attempt: the others wait as before.
	FirstAttempt time.Time
	LastAttempt  time.Time // zero: none
	Warned       int       // delay warnings sent
	LastWarned   time.Time // zero: none
	Finished     bool      // nothing is owed: the files are left over
	// Ongoing: the log ends within an attempt, which is still under way or was cut off
	// by a crash.
	Ongoing bool
	HeldFor untrusted.Text // reason of the last hold, empty if released since
	// Released: the last order about holding it was a release, which a crash may have
	// kept from moving the files.
	Released bool
	// Bad counts lines that could not be read.
	Bad int

	served map[untrusted.Text]struct{} // names in lines of a delivery or a report
}

// State is one recipient's.
type State struct {
	Done bool
	// Partly: some of its children have been served, and others not.
	Partly bool
	// Last is the newest outcome of the recipient or of a child of its.
	Last outcome.Outcome
}

// Read goes through the lines of a log. It changes the address of a recipient in env that
// was redirected.
func Read(env *envelope.Envelope, lines func(yield func(spool.LogLine, error) bool)) *Ledger {
	l := &Ledger{States: make([]State, len(env.Recipients)), served: map[untrusted.Text]struct{}{}}
	for line, err := range lines {
		if err != nil {
			l.Bad++
			continue
		}
		l.note(env, &line)
	}
	if l.Ongoing {
		l.excuse()
	}
	return l
}

// excuse says of recipients of whom a first attempt has left no word that nothing
// was found against them: they are due at once, as they were in the journal.
func (l *Ledger) excuse() {
	for i := range l.States {
		if s := &l.States[i]; !s.Done && s.Last.Class == 0 {
			s.Last = outcome.Defer(outcome.Busy, statusUnderWay, "the first attempt is under way, or a crash has cut it off")
		}
	}
}

var statusUnderWay = smtp.Status{Class: 4, Subject: 3, Detail: 0}

func (l *Ledger) note(env *envelope.Envelope, line *spool.LogLine) {
	switch line.Verb {
	case spool.Warned:
		l.Warned++
		l.LastWarned = line.Time
	case spool.Ongoing:
		l.Ongoing = true
	case spool.Finished:
		l.Finished = true
	case spool.Redirected:
		l.redirect(env, line)
	case spool.Held:
		l.HeldFor, l.Released = line.Outcome.Text, false
	case spool.Released:
		l.HeldFor, l.Released = untrusted.Text{}, true
	case spool.Delivered, spool.DeferredV, spool.Failed, spool.Expanded, spool.Reported, spool.Cancelled:
		l.noteOutcome(env, line)
	}
}

// redirect gives a recipient of the envelope the address that an administrator has given
// him. What happened to the old one stays his past; ORCPT still has what the sender wrote.
func (l *Ledger) redirect(env *envelope.Envelope, line *spool.LogLine) {
	if line.Recipient < 0 || line.Recipient >= len(env.Recipients) {
		l.Bad++
		return
	}
	a, err := mailaddr.Parse(line.Address)
	if err != nil {
		l.Bad++
		return
	}
	rc := &env.Recipients[line.Recipient]
	rc.Kind, rc.Address, rc.Target, rc.User = envelope.TargetAddress, a, "", ""
	l.States[line.Recipient].Partly = false
}

func (l *Ledger) noteOutcome(env *envelope.Envelope, line *spool.LogLine) {
	if line.Recipient < 0 || line.Recipient >= len(l.States) {
		l.Bad++
		return
	}
	s := &l.States[line.Recipient]
	switch line.Verb {
	case spool.Reported:
	case spool.Cancelled: // no attempt: the wait goes on for the others
		s.Last = outcome.Outcome{Class: outcome.Failed, Kind: outcome.Cancelled, Text: line.Outcome.Text}
	default:
		s.Last = line.Outcome
		// All lines of one attempt bear the same time, but for those behind a line
		// that says that it goes on.
		if !line.Time.Equal(l.LastAttempt) {
			if !l.Ongoing {
				l.Attempts++
			}
			if l.FirstAttempt.IsZero() && line.Outcome.Kind != outcome.Returned {
				l.FirstAttempt = line.Time
			}
			l.LastAttempt = line.Time
		}
		l.Ongoing = false
	}
	switch line.Verb {
	case spool.Delivered, spool.Reported:
		l.served[line.Address] = struct{}{}
		s.Partly = true
	case spool.Expanded, spool.Cancelled:
	default:
		return
	}
	if line.Address.Equal(Key(&env.Recipients[line.Recipient])) {
		s.Done, s.Partly = true, false
	}
}

// ServedChild tells whether a child of a recipient's expansion was served at an
// earlier attempt, as this recipient's or another's: a recipient that was expanded
// only at a later attempt is expanded again while some of its children wait.
func (l *Ledger) ServedChild(parent, child *envelope.Recipient) bool {
	_, served := l.served[ChildKey(parent, child)]
	return served
}

// Served tells whether somebody of an address is done with the message, as a recipient
// or as a child of one: it was delivered there, or its failure was reported.
func (l *Ledger) Served(address mailaddr.Address) bool {
	_, served := l.served[untrusted.From(address.String())]
	return served
}

// Waiting is the numbers of the recipients that are still owed something.
func (l *Ledger) Waiting() []int {
	if l.Finished {
		return nil // its log may be gone already (spool.Finish)
	}
	var out []int
	for i := range l.States {
		if !l.States[i].Done {
			out = append(out, i)
		}
	}
	return out
}

// Key is what a line names a recipient by: its address, or the command or file
// that an alias led to.
func Key(r *envelope.Recipient) string {
	if r.Kind != envelope.TargetAddress {
		return r.Target
	}
	return r.Address.String()
}

// ChildKey is what a line names a child of a recipient's expansion by. Where that
// would be the recipient's own name, as in "ann: \ann, bob", it is told from it:
// else the line of one child would end the recipient, and with it the others.
func ChildKey(parent, child *envelope.Recipient) untrusted.Text {
	key := Key(child)
	switch {
	case child.Kind == envelope.TargetPipe:
		key = "|" + key
	case child.Kind == envelope.TargetAddress && key == Key(parent):
		key = `\` + key
	}
	if child.User != "" {
		key += " (" + child.User + ")" // one command, run by two users
	}
	return untrusted.From(key)
}

// KeyText is Key for a line.
func KeyText(r *envelope.Recipient) untrusted.Text { return untrusted.From(Key(r)) }
