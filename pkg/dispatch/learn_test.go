package dispatch

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// far is a world of servers that are up or down.
type far struct {
	*rig
	mu    sync.Mutex
	clock time.Time
	down  map[string]outcome.Kind // by address:port
	asked []string                // servers, in turn
	mx    proto.MX
}

// newFar has two servers for every domain.
func newFar(t *testing.T, rules ...settings.Retry) *far {
	w := &far{rig: newRig(t), clock: time.Now().Truncate(time.Millisecond), down: map[string]outcome.Kind{}, mx: proto.MXRecord}
	w.d.now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.clock
	}
	w.d.dice = func() float64 { return 0 }
	compiled, err := retry.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	w.d.rules.Store(&compiled)
	w.route = func(rc envelope.Recipient) []proto.Leaf {
		hosts := []proto.Host{
			{Name: "a.example", Addr: netip.MustParseAddrPort("192.0.2.1:25"), Pref: 10, MX: w.mx},
			{Name: "b.example", Addr: netip.MustParseAddrPort("192.0.2.2:25"), Pref: 20, MX: w.mx},
		}
		return []proto.Leaf{{Recipient: rc, Transport: "smtp", NextHop: rc.Address.Domain(), Hosts: hosts}}
	}
	w.d.remote = agent(w.sendTo)
	return w
}

// sendTo is an smtp-client.
func (w *far) sendTo(req, reply ipc.Message) error {
	job, done := req.(*proto.RemoteJob), reply.(*proto.RemoteDone)
	w.mu.Lock()
	defer w.mu.Unlock()
	var site outcome.Outcome
	for _, h := range job.Hosts {
		w.asked = append(w.asked, h.Addr.String())
		tried := proto.HostTried{Addr: h.Addr, Name: h.Name}
		if kind, down := w.down[h.Addr.String()]; down {
			site = outcome.Defer(kind, statusNoAnswer, "%s does not work", h.Name)
			tried.Failure = site
			done.Tried = append(done.Tried, tried)
			continue
		}
		done.Tried = append(done.Tried, tried)
		site = outcome.Outcome{}
		break
	}
	for i := range job.Recipients {
		if site.Class != 0 {
			done.Outcomes = append(done.Outcomes, site)
			continue
		}
		done.Outcomes = append(done.Outcomes, w.outcomeOf(&job.Recipients[i]))
	}
	return nil
}

func (w *far) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock = w.clock.Add(d)
}

// arrive makes the first attempt of a message that has just come.
func (w *far) arrive(to string) (queueid.ID, proto.Settled) {
	f := w.accept(to)
	f.env.Arrived = w.d.now()
	return f.env.ID, w.first(f)
}

func (w *far) due(id queueid.ID) proto.Settled {
	return w.d.attemptDeferred(context.Background(), &proto.Due{ID: id, Action: proto.DueAttempt})
}

func (w *far) takeAsked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.asked
	w.asked = nil
	return out
}

func (w *far) bothDown(kind outcome.Kind) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range []string{"192.0.2.1:25", "192.0.2.2:25"} {
		w.down[a] = kind
	}
}

func (w *far) up() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.down)
}

func in(s proto.Settled, now time.Time) time.Duration {
	return time.UnixMilli(s.Summary.Due).Sub(now)
}

func TestFirstAttemptObeysWhatIsKnownOfTheHost(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Refused)
	if _, s := w.arrive("a@x.example"); in(s, w.d.now()) != 5*time.Minute || len(w.takeAsked()) != 2 {
		t.Fatalf("first due in %v", in(s, w.d.now()))
	}
	w.pass(time.Minute)
	id, s := w.arrive("b@y.example")
	if asked := w.takeAsked(); len(asked) != 0 || s.State != proto.SettledWaiting || in(s, w.d.now()) != 4*time.Minute {
		t.Errorf("asked %v, state %d, due in %v", asked, s.State, in(s, w.d.now()))
	}
	last := w.book(id).States[0].Last
	if text := last.Text.ForLog(); !strings.Contains(text, "this machine has refused mail since") || !strings.Contains(text, "it is tried again at") {
		t.Errorf("it says %s", text)
	}
}

