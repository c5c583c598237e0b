package qmgr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/ipc"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// world is a spool, and what has really become of its messages, while qmgr is killed, its
// index torn or exchanged for an older one, its walks cut off, and its dispatch killed
// before or behind what it was asked for.
type world struct {
	*rig
	rt    *rapid.T
	dice  *rand.Rand // of dispatch, whose goroutines are not rapid's
	truth map[queueid.ID]spool.Queue
	next  queueid.ID
	old   map[string][]byte // the index at some earlier moment
	calm  bool              // nothing is killed any more, and nobody is served
	tried map[queueid.ID]bool
}

var errKilled = errors.New("dispatch was killed")

// touched makes the log of a message as old as the clock of the world says.
func (w *world) touched(id queueid.ID) {
	if q, there := w.truth[id]; there {
		name := w.path(q, id) + ".log"
		if err := os.Chtimes(name, w.now, w.now); err != nil {
			w.rt.Fatal(err)
		}
	}
}

func (w *world) any() queueid.ID {
	return queueid.ID(rapid.Uint64Range(1, uint64(max(1, w.next))).Draw(w.rt, "id"))
}

// fileOne is a message that dispatch files, and tells of or can't.
func (w *world) fileOne() {
	w.next++
	id := w.next
	w.file(id, "a@example.org", fmt.Sprintf("b%d@x%d.example", id, id%3), w.now)
	w.truth[id] = spool.Deferred
	w.touched(id)
	if rapid.Bool().Draw(w.rt, "told") {
		m, err := w.q.read(spool.Deferred, id)
		if err != nil {
			w.rt.Fatal(err)
		}
		s := m.summary()
		s.Due = w.now.Add(5 * time.Minute).UnixMilli()
		w.q.add(spool.Deferred, &s, m.book)
	}
}

// call is dispatch, which may be killed before it has done what it was asked for, or before
// it has said so.
func (w *world) call(req, reply ipc.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	due, is := req.(*proto.Due)
	if !is {
		return nil
	}
	killed := w.dice.IntN(10)
	if w.calm {
		killed = 9
	}
	if killed == 0 {
		return errKilled
	}
	*reply.(*proto.Settled) = w.do(due)
	w.touched(due.ID)
	if killed == 1 {
		return errKilled
	}
	return nil
}

func (w *world) do(d *proto.Due) proto.Settled {
	at, there := w.truth[d.ID]
	sp := w.q.spool
	move := func(from, to spool.Queue) proto.Settled {
		if !there || at != from {
			return proto.Settled{State: proto.SettledMissing}
		}
		must(w.rig, sp.Move(d.ID, from, to))
		w.truth[d.ID] = to
		return proto.Settled{State: proto.SettledMoved}
	}
	switch d.Action {
	case proto.DueHold:
		return move(spool.Deferred, spool.Hold)
	case proto.DueRelease:
		return move(spool.Hold, spool.Deferred)
	case proto.DueDelete:
		if !there {
			return proto.Settled{State: proto.SettledMissing}
		}
		must(w.rig, sp.Remove(at, d.ID, w.now))
		delete(w.truth, d.ID)
		return proto.Settled{State: proto.SettledGone}
	}
	if !there || at != spool.Deferred {
		return proto.Settled{State: proto.SettledMissing}
	}
	if w.calm {
		w.tried[d.ID] = true
	} else if w.dice.IntN(4) == 0 {
		must(w.rig, sp.Finish(spool.Deferred, d.ID))
		delete(w.truth, d.ID)
		return proto.Settled{State: proto.SettledGone}
	}
	m, err := w.q.read(spool.Deferred, d.ID)
	must(w.rig, err)
	o := outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused, Code: 450, Status: smtp.Status{Class: 4, Subject: 2}, Text: untrusted.From("450 later")}
	must(w.rig, sp.AppendLog(spool.Deferred, d.ID, []spool.LogLine{spool.LineOf(w.now, 0, ledger.KeyText(&m.env.Recipients[0]), o)}))
	s := m.summary()
	s.Due = w.now.Add(time.Hour).UnixMilli()
	return proto.Settled{State: proto.SettledWaiting, Summary: s}
}

// cutOff is a context that is done after some questions.
type cutOff struct {
	context.Context
	left int
}

