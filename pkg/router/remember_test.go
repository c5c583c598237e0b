package router

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/wire"
)

// fakeDB is mtadb.
type fakeDB struct {
	mu      sync.Mutex
	records map[string]proto.MemoryRecord
	away    bool
	writes  int
	during  func() // what happens while it writes
}

func (f *fakeDB) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errors.New("away")
	}
	switch m := req.(type) {
	case *proto.Remember:
		f.writes++
		if f.during != nil {
			f.during()
		}
		for _, r := range m.Records {
			f.records[r.Key] = r
		}
	case *proto.Forget:
		delete(f.records, m.Key)
	case *proto.Recall:
		page := reply.(*proto.Recalled)
		for _, r := range f.records {
			page.Records = append(page.Records, r)
		}
	}
	return nil
}

func (f *fakeDB) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

// memoryRun is a rememberer that runs, with its memory.
type memoryRun struct {
	t     *testing.T
	r     *rememberer
	stop  context.CancelFunc
	wg    sync.WaitGroup
	notes int
	asked int
}

func remembering(t *testing.T, db *fakeDB) *memoryRun {
	m := &memoryRun{t: t}
	limits := callout.Limits{KeepYes: 24 * time.Hour, KeepNo: 2 * time.Hour, PerDomain: 2}
	m.r = &rememberer{callouts: callout.New(limits), db: db, now: time.Now, recalled: make(chan struct{}), note: func(string, error) { m.notes++ }}
	ctx, stop := context.WithCancel(t.Context())
	m.stop = stop
	m.wg.Go(func() { m.r.run(ctx) })
	synctest.Wait()
	return m
}

func (m *memoryRun) end() {
	m.stop()
	m.wg.Wait()
}

// ask asks about an address and tells whether it was known.
func (m *memoryRun) ask(addr string) bool {
	m.t.Helper()
	q := callout.Question{Address: mailaddr.MustParse(addr), Transport: "smtp", Servers: "mx:25"}
	a, err := m.r.callouts.Ask(m.t.Context(), q, time.Now, func(context.Context, callout.Probe) (callout.Answer, error) {
		m.asked++
		return callout.Answer{Outcome: outcome.Outcome{Class: outcome.Delivered}}, nil
	})
	if err != nil {
		m.t.Errorf("%s: %v", addr, err)
	}
	return a.Remembered
}

func (m *memoryRun) forgot(n *proto.Forgot) {
	var e wire.Encoder
	n.EncodeTo(&e)
	m.r.notice(proto.KindForgot, e.Buf)
}

func newDB() *fakeDB { return &fakeDB{records: map[string]proto.MemoryRecord{}} }

func TestCallOutsOutliveTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDB()
		m := remembering(t, db)
		m.ask("ann@far.example")
		m.ask("bob@far.example")
		m.end() // what the last second has brought is written
		if len(db.records) != 3 || db.writes != 1 {
			t.Errorf("%d records with %d writes", len(db.records), db.writes)
		}
		for _, r := range db.records {
			if in := time.Until(time.Unix(r.Expires, 0)); in < 24*time.Hour || in > 24*time.Hour+time.Second {
				t.Errorf("%s expires in %s", r.Key, in)
			}
		}
		n := remembering(t, db)
		defer n.end()
		if !n.ask("ann@far.example") || !n.ask("bob@far.example") || n.asked != 0 {
			t.Errorf("%d were asked again", n.asked)
		}
	})
}

func TestAnswersThatWereKnownWriteNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDB()
		m := remembering(t, db)
		defer m.end()
		for range 5 {
			m.ask("ann@far.example")
			time.Sleep(2 * rememberEvery)
			synctest.Wait()
		}
		if db.writes != 1 {
			t.Errorf("%d writes", db.writes)
		}
	})
}

func TestCallOutsGoOnWithoutMemoryAndAreKeptLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDB()
		db.away = true
		m := remembering(t, db)
		defer m.end()
		began := time.Now()
		<-m.r.recalled
		if d := time.Since(began); d > recallPatience {
			t.Errorf("call-outs waited for %s", d)
		}
		m.ask("ann@far.example")
		time.Sleep(2 * rememberLater)
		if !m.ask("ann@far.example") || m.notes != 1 {
			t.Errorf("asked %d times, %d notes", m.asked, m.notes)
		}
		db.setAway(false)
		time.Sleep(2 * rememberLater)
		synctest.Wait()
		if len(db.records) != 2 {
			t.Errorf("%d records", len(db.records))
		}
	})
}

func TestCallOutsThatAnAdministratorForgotAreForgottenHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := remembering(t, newDB())
		defer m.end()
		m.ask("ann@far.example")
		m.ask("bob@far.example")
		m.forgot(&proto.Forgot{Of: proto.MemoryHost, Key: "", Prefix: true})
		m.forgot(&proto.Forgot{Of: proto.MemoryCallout, Key: "far.example ann@far.example ", Prefix: true})
		if m.ask("ann@far.example") || !m.ask("bob@far.example") {
			t.Error("not as the notice says")
		}
		m.forgot(&proto.Forgot{Of: proto.MemoryCallout, Key: "far.example bob@far.example smtp mx:25"})
		if m.ask("bob@far.example") {
			t.Error("a whole key was not forgotten")
		}
	})
}

func TestCallOutsForgottenWhileTheyAreWrittenAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDB()
		m := remembering(t, db)
		defer m.end()
		m.ask("ann@far.example")
		db.during = func() { m.forgot(&proto.Forgot{Of: proto.MemoryCallout, Key: "far.example", Prefix: true}) }
		time.Sleep(2 * rememberEvery)
		synctest.Wait()
		if db.mu.Lock(); len(db.records) != 0 {
			t.Errorf("%v", db.records)
		}
		db.mu.Unlock()
	})
}

func TestRecordsUnderTheKeysOfOthersAreNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDB()
		m := remembering(t, db)
		m.ask("ann@far.example")
		m.end()
		for key, r := range db.records {
			delete(db.records, key)
			r.Key = strings.Replace(key, "far", "near", 1)
			db.records[r.Key] = r
		}
		db.records["x"] = proto.MemoryRecord{Kind: proto.MemoryCallout, Key: "x", Value: []byte("no record")}
		n := remembering(t, db)
		defer n.end()
		if n.r.callouts.Len() != 0 {
			t.Errorf("%d answers", n.r.callouts.Len())
		}
	})
}

func TestFirstCallOutWaitsForWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.rules.world.recalled = make(chan struct{})
		began := time.Now()
		time.AfterFunc(time.Second, func() { close(b.rules.world.recalled) })
		b.verify(remoteLeaf("ann@far.example"))
		if d := time.Since(began); d != time.Second || len(b.servers.asked) != 1 {
			t.Errorf("asked %v after %s", b.servers.asked, d)
		}
	})
}
