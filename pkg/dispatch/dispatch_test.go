package dispatch

import (
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
)

var (
	later = outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450, Status: smtp.Status{Class: 4, Subject: 2}}
	never = outcome.Outcome{Class: outcome.Failed, Kind: outcome.RcptRefused, Code: 550, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1}}
)

func TestDeliveredMessageIsMarkedAndLeavesNoFile(t *testing.T) {
	r := newRig(t)
	f := r.accept("a@x.example")
	ref, id := f.ref, f.env.ID
	if got := r.first(f); got.State != proto.SettledGone {
		t.Errorf("state %d, want gone", got.State)
	}
	if !r.d.marker.IsDone(ref) || r.filedInSpool(id) || len(r.filed) != 0 {
		t.Error("a delivered message must be marked, not filed")
	}
}

func TestOneTransactionPerNextHop(t *testing.T) {
	r := newRig(t)
	r.first(r.accept("a@x.example", "b@y.example", "c@x.example"))
	if len(r.jobs) != 2 {
		t.Fatalf("%d transactions for 2 next hops", len(r.jobs))
	}
	for _, j := range r.jobs {
		if j.NextHop == "x.example" && len(j.Recipients) != 2 {
			t.Errorf("%d recipients for x.example, want 2", len(j.Recipients))
		}
	}
}

func TestTransactionIsSplitAtTheTransportsLimit(t *testing.T) {
	r := newRig(t)
	s := *r.d.settings.Load()
	tr := s.Transports["smtp"]
	tr.MaxRecipients = 2
	s.Transports["smtp"] = tr
	r.d.settings.Store(&s)
	r.first(r.accept("a@x.example", "b@x.example", "c@x.example"))
	if len(r.jobs) != 2 || len(r.jobs[0].Recipients)+len(r.jobs[1].Recipients) != 3 {
		t.Errorf("3 recipients at 2 each went in %d transactions", len(r.jobs))
	}
}

func TestDeferredIsFiledMarkedAndTold(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	ref, id := f.ref, f.env.ID
	if got := r.first(f); got.State != proto.SettledWaiting || got.Summary.Waiting != 1 {
		t.Errorf("got %+v, want one waiting", got)
	}
	if !r.filedInSpool(id) || !r.d.marker.IsDone(ref) {
		t.Error("a deferred message must lie under deferred/ and be marked")
	}
	if len(r.filed) != 1 || r.filed[0].NextHop != "x.example" {
		t.Errorf("qmgr was told %+v", r.filed)
	}
}

func TestPartialSuccessRetriesOnlyWhoWaits(t *testing.T) {
	r := newRig(t)
	r.verdict["b@x.example"] = later
	f := r.accept("a@x.example", "b@x.example")
	id := f.env.ID
	r.first(f)
	r.jobs = nil
	delete(r.verdict, "b@x.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Errorf("state %d, want gone", got.State)
	}
	if len(r.jobs) != 1 || len(r.jobs[0].Recipients) != 1 || r.jobs[0].Recipients[0].Address.String() != "b@x.example" {
		t.Errorf("the second attempt went to %+v", r.jobs)
	}
	if r.filedInSpool(id) {
		t.Error("a finished message stays under deferred/")
	}
}

func TestFailureIsReportedBeforeItIsFinished(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = never
	f := r.accept("a@x.example")
	ref := f.ref
	r.bounces = func() proto.ReportDone {
		if r.d.marker.IsDone(ref) {
			t.Error("marked as done before the report was durable")
		}
		return proto.ReportDone{Done: true, Sent: true}
	}
	r.first(f)
	if len(r.reports) != 1 || !r.d.marker.IsDone(ref) {
		t.Errorf("%d reports; done %v", len(r.reports), r.d.marker.IsDone(ref))
	}
}

func TestFailureThatCanNotBeReportedStaysOurs(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = never
	r.bounces = func() proto.ReportDone { return proto.ReportDone{Code: 451} }
	f := r.accept("a@x.example")
	id := f.env.ID
	if got := r.first(f); got.State != proto.SettledWaiting || !r.filedInSpool(id) {
		t.Fatalf("got %+v, want a deferred message", got)
	}
	r.bounces = func() proto.ReportDone { return proto.ReportDone{Done: true, Sent: true} }
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Errorf("with the report sent, state %d, want gone", got.State)
	}
}

