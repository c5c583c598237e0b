package smtpd

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/smtp"
)

// offerPriority is the line of MT-PRIORITY, with the name of the policy where there is
// one (RFC 6710, section 3).
func (e *site) offerPriority() string {
	if e.port.PriorityProfile == "" {
		return "MT-PRIORITY"
	}
	return "MT-PRIORITY " + e.port.PriorityProfile
}

// offerDeliverBy is the line of DELIVERBY, with the least time that mode R may name where
// there is one (RFC 2852, section 2).
func (e *site) offerDeliverBy() string {
	if least := e.port.DeliverByLeast.D(); least > 0 {
		return "DELIVERBY " + strconv.FormatInt(seconds(least), 10)
	}
	return "DELIVERBY"
}

// seconds rounds up: what is promised must be enough.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// ehloAt is an answer to EHLO as it is at a moment. Where messages may be held it names the longest time and
// the moment at its end (RFC 4865, section 3), and so it is another one each time.
func (e *site) ehloAt(answer *smtp.Reply, now time.Time) *smtp.Reply {
	most := e.mostHeld()
	if most <= 0 {
		return answer
	}
	r := *answer
	r.Lines = slices.Insert(slices.Clone(r.Lines), len(r.Lines)-1,
		fmt.Sprintf("FUTURERELEASE %d %s", int64(most/time.Second), now.Add(most).UTC().Format(time.RFC3339)))
	return &r
}

// mostHeld is how long a message may be held, 0 = not at all.
func (e *site) mostHeld() time.Duration {
	return min(e.port.FutureRelease.D(), envelope.MaxWait)
}

// wishes is what MAIL asks for as to time, as moments of our clock. lowered says that the
// client gets less than the priority it named.
func (s *session) wishes(p *smtp.MailParams) (w envelope.Wishes, lowered bool, bad *smtp.Reply) {
	now := s.now().UTC().Truncate(time.Microsecond)
	if w.Priority = p.Priority; w.Priority > 0 && !s.mayHurry() {
		w.Priority, lowered = 0, true
	}
	if w.ReleaseAt, bad = s.releaseAt(p.Hold, now); bad != nil {
		return w, false, bad
	}
	if !w.ReleaseAt.IsZero() {
		w.HoldFor = p.Hold.For
	}
	if w.DeliverBy, bad = s.deliverBy(p.By, now); bad != nil {
		return w, false, bad
	}
	if !w.DeliverBy.IsZero() && !w.ReleaseAt.IsZero() && !w.DeliverBy.At.After(w.ReleaseAt) {
		return w, false, smtp.NewReply(501, smtp.Status{Class: 5, Subject: 5, Detail: 4}, "BY is over before the message may be released")
	}
	return w, lowered, nil
}

// mayHurry tells whether the client may ask for more than the usual priority: who may
// relay, as far as that is known without asking anybody (RFC 6710, section 4.1: only
// those that are trusted).
func (s *session) mayHurry() bool {
	may, err := s.mayRelay()
	return may && err == nil
}

// releaseAt is when a message may go (RFC 4865, section 4). A moment that is over holds
// nothing: clocks differ.
func (s *session) releaseAt(h smtp.Hold, now time.Time) (time.Time, *smtp.Reply) {
	until := h.Until
	switch {
	case h.IsZero():
		return time.Time{}, nil
	case h.For > 0:
		until = now.Add(h.For)
	}
	switch {
	case until.Sub(now) > s.site.mostHeld():
		return time.Time{}, smtp.NewReply(501, smtp.Status{Class: 5, Subject: 5, Detail: 4},
			fmt.Sprintf("Messages are held for %d seconds at most", int64(s.site.mostHeld()/time.Second)))
	case !until.After(now):
		return time.Time{}, nil
	}
	return until.Truncate(time.Microsecond), nil
}

// deliverBy is the end of the time that a message has (RFC 2852, section 4).
func (s *session) deliverBy(b smtp.By, now time.Time) (envelope.DeliverBy, *smtp.Reply) {
	by := envelope.DeliverBy{At: now.Add(b.In), Trace: b.Trace}
	switch b.Mode {
	case 0:
		return envelope.DeliverBy{}, nil
	case 'N':
		by.Mode = envelope.ByNotify
		return by, nil
	}
	if least := s.site.port.DeliverByLeast.D(); b.In < least {
		return by, smtp.NewReply(555, smtp.Status{Class: 5, Subject: 5, Detail: 4},
			fmt.Sprintf("BY with mode R needs at least %d seconds here", seconds(least)))
	}
	by.Mode = envelope.ByReturn
	return by, nil
}

// senderOK is the answer to MAIL. Who gets another priority than he named is told which
// (RFC 6710, section 4.1: X.3.6, the new value first).
func senderOK(w *envelope.Wishes, lowered bool) action {
	if !lowered {
		return accept(1, 0, "Sender ok")
	}
	return accept(3, 6, strconv.Itoa(int(w.Priority))+" is the new priority: only trusted clients may ask for more")
}