func TestHostThatIsNotDueIsLeftOutWhileOthersAreTried(t *testing.T) {
	w := newFar(t)
	w.down["192.0.2.1:25"] = outcome.TimedOut
	for n, want := range [][]string{{"192.0.2.1:25", "192.0.2.2:25"}, {"192.0.2.2:25"}} {
		if _, s := w.arrive("a@x.example"); s.State != proto.SettledGone {
			t.Errorf("state %d", s.State)
		}
		if got := w.takeAsked(); !slices.Equal(got, want) {
			t.Errorf("message %d asked %v", n+1, got)
		}
	}
}

func TestOneFindsOutForAllWhoWait(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.TimedOut)
	first, _ := w.arrive("a@x.example")
	second, _ := w.arrive("b@x.example")
	w.takeAsked()
	w.pass(5 * time.Minute)
	w.d.attemptDuring(t, w, first, func() {
		if s := w.due(second); s.State != proto.SettledWaiting || len(w.takeAsked()) > 2 {
			t.Errorf("the second was tried at the same time: state %d", s.State)
		}
	})
}

// attemptDuring makes an attempt and calls fn in the middle of it.
func (d *Dispatcher) attemptDuring(t *testing.T, w *far, id queueid.ID, fn func()) {
	t.Helper()
	once := sync.Once{}
	inner := d.remote
	d.remote = agent(func(req, reply ipc.Message) error {
		once.Do(fn)
		return inner.Call(t.Context(), req, reply)
	})
	w.due(id)
	d.remote = inner
}

func TestSuccessReleasesWhatWaitsForTheHost(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Refused)
	first, _ := w.arrive("a@x.example")
	second, _ := w.arrive("b@y.example")
	w.up()
	w.d.attemptDeferred(t.Context(), &proto.Due{ID: first, Action: proto.DueAttempt, Now: true})
	w.d.wg.Wait()
	if len(w.ups) != 1 || !slices.Contains(w.ups[0].NextHops, "x.example") || !slices.Contains(w.ups[0].IDs, second) {
		t.Fatalf("told %+v", w.ups)
	}
	if s := w.due(second); s.State != proto.SettledGone {
		t.Errorf("state %d", s.State)
	}
}

func TestWhatAServerSaysOfOnePairHoldsNobodyElse(t *testing.T) {
	w := newFar(t)
	w.verdict["a@x.example"] = outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450,
		Status: statusBusy, Text: untrusted.From("greylisted, try again in 20 minutes"), Remote: "a.example"}
	_, s := w.arrive("a@x.example")
	if wait := in(s, w.d.now()); wait != 20*time.Minute+time.Second {
		t.Errorf("due in %v", wait)
	}
	w.takeAsked()
	if _, s := w.arrive("a@x.example"); len(w.takeAsked()) != 0 || s.State != proto.SettledWaiting {
		t.Error("the same sender and recipient are tried at once")
	}
	if _, s := w.arrive("b@x.example"); s.State != proto.SettledGone {
		t.Error("another recipient waits")
	}
	f := w.accept("a@x.example")
	f.env.Sender = mailaddr.MustParse("another@example.org")
	w.first(f)
	if len(w.takeAsked()) != 2 {
		t.Error("another sender waits")
	}
}

