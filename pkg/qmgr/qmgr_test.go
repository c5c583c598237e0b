package qmgr

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type rig struct {
	t   *testing.T
	q   *Manager
	dir string // of the spool

	mu   sync.Mutex
	now  time.Time
	dues []proto.Due
	told []proto.Orders
	say  func(*proto.Due) proto.Settled
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := newRigFor(t)
	r.t = t
	return r
}

// newRigFor is one for a benchmark, too.
func newRigFor(t testing.TB) *rig {
	t.Helper()
	dir := t.TempDir()
	fs, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fs.Close() })
	if err := spool.Prepare(fs); err != nil {
		t.Fatal(err)
	}
	r := &rig{now: noon, dir: dir}
	r.say = r.obey
	q := New()
	q.now = func() time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.now
	}
	q.log, q.fs, q.spool, q.dispatch = event.Discard(), fs, spool.New(fs), r
	q.settings.Store(settings.Default())
	q.sched = newSchedule(settings.Default())
	q.mended.Store(true)
	r.q = q
	return r
}

// callerFunc is a dispatch of one test.
type callerFunc func(req, reply ipc.Message) error

func (f callerFunc) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	return f(req, reply)
}

// Call is dispatch.
func (r *rig) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if orders, are := req.(*proto.Orders); are {
		r.told = append(r.told, *orders)
		return nil
	}
	due := req.(*proto.Due)
	r.dues = append(r.dues, *due)
	*reply.(*proto.Settled) = r.say(due)
	return nil
}

// obey does what an order says, and delivers all that is to be tried.
func (r *rig) obey(d *proto.Due) proto.Settled {
	from, to, verb := spool.Deferred, spool.Hold, spool.Held
	switch d.Action {
	default:
		return proto.Settled{State: proto.SettledGone}
	case proto.DueRelease:
		from, to, verb = spool.Hold, spool.Deferred, spool.Released
	case proto.DueHold:
	}
	line := spool.LogLine{Time: r.now, Verb: verb, Recipient: spool.WholeMessage}
	line.Outcome.Text = untrusted.From(d.Reason)
	if err := r.q.spool.AppendLog(from, d.ID, []spool.LogLine{line}); err != nil {
		r.t.Error(err)
	}
	if err := r.q.spool.Move(d.ID, from, to); err != nil {
		r.t.Error(err)
	}
	return proto.Settled{State: proto.SettledMoved}
}

