package dispatch

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/wire"
)

const firstServer = "192.0.2.1:25"

// seeing answers jobs by a server that shows what the test says.
func (w *far) seeing(seen *quirk.Seen) *[]proto.Hint {
	hints := new([]proto.Hint)
	w.d.remote = agent(func(req, reply ipc.Message) error {
		*hints = slices.Clone(req.(*proto.RemoteJob).Hints)
		err := w.sendTo(req, reply)
		reply.(*proto.RemoteDone).Tried[0].Seen = seen
		return err
	})
	return hints
}

func refusesEHLO() *quirk.Seen {
	return &quirk.Seen{EHLO: quirk.Mark{How: quirk.HowRefused, Code: 502}}
}

func TestWhatAServerShowedIsAHintForTheNextMessage(t *testing.T) {
	w := newFar(t)
	hints := w.seeing(refusesEHLO())
	w.arrive("a@x.example")
	if len(*hints) != 0 {
		t.Errorf("hints of a server that nobody knows: %v", *hints)
	}
	w.arrive("b@y.example")
	want := proto.Hint{Addr: netip.MustParseAddrPort(firstServer), Advice: quirk.Advice{HELO: true}}
	if !slices.Equal(*hints, []proto.Hint{want}) {
		t.Errorf("%v", *hints)
	}
	w.pass(quirk.Lifetime)
	w.arrive("c@x.example")
	if len(*hints) != 0 {
		t.Errorf("a week later %v", *hints)
	}
}

func TestQuirksSurviveARestart(t *testing.T) {
	w := newFar(t)
	hints := w.seeing(refusesEHLO())
	w.arrive("a@x.example")
	m := &memory{kept: map[string]proto.MemoryRecord{}}
	r := rememberer{d: w.d, memory: m}
	r.flush(t.Context())
	w.d.quirks = newQuirks()
	if err := r.recall(t.Context(), proto.MemoryQuirk); err != nil {
		t.Fatal(err)
	}
	w.arrive("b@x.example")
	if len(*hints) != 1 {
		t.Errorf("%v", *hints)
	}
}

func TestServerThatIsAsItWasWritesNothing(t *testing.T) {
	w := newFar(t)
	w.seeing(&quirk.Seen{Greeted: true, Extensions: []string{"SIZE"}})
	m := &memory{kept: map[string]proto.MemoryRecord{}}
	r := rememberer{d: w.d, memory: m}
	w.arrive("a@x.example")
	r.flush(t.Context())
	was := m.calls
	for range 3 {
		w.pass(time.Minute)
		w.arrive("a@x.example")
		r.flush(t.Context())
	}
	if was != 1 || m.calls != was {
		t.Errorf("%d calls, and %d later", was, m.calls)
	}
}

func TestQuirksThatCouldNotBeKeptAreKeptLater(t *testing.T) {
	w := newFar(t)
	w.seeing(refusesEHLO())
	w.arrive("a@x.example")
	m := &memory{kept: map[string]proto.MemoryRecord{}, away: true}
	r := rememberer{d: w.d, memory: m}
	r.flush(t.Context())
	m.away = false
	r.flush(t.Context())
	if rec := m.kept[firstServer]; rec.Kind != proto.MemoryQuirk {
		t.Errorf("%+v", m.kept)
	}
}

func notice(t *testing.T, m *proto.Forgot) []byte {
	t.Helper()
	var e wire.Encoder
	m.EncodeTo(&e)
	return e.Buf
}

func TestForgettingReachesARunningDispatch(t *testing.T) {
	for _, m := range []proto.Forgot{
		{Of: proto.MemoryQuirk, Key: firstServer},
		{Of: proto.MemoryQuirk, Key: "192.0.2.", Prefix: true},
	} {
		w := newFar(t)
		hints := w.seeing(refusesEHLO())
		w.arrive("a@x.example")
		w.d.fromMemory(proto.KindForgot, notice(t, &proto.Forgot{Of: proto.MemoryQuirk, Key: "192.0.2.1"})) // another
		w.d.wg.Wait()
		w.arrive("a@x.example")
		if len(*hints) != 1 {
			t.Fatal("what nobody meant is forgotten")
		}
		w.d.fromMemory(proto.KindForgot, notice(t, &m))
		w.d.wg.Wait()
		w.arrive("a@x.example")
		if len(*hints) != 0 {
			t.Errorf("%+v: %v", m, *hints)
		}
	}
}

func TestForgottenHostReleasesWhatWaitsForIt(t *testing.T) {
	w := newFar(t)
	w.bothDown(outcome.Refused)
	w.arrive("a@x.example")
	w.d.fromMemory(proto.KindForgot, notice(t, &proto.Forgot{Of: proto.MemoryHost, Key: firstServer}))
	w.d.wg.Wait()
	if st := w.d.failings.state(failKey{proto.MemoryHost, firstServer}); !st.IsZero() {
		t.Error("it is known to fail still")
	}
	w.rig.mu.Lock()
	defer w.rig.mu.Unlock()
	if len(w.ups) != 1 || !slices.Contains(w.ups[0].NextHops, "x.example") {
		t.Errorf("released: %+v", w.ups)
	}
}

func TestKeysOfServersAreReadAsTheyAreWritten(t *testing.T) {
	for _, s := range []server{
		{addr: netip.MustParseAddrPort("192.0.2.1:25")}, {addr: netip.MustParseAddrPort("[2001:db8::1]:26")}, {transport: "lmtp"},
	} {
		if got, ok := serverNamed(s.key()); !ok || got != s {
			t.Errorf("%+v is %+v", s, got)
		}
	}
	for _, key := range []string{"", "transport ", "192.0.2.1", "192.0.2.1:25 as ann"} {
		if _, ok := serverNamed(key); ok {
			t.Errorf("%q is a server", key)
		}
	}
}

// The memory may answer after the first deliveries.
func TestWhatIsRecalledLateCountsBesideWhatWasSeen(t *testing.T) {
	w := newFar(t)
	hints := w.seeing(refusesEHLO())
	w.arrive("a@x.example")
	old := new(quirk.Facts)
	old.Learn(&quirk.Seen{Greeted: true, Offered: true}, "", w.d.now())
	w.d.quirks.recalled(firstServer, old.Marshal())
	if w.arrive("b@x.example"); len(*hints) != 0 {
		t.Errorf("a server that has TLS gets %v", *hints)
	}
}