func TestRouterThatIsAwayDefers(t *testing.T) {
	r := newRig(t)
	r.route = nil
	f := r.accept("a@x.example")
	id := f.env.ID
	if got := r.first(f); got.State != proto.SettledWaiting {
		t.Fatalf("got %+v, want deferred", got)
	}
	if o := r.book(id).States[0].Last; o.Kind != outcome.Internal {
		t.Errorf("kind %q, want internal", o.Kind)
	}
}

func TestRouterThatForgetsARecipientDefersIt(t *testing.T) {
	r := newRig(t)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		if rc.Address.Local() == "b" {
			return nil
		}
		return r.remoteRoute(rc)
	}
	got := r.first(r.accept("a@x.example", "b@x.example"))
	if got.State != proto.SettledWaiting || got.Summary.Waiting != 2 {
		t.Errorf("got %+v: a recipient without an answer must not vanish", got)
	}
}

func TestLastAttemptReturnsWhatIsStillDeferred(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	if got := r.again(id, proto.DueFinal); got.State != proto.SettledGone {
		t.Fatalf("state %d, want gone", got.State)
	}
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Kind != outcome.Expired || r.reports[0].Outcomes[0].Code != 450 {
		t.Errorf("reported %+v, want expired with the last reply", r.reports)
	}
}

func TestAdministratorsBounceTriesNothing(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	r.jobs = nil
	if got := r.again(id, proto.DueBounce); got.State != proto.SettledGone || len(r.jobs) != 0 {
		t.Errorf("state %d after %d deliveries", got.State, len(r.jobs))
	}
	if len(r.reports) != 1 || r.reports[0].Outcomes[0].Kind != outcome.Returned {
		t.Errorf("reported %+v", r.reports)
	}
}

func TestDeleteTellsNobody(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	if got := r.again(id, proto.DueDelete); got.State != proto.SettledGone || r.filedInSpool(id) || len(r.reports) != 0 {
		t.Errorf("state %d, %d reports", got.State, len(r.reports))
	}
	if got := r.again(id, proto.DueDelete); got.State != proto.SettledMissing {
		t.Errorf("deleted twice: state %d, want missing", got.State)
	}
}

func TestDeferredFileStaysUntilItsMarkIsOnDisk(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	ref, id := f.ref, f.env.ID
	r.first(f)
	if r.d.marker.Flushed(ref) {
		t.Fatal("the rig flushes too early to show anything")
	}
	delete(r.verdict, "a@x.example")
	r.again(id, proto.DueAttempt)
	if !r.d.marker.Flushed(ref) {
		t.Error("the file is gone and the mark is not on disk: a power cut would bring the record back")
	}
}

func TestRecordIsNeverBegunTwice(t *testing.T) {
	r := newRig(t)
	f := r.accept("a@x.example")
	twin := &flight{origin: f.origin, ref: f.ref, env: f.env, content: f.content, attempt: 1}
	if !r.d.begin(f) {
		t.Fatal("no room in an empty dispatcher")
	}
	r.d.begin(twin)
	r.d.wg.Wait()
	r.d.recover()
	for r.d.feedOne() {
	}
	r.d.wg.Wait()
	if len(r.jobs) != 1 {
		t.Errorf("delivered %d times", len(r.jobs))
	}
}

func TestRecoveryAttemptsWhatHasNoMark(t *testing.T) {
	r := newRig(t)
	r.accept("a@x.example")
	r.accept("b@x.example")
	r.d.recover()
	for r.d.feedOne() {
	}
	r.d.wg.Wait()
	if len(r.jobs) != 2 {
		t.Errorf("%d deliveries for 2 records", len(r.jobs))
	}
}

func TestRecoveryLetsDeferredWin(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	r.d.routeAll(t.Context(), f)
	r.d.deliverAll(t.Context(), f)
	if _, err := r.d.file(f); err != nil {
		t.Fatal(err)
	}
	// A crash here: filed and not marked, state S3.
	r.jobs = nil
	r.d.recover()
	for r.d.feedOne() {
	}
	r.d.wg.Wait()
	if len(r.jobs) != 0 || !r.d.marker.IsDone(f.ref) {
		t.Errorf("%d deliveries of a message that lies under deferred/; marked %v", len(r.jobs), r.d.marker.IsDone(f.ref))
	}
}

