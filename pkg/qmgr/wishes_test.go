package qmgr

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/standing"
)

// pending has a user cancel a message whose attempt does not end, and be told so.
func pending(t *testing.T, r *rig, body string) {
	t.Helper()
	if err := prepareOrders(r.q.fs); err != nil {
		t.Fatal(err)
	}
	r.q.patience = 0
	var stop context.CancelFunc
	r.q.work, stop = context.WithCancel(t.Context())
	defer stop()
	// The attempt is one of an earlier process: dispatch has the message and we don't know.
	r.q.dispatch = callerFunc(func(_, reply ipc.Message) error {
		reply.(*proto.Settled).State = proto.SettledBusy
		return nil
	})
	var res proto.MineCancelled
	if code, said := r.ask(r.people(false), "POST", "/v1/mine/cancel", body, &res); code != 200 || res.State != "pending" {
		t.Fatalf("%d %s", code, said)
	}
}

// successor is the process that follows the rig's, on the same spool.
func successor(t *testing.T, r *rig, dispatch caller) *Manager {
	t.Helper()
	next := New()
	next.now, next.log, next.fs, next.spool, next.dispatch = r.q.now, r.q.log, r.q.fs, r.q.spool, dispatch
	next.settings.Store(r.q.settings.Load())
	next.sched = newSchedule(r.q.settings.Load())
	next.mended.Store(true)
	if err := next.openWishes(); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestCancellationThatWasPromisedSurvivesTheProcess(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test", "b@far.test")
	pending(t, r, `{"id":"`+mine.String()+`","recipients":["A@far.test"]}`)

	refused := 0
	next := successor(t, r, nil)
	next.dispatch = callerFunc(func(req, reply ipc.Message) error {
		// The first times dispatch is not there, which a kill of both looks like.
		if refused++; refused == 1 {
			next.attemptSeenEnding(mine)
			return ipc.ErrGone
		}
		due := req.(*proto.Due)
		if due.Action != proto.DueDrop || !strings.HasPrefix(due.Reason, "uid ") {
			t.Errorf("dispatch was asked for %+v", due)
		}
		*reply.(*proto.Settled) = r.drops(due)
		return nil
	})
	next.loadAll(t.Context())
	next.startDue(t.Context(), make(chan struct{}, 1))
	next.resumeWishes()
	next.wg.Wait()
	s := next.tell(*next.sched.all.get(mine))
	if left := s.waiting(); len(left) != 1 || left[0].Address != "b@far.test" || refused != 2 {
		t.Errorf("%+v wait after %d calls", left, refused)
	}
	if again := successor(t, r, nil); len(again.cancels) != 0 {
		t.Error("it is carried out once more")
	}
}

// attemptSeenEnding spares a test the wait for another look.
func (q *Manager) attemptSeenEnding(id queueid.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.attemptEndedLocked(id)
}

// Else it could be delivered to whom it was cancelled for.
func TestNoAttemptBeginsOfWhatIsBeingCancelled(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test")
	pending(t, r, `{"id":"`+mine.String()+`"}`)
	next := successor(t, r, callerFunc(func(req, _ ipc.Message) error {
		t.Errorf("dispatch was asked for %+v", req)
		return nil
	}))
	next.loadAll(t.Context())
	e := next.sched.all.get(mine)
	next.mu.Lock()
	next.sched.retryNow(e, next.now())
	next.mu.Unlock()
	at := next.startDue(t.Context(), make(chan struct{}, 1))
	next.wg.Wait()
	if e.state != waiting || !at.Equal(noon.Add(cancelAgain)) {
		t.Errorf("state %d, next look %v", e.state, at)
	}
}

func TestWishThatCantBeWrittenDownIsNotPromised(t *testing.T) {
	r := newRig(t)
	r.own(mine, me(), outcome.Refused, "a@far.test")
	r.q.patience = 0
	var stop context.CancelFunc
	r.q.work, stop = context.WithCancel(t.Context())
	defer stop()
	r.q.dispatch = callerFunc(func(_, reply ipc.Message) error {
		reply.(*proto.Settled).State = proto.SettledBusy
		return nil
	})
	// There is no directory for it.
	if code, said := r.ask(r.people(false), "POST", "/v1/mine/cancel", `{"id":"`+mine.String()+`"}`, nil); code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", code, said)
	}
}

func TestDamagedWishesAreSetAsideAndTheOthersHold(t *testing.T) {
	r := newRig(t)
	if err := prepareOrders(r.q.fs); err != nil {
		t.Fatal(err)
	}
	good := `{"id":"` + mine.String() + `","recipients":["a@far.test"],"who":"uid 7"}` + "\n"
	for _, bad := range []string{"{", `{"id":"../x","who":"x"}`, `{"id":"` + theirs.String() + `","x":1}`, "\x00\x00"} {
		if err := durable.WriteFile(r.q.fs, wishFile, 0o600, []byte(good+bad+"\n")); err != nil {
			t.Fatal(err)
		}
		next := successor(t, r, nil)
		if c := next.cancels[mine]; len(next.cancels) != 1 || c == nil || !c.wants("A@far.test") || c.wants("b@far.test") {
			t.Errorf("%q: %+v", bad, next.cancels)
		}
		if left, err := durable.ReadFile(r.q.fs, wishFile, 1000); err != nil || string(left) != good {
			t.Errorf("%q: %q %v", bad, left, err)
		}
	}
	if _, err := r.q.fs.Stat(standing.FileName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the standing orders: %v", err)
	}
}

func FuzzWishes(f *testing.F) {
	f.Add([]byte(`{"id":"` + mine.String() + `","who":"uid 7"}` + "\n"))
	f.Add([]byte("{}\n\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, _ := parseWishes(data)
		for i := range list {
			if _, err := queueid.Parse(list[i].ID); err != nil {
				t.Errorf("wish %+v", list[i])
			}
		}
	})
}