func (c *cutOff) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func (w *world) restart() {
	if rapid.Bool().Draw(w.rt, "clean") && w.q.disk.index != nil {
		must(w.rig, w.q.writeNews(true))
	}
	w.q.disk.index.Close()
	switch rapid.IntRange(0, 9).Draw(w.rt, "harm") {
	case 0:
		must(w.rig, os.RemoveAll(w.indexPath("schedule")))
	case 1, 2:
		if info, err := os.Stat(w.indexPath("schedule")); err == nil {
			must(w.rig, os.Truncate(w.indexPath("schedule"), rapid.Int64Range(0, info.Size()).Draw(w.rt, "cut")))
		}
	case 3:
		if info, err := os.Stat(w.indexPath("addresses")); err == nil {
			must(w.rig, os.Truncate(w.indexPath("addresses"), rapid.Int64Range(0, info.Size()).Draw(w.rt, "cut")))
		}
	case 4:
		for name, text := range w.old {
			must(w.rig, os.WriteFile(w.indexPath(name), text, 0o600))
		}
	}
	w.rig = restarted(w.t, w.rig)
	w.q.dispatch = callerFunc(w.call)
}

func (w *world) backUp() {
	w.old = map[string][]byte{}
	for _, name := range []string{"schedule", "addresses"} {
		text, err := os.ReadFile(w.indexPath(name))
		must(w.rig, err)
		w.old[name] = text
	}
}

// walkAll makes the walks that somebody has asked for.
func (w *world) walkAll() {
	w.q.lookAgain() // dispatch is there again
	for range 10 {
		select {
		case <-w.q.walk:
			w.q.loadAll(w.t.Context())
		default:
			return
		}
	}
	w.rt.Fatal("no end of walks")
}

func (w *world) serve() {
	w.q.startDue(w.t.Context(), make(chan struct{}, 100))
	w.q.wg.Wait()
}

func (w *world) check() {
	w.walkAll()
	w.calm, w.tried = true, map[queueid.ID]bool{}
	w.now = w.now.Add(30 * 24 * time.Hour)
	w.serve()
	w.walkAll()
	for id := queueid.ID(1); id <= w.next; id++ {
		at, there := w.truth[id]
		e := w.q.sched.all.get(id)
		switch {
		case !there:
			if e != nil {
				w.rt.Fatalf("%d has gone, and is %+v", id, e)
			}
			continue
		case e == nil:
			w.rt.Fatalf("%d in %v is not known", id, at)
		case at == spool.Hold && e.state != held, at == spool.Deferred && (e.state != waiting || e.slot < 0 && !e.parked):
			w.rt.Fatalf("%d in %v is %+v", id, at, e)
		}
		if at == spool.Deferred && !w.tried[id] {
			w.rt.Fatalf("%d was not tried", id)
		}
		if n := len(w.listed(fmt.Sprintf("?recipient=b%d@x%d.example", id, id%3))); n != 1 {
			w.rt.Fatalf("%d is found %d times", id, n)
		}
	}
	if w.q.sched.all.n != len(w.truth) {
		w.rt.Fatalf("%d are known, and %d there", w.q.sched.all.n, len(w.truth))
	}
}

// Whatever happens to qmgr, its index and its dispatch: behind the next walk each message is
// known as what it is, where it is, and nothing else is; and what is due is tried.
func TestNothingIsLostWhateverBecomesOfTheIndex(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{rig: indexed(t), rt: rt, dice: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "dice"), 0)), truth: map[queueid.ID]spool.Queue{}}
		w.q.dispatch = callerFunc(w.call)
		for range rapid.IntRange(5, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"file", "order", "order", "pass", "serve", "write", "restart", "walk", "part of a walk", "back up"}).Draw(rt, "do") {
			case "file":
				w.fileOne()
			case "order":
				name := rapid.SampledFrom([]string{"hold", "release", "retry", "delete"}).Draw(rt, "order")
				w.order(name, proto.QueueOrder{IDs: []string{w.any().String()}})
				w.q.wg.Wait()
			case "pass":
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(rt, "seconds")) * time.Second)
			case "serve":
				w.serve()
			case "write":
				w.write()
			case "restart":
				w.restart()
			case "walk":
				w.walkAll()
			case "part of a walk":
				w.q.loadAll(&cutOff{w.t.Context(), rapid.IntRange(0, 5).Draw(rt, "far")})
			case "back up":
				w.backUp()
			}
		}
		w.check()
		w.q.disk.index.Close()
	})
}