func TestListOwnerIsSenderAndGetsReports(t *testing.T) {
	r := newRig(t)
	owner := mailaddr.MustParse("owner-list@example.org")
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		child := rc
		child.Address = mailaddr.MustParse("member@x.example")
		child.ErrorsTo = &owner
		child.Lineage = append(child.Lineage, rc.Address)
		return []proto.Leaf{{Recipient: child, Expanded: true, Transport: "smtp", NextHop: "x.example"}}
	}
	r.verdict["member@x.example"] = never
	r.first(r.accept("list@example.org"))
	if len(r.jobs) != 1 || r.jobs[0].Sender != owner {
		t.Errorf("sent as %v, want the list's owner", r.jobs)
	}
	if len(r.reports) != 1 || r.reports[0].Envelope.Sender != owner {
		t.Error("the report must go to the list's owner")
	}
}

func TestExpansionAtALaterAttemptServesEachChildOnce(t *testing.T) {
	r := newRig(t)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		return []proto.Leaf{{Recipient: rc, Verdict: later}} // the alias file was unreadable
	}
	f := r.accept("list@example.org")
	id := f.env.ID
	r.first(f)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		var out []proto.Leaf
		for _, a := range []string{"one@x.example", "two@y.example"} {
			child := envelope.Recipient{Address: mailaddr.MustParse(a), Lineage: []mailaddr.Address{rc.Address}}
			out = append(out, proto.Leaf{Recipient: child, Expanded: true, Transport: "smtp", NextHop: child.Address.Domain()})
		}
		return out
	}
	r.verdict["two@y.example"] = later
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledWaiting {
		t.Fatalf("state %d, want waiting", got.State)
	}
	delete(r.verdict, "two@y.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Errorf("state %d, want gone", got.State)
	}
	ones := 0
	for _, j := range r.jobs {
		for _, rc := range j.Recipients {
			if rc.Address.String() == "one@x.example" {
				ones++
			}
		}
	}
	if ones != 1 {
		t.Errorf("the first child was served %d times", ones)
	}
}

// expands has an address stand for others once the alias file is readable.
func (r *rig) expands(alias string, members ...string) {
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		if rc.Address.String() != alias || len(rc.Lineage) > 0 {
			return r.remoteRoute(rc)
		}
		var out []proto.Leaf
		for _, a := range members {
			child := rc
			child.Address, child.Lineage = mailaddr.MustParse(a), []mailaddr.Address{rc.Address}
			out = append(out, proto.Leaf{Recipient: child, Expanded: true, Transport: "smtp", NextHop: child.Address.Domain()})
		}
		return out
	}
}

// An alias of itself and others: "ann: \ann, bob@y".
func TestAliasThatNamesItselfLosesNoMember(t *testing.T) {
	r := newRig(t)
	r.route = nil // router is away
	f := r.accept("ann@x.example")
	id := f.env.ID
	r.first(f)
	r.expands("ann@x.example", "ann@x.example", "bob@y.example")
	r.verdict["bob@y.example"] = later
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledWaiting || got.Summary.Waiting != 1 {
		t.Fatalf("got %+v", got)
	}
	delete(r.verdict, "bob@y.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Fatalf("state %d, want gone", got.State)
	}
	if ann, bob := r.sent("ann@x.example"), r.sent("bob@y.example"); ann != 1 || bob != 2 {
		t.Errorf("ann was served %d times, bob tried %d times; want 1 and 2", ann, bob)
	}
}

func TestMemberOfTwoListsIsServedOnce(t *testing.T) {
	r := newRig(t)
	r.route = nil
	f := r.accept("one@x.example", "two@x.example", "both@y.example")
	id := f.env.ID
	r.first(f)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		members := map[string][]string{"one@x.example": {"both@y.example"}, "two@x.example": {"both@y.example", "slow@y.example"}}
		list, ok := members[rc.Address.String()]
		if !ok {
			return r.remoteRoute(rc)
		}
		var out []proto.Leaf
		for _, a := range list {
			if a == "both@y.example" && len(r.jobs) == 0 {
				continue // router names a place once in an answer
			}
			child := rc
			child.Address, child.Lineage = mailaddr.MustParse(a), []mailaddr.Address{rc.Address}
			out = append(out, proto.Leaf{Recipient: child, Expanded: true, Transport: "smtp", NextHop: "y.example"})
		}
		if len(out) == 0 {
			out = append(out, proto.Leaf{Recipient: rc, Expanded: true, Verdict: outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered}})
		}
		return out
	}
	r.verdict["slow@y.example"] = later
	r.again(id, proto.DueAttempt)
	delete(r.verdict, "slow@y.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Fatalf("state %d, want gone", got.State)
	}
	if n := r.sent("both@y.example"); n != 1 {
		t.Errorf("the member of both was served %d times", n)
	}
}

