package dispatch

import (
	"slices"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

// slow is a rig in which some recipients' servers take their time, and the test
// says when a note is due.
type slow struct {
	*rig
	begun chan string        // who is being served slowly
	goOn  chan struct{}      // lets him be served
	asked chan time.Duration // how long to wait for a note
	due   chan time.Time     // the wait is over
}

func newSlow(t *testing.T, hang ...string) *slow { return newSlowOn(t, newRig(t), hang...) }

func newSlowOn(t *testing.T, r *rig, hang ...string) *slow {
	t.Helper()
	s := &slow{
		rig: r, begun: make(chan string, 10), goOn: make(chan struct{}),
		asked: make(chan time.Duration, 100), due: make(chan time.Time, 10),
	}
	s.d.after = func(wait time.Duration) <-chan time.Time {
		s.asked <- wait
		return s.due
	}
	sends := s.d.remote
	s.d.remote = agent(func(req, reply ipc.Message) error {
		to := req.(*proto.RemoteJob).Recipients[0].Address.String()
		if slices.Contains(hang, to) {
			s.begun <- to
			<-s.goOn
		}
		return sends.Call(t.Context(), req, reply)
	})
	return s
}

// fly begins a first attempt.
func (s *slow) fly(f *flight) (ended chan proto.Settled) {
	ended = make(chan proto.Settled, 1)
	go func() { ended <- s.d.run(s.t.Context(), f) }()
	return ended
}

// until asks again and again until something is so.
func (s *slow) until(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("never: %s", what)
		}
	}
}

// lines counts those of a verb in the log of a message.
func (s *slow) lines(id queueid.ID, verb spool.Verb) (n int) {
	for l, err := range s.d.spool.Log(spool.Deferred, id) {
		if err == nil && l.Verb == verb {
			n++
		}
	}
	return n
}

func TestServedIsNotedWhileAnotherIsSlow(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	ref, id := f.ref, f.env.ID
	ended := s.fly(f)
	if wait := <-s.asked; wait != noteAfter {
		t.Errorf("noted after %v", wait)
	}
	if s.filedInSpool(id) || s.d.marker.IsDone(ref) {
		t.Error("filed before it was due")
	}
	s.due <- time.Now()
	s.until("marked", func() bool { return s.d.marker.IsDone(ref) })
	book := s.book(id)
	if waiting := book.Waiting(); !slices.Equal(waiting, []int{1}) || !book.Ongoing || book.Attempts != 1 {
		t.Errorf("waiting %v, ongoing %v, %d attempts", waiting, book.Ongoing, book.Attempts)
	}
	if o := book.States[1].Last; o.Kind != outcome.Busy {
		t.Errorf("who is still owed is %q: after a crash he would wait for a retry", o.Kind)
	}
	close(s.goOn)
	if got := <-ended; got.State != proto.SettledGone || s.filedInSpool(id) || len(s.filed) != 0 {
		t.Errorf("state %d, filed %v, qmgr was told of %d", got.State, s.filedInSpool(id), len(s.filed))
	}
	if s.sent("fast@x.example") != 1 || s.sent("slow@y.example") != 1 {
		t.Errorf("sent %+v", s.jobs)
	}
}

func TestOneJobIsNeverNotedEarly(t *testing.T) {
	s := newSlow(t)
	f := s.accept("a@x.example", "b@x.example")
	s.first(f)
	if len(s.asked) != 0 || f.filed {
		t.Error("a message of one transaction costs a note")
	}
}

func TestNothingIsNotedOfWhoWasNotServed(t *testing.T) {
	s := newSlow(t)
	s.verdict["later@x.example"], s.verdict["never@z.example"] = later, never
	s.first(s.accept("later@x.example", "never@z.example"))
	if len(s.asked) != 0 {
		t.Errorf("asked for %d notes", len(s.asked))
	}
}

func TestWhatIsServedInQuickSuccessionIsOneWrite(t *testing.T) {
	s := newSlow(t)
	f := s.accept("a@a.example", "b@b.example", "c@c.example", "d@d.example")
	id := f.env.ID
	s.d.routeAll(t.Context(), f)
	jobs := group(f.leaves, f.env.Sender, s.d.settings.Load().Transports)
	n := s.d.newNotes(t.Context(), f)
	for i := range 3 {
		s.d.deliver(t.Context(), f, &jobs[i])
		n.add(&jobs[i])
	}
	if len(s.asked) != 1 {
		t.Fatalf("asked for %d notes", len(s.asked))
	}
	n.write()
	s.d.deliver(t.Context(), f, &jobs[3])
	n.add(&jobs[3])
	if len(s.asked) != 1 {
		t.Error("a write begins while another is under way")
	}
	first := <-n.written
	if d, o := s.lines(id, spool.Delivered), s.lines(id, spool.Ongoing); d != 3 || o != 1 {
		t.Errorf("%d deliveries in %d writes", d, o)
	}
	n.wrote(first)
	if len(s.asked) != 2 {
		t.Error("what came meanwhile is forgotten")
	}
	n.write()
	n.end()
	if got := s.d.settle(t.Context(), f); got.State != proto.SettledGone {
		t.Errorf("state %d", got.State)
	}
}