// file puts a message under deferred/ as dispatch would.
func (r *rig) file(id queueid.ID, sender, recipient string, arrived time.Time) {
	r.t.Helper()
	env := &envelope.Envelope{
		ID: id, Source: envelope.FromSMTP, Arrived: arrived, Size: 4,
		Recipients: []envelope.Recipient{{Address: mailaddr.MustParse(recipient)}},
	}
	if sender != "" {
		env.Sender = mailaddr.MustParse(sender)
	}
	o := outcome.Outcome{
		Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450, Status: smtp.Status{Class: 4, Subject: 2},
		Text: untrusted.From("450 later"),
	}
	err := r.q.spool.File(spool.Deferred, &spool.Message{
		ID: id, Envelope: env.Marshal(), Content: []byte("x\r\n\r\n"),
		Log: []spool.LogLine{spool.LineOf(arrived, 0, ledger.KeyText(&env.Recipients[0]), o)},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) get(path string) (int, string) {
	r.t.Helper()
	w := httptest.NewRecorder()
	r.q.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func (r *rig) order(name string, o proto.QueueOrder) (int, proto.QueueResult) {
	r.t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		r.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.q.handler().ServeHTTP(w, httptest.NewRequest("POST", "/v1/queue/"+name, bytes.NewReader(b)))
	var res proto.QueueResult
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &res); err != nil {
			r.t.Fatal(err)
		}
	}
	return w.Code, res
}

func (r *rig) listed(query string) []proto.QueueItem {
	r.t.Helper()
	code, body := r.get("/v1/queue" + query)
	if code != http.StatusOK {
		r.t.Fatalf("list%s: %d %s", query, code, body)
	}
	var out []proto.QueueItem
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		var item proto.QueueItem
		if err := json.Unmarshal(lines.Bytes(), &item); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

func TestScheduleIsRebuiltFromTheSpool(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.file(2, "a@example.org", "b@y.example", noon.Add(-time.Hour))
	if err := r.q.spool.Move(2, spool.Deferred, spool.Hold); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	e := r.q.sched.all.get(1)
	if e == nil || e.state != waiting || e.attempts != 1 || e.waiting != 1 {
		t.Fatalf("entry %+v", e)
	}
	if wait := time.UnixMilli(e.due).Sub(noon); wait < 5*time.Minute || wait > 6*time.Minute {
		t.Errorf("due in %v, want about 5 minutes", wait)
	}
	if h := r.q.sched.all.get(2); h == nil || h.state != held || h.slot >= 0 {
		t.Errorf("held entry %+v", h)
	}
}

func TestNothingIsTriedBeforeItIsDue(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	slots := make(chan struct{}, 1)
	next := r.q.startDue(t.Context(), slots)
	r.q.wg.Wait()
	if len(r.dues) != 0 || next.Before(noon.Add(5*time.Minute)) {
		t.Fatalf("%d attempts; next at %v", len(r.dues), next)
	}
	r.now = next
	r.q.startDue(t.Context(), slots)
	r.q.wg.Wait()
	if len(r.dues) != 1 || r.dues[0].Action != proto.DueAttempt {
		t.Errorf("attempts %+v", r.dues)
	}
	if r.q.sched.all.get(1) != nil {
		t.Error("a message that is gone is still scheduled")
	}
}

// Whether it is the last one dispatch decides.
func TestMessageThatIsOverdueIsTriedAtOnceWithoutAWarning(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon.Add(-6*24*time.Hour))
	r.q.loadAll(t.Context())
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	r.q.wg.Wait()
	if len(r.dues) != 1 || r.dues[0].Action != proto.DueAttempt || r.dues[0].WarnDelay || r.dues[0].GiveUpAt == 0 {
		t.Errorf("attempts %+v, want one", r.dues)
	}
}

func TestDelayIsWarnedOfOnce(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon.Add(-5*time.Hour))
	r.q.loadAll(t.Context())
	r.say = func(d *proto.Due) proto.Settled {
		return proto.Settled{
			State: proto.SettledWaiting, Warned: d.WarnDelay,
			Summary: proto.Summary{ID: 1, Arrived: noon.Add(-5 * time.Hour).Unix(), LastAttempt: r.now.Unix(), Attempts: 2, Waiting: 1},
		}
	}
	for range 2 {
		r.q.startDue(t.Context(), make(chan struct{}, 1))
		r.q.wg.Wait()
		r.now = r.now.Add(time.Hour)
	}
	if len(r.dues) != 2 || !r.dues[0].WarnDelay || r.dues[1].WarnDelay {
		t.Errorf("attempts %+v, want a warning at the first alone", r.dues)
	}
}

func TestListFilters(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.file(2, "c@example.org", "d@y.example", noon.Add(-2*time.Hour))
	r.file(3, "", "e@y.example", noon.Add(-3*time.Hour))
	r.q.loadAll(t.Context())
	for query, want := range map[string]int{
		"": 3, "?sender=a@example.org": 1, "?recipient=*@y.example": 2, "?domain=y.example": 2,
		"?older=1h": 2, "?younger=1h": 1, "?limit=2": 2, "?state=held": 0, "?domain=nowhere.example": 0,
	} {
		if got := r.listed(query); len(got) != want {
			t.Errorf("%s: %d messages, want %d", query, len(got), want)
		}
	}
	first := r.listed("?domain=x.example")[0]
	if first.Reason != "450 later" || first.State != "deferred" || first.Recipients[0].Address != "b@x.example" {
		t.Errorf("item %+v", first)
	}
}