// What is missing of the suite is not the recipient's fault, so nothing is given
// up for it at the first look; and nothing is kept for ever either.
func TestOwnFailureExpiresADayLater(t *testing.T) {
	r := newRig(t)
	now := time.Now()
	r.d.now = func() time.Time { return now }
	r.route = nil
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	due := proto.Due{ID: id, Action: proto.DueFinal, GiveUpAt: now.Unix()}
	for _, after := range []time.Duration{time.Second, 12 * time.Hour, 25 * time.Hour} {
		now = time.Unix(due.GiveUpAt, 0).Add(after)
		if got := r.d.attemptDeferred(t.Context(), &due); got.State != proto.SettledWaiting {
			t.Fatalf("after %v: state %d", after, got.State)
		}
	}
	now = now.Add(4 * time.Hour)
	if got := r.d.attemptDeferred(t.Context(), &due); got.State != proto.SettledGone || len(r.reports) != 1 {
		t.Errorf("state %d, %d reports: kept for ever", got.State, len(r.reports))
	}
}

func TestHoldAndReleaseMoveAMessageWithItsReason(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	if got := r.again(id, proto.DueRelease); got.State != proto.SettledMissing {
		t.Errorf("release of what is not held: state %d", got.State)
	}
	if got := r.again(id, proto.DueHold); got.State != proto.SettledMoved || r.filedInSpool(id) {
		t.Fatalf("hold: state %d", got.State)
	}
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledMissing {
		t.Errorf("attempt of a held message: state %d", got.State)
	}
	if got := r.again(id, proto.DueRelease); got.State != proto.SettledMoved || !r.filedInSpool(id) {
		t.Fatalf("release: state %d", got.State)
	}
	said := 0
	for l, err := range r.d.spool.Log(spool.Deferred, id) {
		if err != nil {
			t.Fatal(err)
		}
		if (l.Verb == spool.Held || l.Verb == spool.Released) && l.Outcome.Text.Equal("because") {
			said++
		}
	}
	if said != 2 {
		t.Errorf("%d lines say why", said)
	}
}

// qmgr may have been restarted and not know of the attempt.
func TestHoldDuringAnAttemptIsRefused(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	delete(r.verdict, "a@x.example")
	r.onJob = func() {
		for _, action := range []proto.DueAction{proto.DueHold, proto.DueDelete, proto.DueBounce} {
			if got := r.again(id, action); got.State != proto.SettledBusy {
				t.Errorf("order %d during an attempt: state %d", action, got.State)
			}
		}
	}
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || len(r.reports) != 0 {
		t.Errorf("state %d, %d reports", got.State, len(r.reports))
	}
}

// A home that hangs (NFS) holds up its user's mail alone.
func TestUserWhoseMailboxHangsHoldsUpNobodyElse(t *testing.T) {
	r := newRig(t)
	s := *r.d.settings.Load()
	s.Limits.PerDestination = 1
	r.d.settings.Store(&s)
	r.d.limits.apply(&s)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		return []proto.Leaf{{Recipient: rc, Transport: "maildir", User: &proto.User{Name: rc.Address.Local()}}}
	}
	hung, goOn := make(chan struct{}), make(chan struct{})
	stores := r.d.local
	r.d.local = agent(func(req, reply ipc.Message) error {
		if req.(*proto.LocalJob).User.Name == "hangs" {
			close(hung)
			<-goOn
		}
		return stores.Call(t.Context(), req, reply)
	})
	slow, fast := r.accept("hangs@x.example"), r.accept("fine@x.example")
	if !r.d.begin(slow) {
		t.Fatal("no room")
	}
	<-hung
	if got := r.first(fast); got.State != proto.SettledGone {
		t.Errorf("state %d", got.State)
	}
	close(goOn)
	r.d.wg.Wait()
}
