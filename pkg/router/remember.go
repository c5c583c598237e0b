package router

import (
	"context"
	"os"
	"strings"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

const (
	// rememberEvery is how long an answer may be known here alone.
	rememberEvery = time.Second
	// rememberLater is the pause while mtadb is away: nothing waits for it.
	rememberLater   = 30 * time.Second
	rememberTimeout = 10 * time.Second
	rememberBatch   = 500
	// recallPatience is how long the first call-outs after a start wait for what an
	// earlier run knew. All other questions are answered at once.
	recallPatience = 2 * time.Second
)

// memoryDB is mtadb.
type memoryDB interface {
	Call(ctx context.Context, req, reply ipc.Message, files ...*os.File) error
}

// rememberer has mtadb keep what other servers said, behind the answers, and asks it
// at the start for what an earlier run was told. Everything works without it.
type rememberer struct {
	callouts *callout.Memory
	db       memoryDB
	now      func() time.Time
	note     func(doing string, err error)
	recalled chan struct{} // closed when the first call-outs need not wait any more
	read     bool          // all of it
	away     bool          // it was told
}

func newRememberer(w *World, p *service.Process) *rememberer {
	r := &rememberer{callouts: w.Callouts, now: w.Now, recalled: w.recalled}
	r.note = func(doing string, err error) { p.Log.Emit(event.NoteOf(0, doing, untrusted.From(err.Error()))) }
	r.db = p.Client(proto.MTADB, ipc.ClientOptions{Stay: ipc.Always, OnNotice: r.notice})
	return r
}

// awaitRecall waits a moment for the answers that an earlier run got.
func (w *World) awaitRecall(ctx context.Context) {
	if w.recalled == nil {
		return
	}
	select {
	case <-w.recalled:
	case <-ctx.Done():
	}
}

func (r *rememberer) run(ctx context.Context) {
	r.recallAtStart(ctx)
	for {
		pause := rememberEvery
		if r.away {
			pause = rememberLater
		}
		select {
		case <-ctx.Done():
			// What the last second has brought, while mtadb may still be there.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberEvery)
			r.flush(last)
			cancel()
			return
		case <-time.After(pause):
		}
		r.recall(ctx)
		r.flush(ctx)
	}
}

// recallAtStart asks again while it is waited for: mtadb may be starting, too.
func (r *rememberer) recallAtStart(ctx context.Context) {
	defer close(r.recalled)
	first, cancel := context.WithTimeout(ctx, recallPatience)
	defer cancel()
	for r.recall(first); !r.read; r.recall(first) {
		select {
		case <-first.Done():
			return
		case <-time.After(recallPatience / 20):
		}
	}
}

// recall reads what was not yet read, from its beginning.
func (r *rememberer) recall(ctx context.Context) {
	for after := ""; !r.read; {
		forgets := r.callouts.Forgets()
		page := new(proto.Recalled)
		if r.told(r.call(ctx, &proto.Recall{Of: proto.MemoryCallout, After: after}, page), "memory.recall") != nil {
			return
		}
		if !r.callouts.Recall(recordsOf(page), forgets, r.now()) {
			continue // an administrator had something forgotten: is it still there?
		}
		if r.read = !page.More || len(page.Records) == 0 || r.callouts.Len() >= callout.MaxEntries; !r.read {
			after = page.Records[len(page.Records)-1].Key
		}
	}
}

// recordsOf are those of a page that make sense. One that stands under the key of
// another does not.
func recordsOf(page *proto.Recalled) (list []*callout.Record) {
	for i := range page.Records {
		if rec, ok := callout.Unmarshal(page.Records[i].Value); ok && rec.Key() == page.Records[i].Key {
			list = append(list, rec)
		}
	}
	return list
}

func (r *rememberer) flush(ctx context.Context) {
	for {
		list := r.callouts.TakeChanged(rememberBatch, r.now())
		if len(list) == 0 {
			return
		}
		m := &proto.Remember{}
		for _, rec := range list {
			// The second that has begun is its own.
			m.Records = append(m.Records, proto.MemoryRecord{Kind: proto.MemoryCallout, Key: rec.Key(), Value: rec.Marshal(), Expires: rec.Expires.Unix() + 1})
		}
		if r.told(r.call(ctx, m, &proto.Remembered{}), "memory.remember") != nil {
			r.callouts.GiveBack(list)
			return
		}
		for _, rec := range r.callouts.Outdated(list) {
			_ = r.told(r.call(ctx, &proto.Forget{Of: proto.MemoryCallout, Key: rec.Key()}, &proto.Forgotten{}), "memory.remember")
		}
	}
}

// told tells the first failure of a row. It is no trouble: nothing waits for it.
func (r *rememberer) told(err error, doing string) error {
	if err != nil && !r.away {
		r.note(doing, err)
	}
	r.away = err != nil
	return err
}

func (r *rememberer) call(ctx context.Context, req, reply ipc.Message) error {
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	return r.db.Call(ctx, req, reply)
}

// notice takes one of mtadb's: an administrator has it forget something, and what is
// known here must not outlive that.
func (r *rememberer) notice(kind uint16, payload []byte) {
	if kind != proto.KindForgot {
		return // of a newer mtadb
	}
	var m proto.Forgot
	d := wire.NewDecoder(payload)
	if m.DecodeFrom(d); d.Finish() != nil || m.Of != proto.MemoryCallout {
		return
	}
	r.callouts.Forget(func(key string) bool { return key == m.Key || m.Prefix && strings.HasPrefix(key, m.Key) })
}