func TestMistakesInFiltersAreToldNotGuessed(t *testing.T) {
	r := newRig(t)
	for _, query := range []string{"?snder=x", "?older=2", "?limit=-1", "?state=new", "?domain=%5Bx", "?sender=a&sender=b"} {
		if code, body := r.get("/v1/queue" + query); code != http.StatusBadRequest || !strings.Contains(body, "error") {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

func TestIDsThatLookLikePathsAreRefused(t *testing.T) {
	r := newRig(t)
	for _, id := range []string{"..%2f..%2fetc", "%2e%2e", "0", "0000000000/", "AAAAAAAAAAAAAAAA"} {
		if code, _ := r.get("/v1/queue/" + id); code != http.StatusBadRequest && code != http.StatusNotFound {
			t.Errorf("%s: %d", id, code)
		}
	}
	if code, _ := r.order("delete", proto.QueueOrder{IDs: []string{"../../x"}}); code != http.StatusBadRequest {
		t.Errorf("an order with a path: %d", code)
	}
}

func TestOrderWithoutMessagesIsRefused(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	if code, _ := r.order("delete", proto.QueueOrder{}); code != http.StatusBadRequest {
		t.Errorf("an order that names nothing: %d", code)
	}
	if code, res := r.order("delete", proto.QueueOrder{All: true, DryRun: true}); code != 200 || res.Matched != 1 || res.Done != 0 || len(r.dues) != 0 {
		t.Errorf("dry run: %d %+v, %d calls", code, res, len(r.dues))
	}
}

func TestHeldMessageIsNotTriedUntilReleased(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	id := queueid.ID(1).String()
	if _, res := r.order("hold", proto.QueueOrder{IDs: []string{id}, Reason: "suspicious"}); res.Done != 1 {
		t.Fatalf("hold: %+v", res)
	}
	r.now = noon.Add(time.Hour)
	r.dues = nil
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	r.q.wg.Wait()
	if len(r.dues) != 0 {
		t.Error("a held message was tried")
	}
	if got := r.listed(""); len(got) != 1 || got[0].State != "held" || !strings.Contains(got[0].Reason, "suspicious") {
		t.Errorf("listed as %+v", got)
	}
	if _, res := r.order("retry", proto.QueueOrder{IDs: []string{id}}); res.Done != 0 || len(res.Errors) != 1 {
		t.Errorf("retry of a held message: %+v", res)
	}
	if _, res := r.order("release", proto.QueueOrder{IDs: []string{id}}); res.Done != 1 {
		t.Fatalf("release: %+v", res)
	}
	r.dues = nil
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	r.q.wg.Wait()
	if len(r.dues) != 1 {
		t.Error("a released message was not tried at once")
	}
}

// dispatch goes on though the administrator has left: until it answers it has the
// files, and another order would change them under it.
func TestOrderThatNobodyWaitsForKeepsTheMessageLocked(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	asked, answer := make(chan struct{}), make(chan struct{})
	r.q.dispatch = callerFunc(func(_, reply ipc.Message) error {
		close(asked)
		<-answer
		reply.(*proto.Settled).State = proto.SettledWaiting // the report could not be sent
		return nil
	})
	ctx, leave := context.WithCancel(t.Context())
	e := r.q.sched.all.get(1)
	left := make(chan error, 1)
	go func() { left <- r.q.orderBounce(ctx, e, author{}) }()
	<-asked
	leave()
	if err := <-left; !errors.Is(err, errStillAtIt) {
		t.Errorf("got %v", err)
	}
	if err := r.q.orderHold(t.Context(), e, author{}); !errors.Is(err, errUnderWay) {
		t.Errorf("hold meanwhile: %v", err)
	}
	close(answer)
	r.q.wg.Wait()
	if e.state != waiting || e.slot < 0 {
		t.Errorf("left as %+v", e)
	}
}

func TestMessageThatIsNotWhereItWasIsLookedFor(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.say = func(*proto.Due) proto.Settled { return proto.Settled{State: proto.SettledMissing} }
	if _, res := r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}}); res.Done != 0 || len(res.Errors) != 1 {
		t.Errorf("hold: %+v", res)
	}
	if len(r.q.walk) != 1 {
		t.Error("nobody looks for it")
	}
}

func TestHoldSurvivesARestart(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, Reason: "why"})
	r.q.sched = newSchedule(settings.Default())
	r.q.loadAll(t.Context())
	if e := r.q.sched.all.get(1); e == nil || e.state != held {
		t.Errorf("after a restart: %+v", e)
	}
}

func TestOrderDuringAnAttemptIsRefused(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.now = noon.Add(time.Hour)
	e, _ := r.q.sched.next(r.now)
	if e == nil || e.state != active {
		t.Fatal("not active")
	}
	for _, name := range []string{"hold", "delete", "bounce", "retry"} {
		if _, res := r.order(name, proto.QueueOrder{IDs: []string{e.id.String()}}); res.Done != 0 || len(res.Errors) != 1 {
			t.Errorf("%s during an attempt: %+v", name, res)
		}
	}
}