// Paper, section 5: one attempt for each later message to a machine that never
// listens.
func TestMachineThatNeverListensIsTriedOncePerLaterMessage(t *testing.T) {
	w := newFar(t)
	w.mx = proto.MXImplied
	w.bothDown(outcome.Refused)
	id, s := w.arrive("a@x.example")
	for n := 0; s.State == proto.SettledWaiting && n < 100; n++ {
		w.pass(in(s, w.d.now()))
		s = w.due(id)
	}
	if len(w.reports) != 1 || !strings.Contains(w.reports[0].Outcomes[0].Text.ForLog(), "has refused mail since") {
		t.Fatalf("state %d, %d reports", s.State, len(w.reports))
	}
	w.takeAsked()
	w.pass(time.Second)
	if _, s := w.arrive("b@x.example"); s.State != proto.SettledGone || len(w.reports) != 2 || len(w.takeAsked()) != 2 {
		t.Errorf("state %d, %d reports", s.State, len(w.reports))
	}
	w.up()
	if _, s := w.arrive("b@x.example"); s.State != proto.SettledGone || len(w.reports) != 2 {
		t.Error("it is up and not served")
	}
	w.bothDown(outcome.Refused)
	if _, s := w.arrive("b@x.example"); s.State != proto.SettledWaiting {
		t.Error("what it was is remembered behind a success")
	}
}

func TestMessageThatWasPutOffWritesNothing(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.TimedOut)
	w.arrive("a@x.example")
	id, _ := w.arrive("b@x.example")
	before := w.book(id).Attempts
	w.pass(time.Minute)
	if s := w.due(id); s.State != proto.SettledWaiting || in(s, w.d.now()) != 4*time.Minute || w.book(id).Attempts != before {
		t.Errorf("state %d, due in %v, %d attempts", s.State, in(s, w.d.now()), w.book(id).Attempts)
	}
}

func TestAdministratorsAttemptIsMadeWhateverIsKnown(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Refused)
	id, _ := w.arrive("a@x.example")
	w.takeAsked()
	w.d.attemptDeferred(t.Context(), &proto.Due{ID: id, Action: proto.DueAttempt, Now: true})
	if asked := w.takeAsked(); len(asked) != 2 {
		t.Errorf("asked %v", asked)
	}
}

// memory is an mtadb.
type memory struct {
	mu    sync.Mutex
	kept  map[string]proto.MemoryRecord
	calls int
	away  bool
}

func (m *memory) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls++
	if m.away {
		return errors.New("away")
	}
	switch r := req.(type) {
	case *proto.Remember:
		for _, rec := range r.Records {
			m.kept[rec.Key] = rec
		}
	case *proto.Forget:
		delete(m.kept, r.Key)
	case *proto.Recall:
		for _, rec := range m.kept {
			if rec.Kind == r.Of {
				reply.(*proto.Recalled).Records = append(reply.(*proto.Recalled).Records, rec)
			}
		}
	}
	return nil
}

func TestWhatIsKnownSurvivesARestart(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Refused)
	w.arrive("a@x.example")
	m := &memory{kept: map[string]proto.MemoryRecord{}}
	r := rememberer{d: w.d, memory: m}
	r.flush(t.Context())
	if len(m.kept) != 2 {
		t.Fatalf("%d records", len(m.kept))
	}
	was := w.d.failings.state(failKey{proto.MemoryHost, "192.0.2.1:25"})
	w.d.failings = newFailings()
	if err := errors.Join(r.recall(t.Context(), proto.MemoryHost), r.recall(t.Context(), proto.MemoryAddress)); err != nil {
		t.Fatal(err)
	}
	now := w.d.failings.state(failKey{proto.MemoryHost, "192.0.2.1:25"})
	if !now.Next.Equal(was.Next) || !now.Since.Equal(was.Since) || now.Kind != was.Kind || now.Attempts != 1 {
		t.Errorf("%+v is not %+v", now, was)
	}
	w.up()
	w.pass(time.Hour)
	w.arrive("a@x.example")
	r.flush(t.Context())
	if _, still := m.kept["192.0.2.1:25"]; still {
		t.Error("what succeeded is remembered as failing")
	}
}