func TestAttemptThatWasNotedOnTheWayIsOneAttempt(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	s.verdict["slow@y.example"] = later
	f := s.accept("fast@x.example", "slow@y.example")
	id := f.env.ID
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	s.until("noted", func() bool { return s.lines(id, spool.Ongoing) > 0 })
	close(s.goOn)
	got := <-ended
	if got.State != proto.SettledWaiting || got.Summary.Waiting != 1 || got.Summary.Attempts != 1 {
		t.Fatalf("got %+v", got)
	}
	if book := s.book(id); book.Attempts != 1 || book.Ongoing || book.States[1].Last.Kind != outcome.RcptRefused {
		t.Errorf("%d attempts, ongoing %v, last %+v", book.Attempts, book.Ongoing, book.States[1].Last)
	}
	delete(s.verdict, "slow@y.example")
	<-s.begun
	if got := s.again(id, proto.DueAttempt); got.State != proto.SettledGone || s.sent("fast@x.example") != 1 {
		t.Errorf("state %d, fast was served %d times", got.State, s.sent("fast@x.example"))
	}
}

func TestLaterAttemptIsNotedOnTheWayToo(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	s.verdict["fast@x.example"], s.verdict["slow@y.example"] = later, later
	f := s.accept("fast@x.example", "slow@y.example")
	id := f.env.ID
	s.goOn = make(chan struct{}, 2)
	s.goOn <- struct{}{}
	s.first(f)
	<-s.begun
	clear(s.verdict)
	ended := make(chan proto.Settled, 1)
	go func() { ended <- s.again(id, proto.DueAttempt) }()
	<-s.begun
	<-s.asked
	s.due <- time.Now()
	s.until("noted", func() bool { return s.lines(id, spool.Ongoing) > 0 })
	if book := s.book(id); book.Attempts != 2 || !book.States[0].Done || book.States[1].Done {
		t.Errorf("%d attempts, %+v", book.Attempts, book.States)
	}
	s.goOn <- struct{}{}
	if got := <-ended; got.State != proto.SettledGone || s.sent("fast@x.example") != 2 {
		t.Errorf("state %d, fast tried %d times", got.State, s.sent("fast@x.example"))
	}
}

// qmgr may find the file when it walks deferred/, and an administrator too.
func TestFlightThatIsFiledIsNobodyElses(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	id, ref := f.env.ID, f.ref
	if !s.d.begin(f) {
		t.Fatal("no room")
	}
	<-s.asked
	s.due <- time.Now()
	s.until("marked", func() bool { return s.d.marker.IsDone(ref) })
	for _, action := range []proto.DueAction{proto.DueAttempt, proto.DueFinal, proto.DueBounce, proto.DueDelete, proto.DueHold} {
		if got := s.again(id, action); got.State != proto.SettledBusy {
			t.Errorf("order %d during the attempt: state %d", action, got.State)
		}
	}
	s.d.recover()
	if len(s.d.backlog) != 0 {
		t.Error("the walk of the journal begins it again")
	}
	close(s.goOn)
	s.d.wg.Wait()
	if s.filedInSpool(id) || s.sent("slow@y.example") != 1 {
		t.Errorf("filed %v, sent %d", s.filedInSpool(id), s.sent("slow@y.example"))
	}
}

func TestFileOfAnEarlyNoteStaysUntilItsMarkIsOnDisk(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	ref, id := f.ref, f.env.ID
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	s.until("marked", func() bool { return s.d.marker.IsDone(ref) })
	if s.d.marker.Flushed(ref) {
		t.Fatal("the rig flushes too early to show anything")
	}
	s.disk.fail = func(op, name string) error {
		if op == "remove" && name == "deferred/"+id.Shard()+"/"+id.String() && !s.d.marker.Flushed(ref) {
			t.Error("removed before the mark is on disk: a power cut would bring the record back")
		}
		return nil
	}
	close(s.goOn)
	if got := <-ended; got.State != proto.SettledGone {
		t.Errorf("state %d", got.State)
	}
}