// dispatch writes a message in place. Whoever moved it away because it is not
// whole yet would lose it: dispatch marks the record done when it has written.
func TestFileThatIsBeingWrittenIsLeftToDispatch(t *testing.T) {
	r := newRig(t)
	id := queueid.ID(1)
	if err := durable.MkdirAll(r.q.fs, "deferred/"+id.Shard(), 0o700); err != nil {
		t.Fatal(err)
	}
	name := "deferred/" + id.Shard() + "/" + id.String()
	f, err := r.q.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	if _, err := r.q.fs.Stat(name); err != nil {
		t.Fatalf("it was moved away: %v", err)
	}
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	r.q.wg.Wait()
	if len(r.dues) != 1 || r.dues[0].ID != id || r.dues[0].Action != proto.DueAttempt {
		t.Errorf("asked dispatch for %+v: it alone knows whether the file is damaged", r.dues)
	}
}

func TestDamagedHeldMessageIsSetAside(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	id := queueid.ID(1)
	if err := r.q.spool.Move(id, spool.Deferred, spool.Hold); err != nil {
		t.Fatal(err)
	}
	f, err := r.q.fs.OpenFile("hold/"+id.Shard()+"/"+id.String(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("XXXX"), 70); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	r.q.mended.Store(false)
	if whole := r.q.loadAll(t.Context()); whole {
		t.Error("a walk that left a message out says that it was whole")
	}
	if _, err := r.q.fs.Stat("hold/" + id.Shard() + "/" + id.String()); err != nil {
		t.Fatalf("moved before the spool was in order: %v", err)
	}
	r.q.mended.Store(true)
	r.q.loadAll(t.Context())
	if r.q.sched.all.n != 0 {
		t.Error("a damaged message is scheduled")
	}
	if _, err := r.q.fs.Stat(spool.CorruptName(spool.Hold, id)); err != nil {
		t.Errorf("not in corrupt/: %v", err)
	}
}

func TestManyMessagesCostLittleMemory(t *testing.T) {
	s := newSchedule(settings.Default())
	for i := range 10_000 {
		s.put(&proto.Summary{ID: queueid.ID(i + 1), Arrived: noon.Unix(), LastAttempt: noon.Unix(), Attempts: 1, NextHop: "same.example"}, noon, 0)
	}
	if len(s.hops) != 1 {
		t.Errorf("%d copies of one name", len(s.hops))
	}
	prev := int64(0)
	for range 10_000 {
		e, _ := s.next(noon.Add(time.Hour))
		if e == nil || e.due < prev {
			t.Fatal("not in order of due time")
		}
		prev = e.due
		s.ended(e.nextHop)
	}
}

func (s *schedule) add(id int, hop string) {
	s.put(&proto.Summary{ID: queueid.ID(id), Arrived: noon.Unix(), LastAttempt: noon.Unix(), Attempts: 1, NextHop: hop}, noon, 0)
}

// DESIGN: no destination can starve another.
func TestSlowDestinationLeavesRoomForOthers(t *testing.T) {
	s := newSchedule(settings.Default())
	for i := range 1000 {
		s.add(i+1, "slow.example")
	}
	s.add(2000, "fast.example")
	now := noon.Add(time.Hour)
	var slow []*entry
	fast := false
	for e, _ := s.next(now); e != nil; e, _ = s.next(now) {
		if e.nextHop == "fast.example" {
			fast = true
			continue
		}
		slow = append(slow, e)
	}
	if !fast || len(slow) != s.perHop {
		t.Fatalf("fast: %v, %d attempts for the slow one, want %d", fast, len(slow), s.perHop)
	}
	s.ended("slow.example")
	if e, _ := s.next(now); e == nil || e.nextHop != "slow.example" {
		t.Error("a place that came free is not used")
	}
	if e, _ := s.next(now); e != nil {
		t.Error("one place for two")
	}
}

func TestMessageThatWaitsForAPlaceCanBeHeldAndRetried(t *testing.T) {
	s := newSchedule(settings.Default())
	s.perHop = 1
	for i := range 4 {
		s.add(i+1, "slow.example")
	}
	now := noon.Add(time.Hour)
	if e, _ := s.next(now); e == nil || e.id != 1 {
		t.Fatal("no first attempt")
	}
	if e, _ := s.next(now); e != nil {
		t.Fatal("a second place")
	}
	s.unqueue(s.all.get(2))
	s.all.get(2).state = held
	s.retryNow(s.all.get(3), now)
	s.drop(s.all.get(4))
	if e, _ := s.next(now); e != nil {
		t.Fatal("asking for it makes no place")
	}
	s.ended("slow.example")
	e, _ := s.next(now)
	if e == nil || e.id != 3 {
		t.Fatalf("got %+v, want the one that is neither held nor gone", e)
	}
	s.ended("slow.example")
	if e, _ := s.next(now); e != nil {
		t.Errorf("got %+v", e)
	}
}

// A clock that is set back must not keep what is due for as much longer.
func TestClockThatIsSetBackDelaysNothing(t *testing.T) {
	s := newSchedule(settings.Default())
	s.add(1, "x.example")
	s.clock(noon)
	back := noon.Add(-24 * time.Hour)
	s.clock(back)
	_, at := s.next(back)
	if wait := at.Sub(back); wait < 4*time.Minute || wait > 6*time.Minute {
		t.Errorf("due in %v, want about 5 minutes", wait)
	}
	if s.clock(back.Add(-time.Second)); s.all.get(1).due != at.UnixMilli() {
		t.Error("a second is no jump")
	}
}

// One warning stands for all that were due when it was sent.
func TestWarningsAreNotRepeatedAfterARestart(t *testing.T) {
	r := newRig(t)
	set := *r.q.settings.Load()
	set.Reports.DelayWarnings = []settings.Duration{settings.Duration(time.Hour), settings.Duration(24 * time.Hour)}
	r.q.settings.Store(&set)
	r.q.sched = newSchedule(&set)
	r.file(1, "a@example.org", "b@x.example", noon.Add(-48*time.Hour))
	warned := []spool.LogLine{{Time: noon.Add(-time.Hour), Verb: spool.Warned, Recipient: spool.WholeMessage}}
	if err := r.q.spool.AppendLog(spool.Deferred, 1, warned); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	r.q.startDue(t.Context(), make(chan struct{}, 1))
	r.q.wg.Wait()
	if len(r.dues) != 1 || r.dues[0].WarnDelay {
		t.Errorf("asked for %+v", r.dues)
	}
}

// An envelope never changes: who was redirected is known from the log alone.
func TestFilterFindsARedirectedRecipientByTheNewAddress(t *testing.T) {
	r := newRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.file(2, "a@example.org", "c@x.example", noon)
	line := spool.LogLine{Time: noon, Verb: spool.Redirected, Recipient: 0, Address: untrusted.From("d@new.example")}
	if err := r.q.spool.AppendLog(spool.Deferred, 1, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	r.q.loadAll(t.Context())
	for query, want := range map[string]int{
		"?recipient=d@new.example": 1, "?domain=new.example": 1, "?domain=x.example": 1, "?recipient=b@x.example": 0,
		"?sender=a@example.org&domain=new.example": 1, "?sender=b@example.org&domain=new.example": 0,
	} {
		if got := r.listed(query); len(got) != want {
			t.Errorf("list%s: %d messages, want %d", query, len(got), want)
		}
	}
}

// Pages are not seen: all are told once and in order, also those that end meanwhile.
func TestListOfManyPagesIsWholeAndInOrder(t *testing.T) {
	r := newRig(t)
	const n = 3*pageSize + 7
	for i := n; i > 0; i-- {
		r.q.sched.add(i, "x.example")
	}
	last, told := queueid.ID(0), 0
	for id := range r.q.each() {
		if id <= last {
			t.Fatalf("%d after %d", uint64(id), uint64(last))
		}
		last = id
		if told++; told == pageSize/2 {
			r.q.sched.add(n+5, "x.example") // newer than the beginning
			r.q.sched.drop(r.q.sched.all.get(n))
		}
	}
	if told != n-1 {
		t.Errorf("%d told, want %d", told, n-1)
	}
}
