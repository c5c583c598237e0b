package dispatch

import (
	"testing"
	"time"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/spool"
)

// killed begins a first attempt in which one server hangs, kills dispatch when
// the others were served and no note was due, and has the next run go on.
func killed(t *testing.T, route func(envelope.Recipient) []proto.Leaf, change func(*envelope.Envelope), recipients ...string) *rig {
	t.Helper()
	disk := crashfs.New()
	s := newSlowOn(t, newRigOn(t, disk), "slow@y.example")
	if route != nil {
		s.route = route
	}
	// A server without DSN.
	s.verdict["a@x.example"] = outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered, Relayed: true}
	f := s.acceptAs(change, recipients...)
	id := f.env.ID
	ended := s.fly(f)
	<-s.begun
	s.until("served", func() bool {
		f.noting.Lock()
		defer f.noting.Unlock()
		left := 0
		for _, is := range f.jotted {
			if !is {
				left++
			}
		}
		return left == 1
	})
	next := newRigOn(t, disk.Kill())
	next.route = s.route
	if route == nil {
		next.route = next.remoteRoute
	}
	next.d.mend()
	next.feedAll()
	if next.filedInSpool(id) || len(next.d.backlog) > 0 {
		t.Error("something is left")
	}
	close(s.goOn)
	<-ended
	return next
}

func asItIs(*envelope.Envelope) {}

func TestKillRepeatsNobodyWhoWasServedBesideASlowOne(t *testing.T) {
	next := killed(t, nil, asItIs, "a@x.example", "slow@y.example", "b@z.example")
	if a, b, slow := next.sent("a@x.example"), next.sent("b@z.example"), next.sent("slow@y.example"); a+b != 0 || slow != 1 {
		t.Errorf("after a kill %d and %d are served again, the other %d times", a, b, slow)
	}
}

func TestConfirmationThatIsOwedAtAKillIsSentAfterIt(t *testing.T) {
	next := killed(t, nil, func(env *envelope.Envelope) {
		env.Recipients[0].Notify = envelope.NotifySuccess
	}, "a@x.example", "slow@y.example")
	n := 0
	for _, r := range next.reports {
		if r.What == proto.ReportSuccess && len(r.Envelope.Recipients) == 1 {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d confirmations: %+v", n, next.reports)
	}
}

// RFC 3461, section 5.2.2: a server that does not report success itself has relayed it.
func TestConfirmationBehindAKillSaysRelayedWhereItWas(t *testing.T) {
	next := killed(t, nil, func(env *envelope.Envelope) {
		env.Recipients[0].Notify = envelope.NotifySuccess
	}, "a@x.example", "slow@y.example")
	for _, r := range next.reports {
		if r.What == proto.ReportSuccess && !r.Outcomes[0].Relayed {
			t.Errorf("reported as %+v", r.Outcomes[0])
		}
	}
}

// RFC 2852, section 4.1.4: the sender hears that it was passed on to one that knows no time.
func TestTraceThatIsOwedAtAKillIsSentAfterIt(t *testing.T) {
	next := killed(t, nil, func(env *envelope.Envelope) {
		env.DeliverBy = envelope.DeliverBy{Mode: envelope.ByNotify, At: env.Arrived.Add(24 * time.Hour)}
	}, "a@x.example", "slow@y.example")
	if n := len(next.reports); n != 1 || next.reports[0].What != proto.ReportSuccess || len(next.reports[0].Envelope.Recipients) != 1 {
		t.Errorf("%d reports: %+v", n, next.reports)
	}
}

func TestFlagsOfWhoWasServedAreRead(t *testing.T) {
	for flags := range uint8(8) {
		o := servedBefore("smtp", flags)
		if got := flagsOf(&o); got != flags {
			t.Errorf("%d is read as %d", flags, got)
		}
	}
}

// What is told apart by who takes it, in whatever order router says it.
func TestOneAddressThatTwoTakeIsLeftOutForOneOfThem(t *testing.T) {
	turn := 0
	next := killed(t, func(rc envelope.Recipient) []proto.Leaf {
		slow := rc
		leaves := []proto.Leaf{
			{Recipient: slow, Transport: "smtp", By: "out", NextHop: "y.example"},
			{Recipient: rc, Transport: "discard", By: "archive", NextHop: "archive.example"},
		}
		if turn++; turn > 1 {
			leaves[0], leaves[1] = leaves[1], leaves[0]
		}
		return leaves
	}, asItIs, "slow@y.example")
	if len(next.jobs) != 1 || next.jobs[0].NextHop != "y.example" {
		t.Errorf("after the kill: %+v", next.jobs)
	}
}

func TestServedWhileANoteIsWrittenIsJottedBehindIt(t *testing.T) {
	s := newSlow(t)
	f := s.accept("a@a.example", "b@b.example", "c@c.example")
	id := f.env.ID
	s.d.routeAll(t.Context(), f)
	f.remember()
	jobs := group(f.leaves, f.env.Sender, s.d.settings.Load().Transports)
	n := s.d.newNotes(t.Context(), f)
	s.d.deliver(t.Context(), f, &jobs[0])
	n.add(&jobs[0])
	n.write()
	s.d.deliver(t.Context(), f, &jobs[1])
	f.noting.Lock()
	f.isNoting = true // whether or not it is at its end already
	f.noting.Unlock()
	s.d.jot(f, jobs[1].leaves)
	if f.jotted[jobs[1].leaves[0]] {
		t.Error("jotted beside a note")
	}
	n.add(&jobs[1])
	failed := <-n.written
	f.isNoting = false
	n.wrote(failed)
	if got := s.lines(id, spool.Delivered); got != 2 {
		t.Errorf("%d are in the log", got)
	}
	n.end()
}