func TestFinishedMessageThatCanNotBeRemovedIsToldToQmgr(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	id, ref := f.env.ID, f.ref
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	s.until("marked", func() bool { return s.d.marker.IsDone(ref) })
	s.failAt("remove", id.String())
	close(s.goOn)
	if got := <-ended; got.State != proto.SettledWaiting || got.Summary.ID != id || got.Summary.Waiting != 0 {
		t.Fatalf("got %+v", got)
	}
	s.disk.fail = nil
	if got := s.again(id, proto.DueAttempt); got.State != proto.SettledGone || s.filedInSpool(id) || len(s.jobs) != 2 {
		t.Errorf("state %d, %d jobs", got.State, len(s.jobs))
	}
}

func TestNoteThatFailsIsTriedAgainLater(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	id, ref := f.env.ID, f.ref
	s.failAt("open", id.String())
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	if wait := <-s.asked; wait != troublePause || s.d.marker.IsDone(ref) {
		t.Errorf("again after %v, marked %v", wait, s.d.marker.IsDone(ref))
	}
	s.disk.fail = nil
	s.due <- time.Now()
	s.until("marked", func() bool { return s.d.marker.IsDone(ref) })
	close(s.goOn)
	if got := <-ended; got.State != proto.SettledGone {
		t.Errorf("state %d", got.State)
	}
}

func TestConfirmationGoesOutBeforeTheNoteAndOnce(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	f := s.accept("fast@x.example", "slow@y.example")
	for i := range f.env.Recipients {
		f.env.Recipients[i].Notify = envelope.NotifySuccess
	}
	id, ref := f.env.ID, f.ref
	s.bounces = func() proto.ReportDone {
		if len(s.reports) == 1 && s.filedInSpool(id) {
			t.Error("noted before it was confirmed: a crash between would leave it unconfirmed")
		}
		return proto.ReportDone{Done: true, Sent: true}
	}
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	s.until("noted", func() bool { return s.d.marker.IsDone(ref) })
	close(s.goOn)
	<-ended
	told := map[string]int{}
	for _, r := range s.reports {
		for _, rc := range r.Envelope.Recipients {
			told[rc.Address.String()]++
		}
	}
	if told["fast@x.example"] != 1 || told["slow@y.example"] != 1 {
		t.Errorf("confirmed %v", told)
	}
}

func TestExpansionIsConfirmedBeforeItsMembersAreFiled(t *testing.T) {
	s := newSlow(t, "slow@y.example")
	s.expansion(nil, "fast@x.example", "slow@y.example")
	expand := s.route
	s.route = func(rc envelope.Recipient) []proto.Leaf {
		leaves := expand(rc)
		for i := range leaves {
			leaves[i].NextHop = leaves[i].Recipient.Address.Domain()
		}
		return leaves
	}
	f := s.acceptNotify(envelope.NotifySuccess)
	ref := f.ref
	ended := s.fly(f)
	<-s.asked
	s.due <- time.Now()
	s.until("noted", func() bool { return s.d.marker.IsDone(ref) })
	s.mu.Lock()
	n := len(s.reports)
	s.mu.Unlock()
	close(s.goOn)
	if <-ended; n != 1 || len(s.reports) != 1 || s.reports[0].Outcomes[0].Class != outcome.Expanded {
		t.Errorf("%d reports at the note, %d in the end", n, len(s.reports))
	}
}

// The report of one may take longer than the deliveries of all others: bounce is
// away, or the disk is full.
func TestServedIsNotedWhileAReportIsSlow(t *testing.T) {
	s := newSlow(t)
	s.verdict["never@x.example"] = never
	f := s.accept("fast@x.example", "never@x.example")
	ref, id := f.ref, f.env.ID
	reports := s.d.bounce
	s.d.bounce = agent(func(req, reply ipc.Message) error {
		s.begun <- "report"
		<-s.goOn
		return reports.Call(t.Context(), req, reply)
	})
	ended := s.fly(f)
	<-s.begun
	<-s.asked
	s.due <- time.Now()
	s.until("noted", func() bool { return s.d.marker.IsDone(ref) })
	if waiting := s.book(id).Waiting(); !slices.Equal(waiting, []int{1}) {
		t.Errorf("waiting %v: the failure is ours until it is reported", waiting)
	}
	close(s.goOn)
	if got := <-ended; got.State != proto.SettledGone || s.filedInSpool(id) || len(s.reports) != 1 || s.sent("fast@x.example") != 1 {
		t.Errorf("state %d, %d reports", got.State, len(s.reports))
	}
}