func TestDeliveryThatSucceedsAtOnceWritesNothing(t *testing.T) {
	w := newFar(t)
	m := &memory{kept: map[string]proto.MemoryRecord{}}
	r := rememberer{d: w.d, memory: m}
	w.arrive("a@x.example")
	r.flush(t.Context())
	if m.calls != 0 || !w.d.failings.none() {
		t.Errorf("%d calls", m.calls)
	}
}

func TestWhatCouldNotBeRememberedIsRememberedLater(t *testing.T) {
	w := newFar(t)
	m := &memory{kept: map[string]proto.MemoryRecord{}, away: true}
	r := rememberer{d: w.d, memory: m}
	w.bothDown(outcome.Refused)
	w.arrive("a@x.example")
	r.flush(t.Context())
	m.away = false
	r.flush(t.Context())
	if len(m.kept) != 2 || r.away {
		t.Errorf("%d records", len(m.kept))
	}
}

func FuzzUnmarshalFailing(f *testing.F) {
	st := &failing{state: retry.State{Since: time.UnixMilli(1), Last: time.UnixMilli(2), Attempts: 3}, host: "a", hops: map[string]struct{}{"x": {}}}
	f.Add(st.marshal())
	f.Add([]byte{1})
	f.Add([]byte{9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		if st := unmarshalFailing(failKey{}, b); st != nil && unmarshalFailing(failKey{}, st.marshal()) == nil {
			t.Error("what was read can't be read again")
		}
	})
}

func TestWhatIsKnownIsBounded(t *testing.T) {
	s := newFailings()
	for i := range maxFailings + 10 {
		s.change(failKey{proto.MemoryHost, queueid.ID(i + 1).String()}, func(f *failing) { f.state.Since = time.Unix(1, 0) })
	}
	if int(s.known.Load()) != maxFailings || len(s.byKey) != s.order.Len() {
		t.Errorf("%d known, %d in order", s.known.Load(), s.order.Len())
	}
	if st := s.state(failKey{proto.MemoryHost, queueid.ID(1).String()}); !st.IsZero() {
		t.Error("the oldest is still there")
	}
}

// A transport may have a server of its own, which no route names.
func TestTransportsOwnServerIsRemembered(t *testing.T) {
	w := newFar(t)
	w.route = w.remoteRoute
	w.d.remote = agent(func(req, reply ipc.Message) error {
		w.asked = append(w.asked, "own")
		o := outcome.Defer(outcome.Refused, statusNoAnswer, "127.0.0.1:24: connection refused")
		done := reply.(*proto.RemoteDone)
		done.Outcomes = append(done.Outcomes, o)
		done.Tried = append(done.Tried, proto.HostTried{Name: "localhost", Addr: netip.MustParseAddrPort("127.0.0.1:24"), Failure: o})
		return nil
	})
	w.arrive("a@x.example")
	if w.arrive("b@y.example"); len(w.takeAsked()) != 1 {
		t.Error("it is asked again at once")
	}
}

func TestWhatAServerSaysOfOneLoginHoldsNobodyElse(t *testing.T) {
	w := newFar(t)
	inner := w.route
	w.route = func(rc envelope.Recipient) []proto.Leaf {
		leaves := inner(rc)
		leaves[0].Credentials = &proto.Credentials{Username: rc.Address.Local()}
		return leaves
	}
	w.bothDown(outcome.Auth)
	w.arrive("a@x.example")
	w.takeAsked()
	if w.arrive("b@x.example"); len(w.takeAsked()) != 2 {
		t.Error("another login waits")
	}
	if w.arrive("a@x.example"); len(w.takeAsked()) != 0 {
		t.Error("the same login is tried again at once")
	}
}

func TestHostIsNotBlamedForOurOwnTrouble(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Internal)
	if _, s := w.arrive("a@x.example"); s.State != proto.SettledWaiting || len(w.takeAsked()) != 2 {
		t.Fatalf("state %d", s.State)
	}
	w.up()
	if _, s := w.arrive("b@y.example"); s.State != proto.SettledGone {
		t.Errorf("state %d, asked %v", s.State, w.takeAsked())
	}
}
