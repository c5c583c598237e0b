package dispatch

import (
	"context"
	"sync"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
	"filbert/pkg/untrusted"
)

const (
	// rememberEvery is how long a change may be known here alone.
	rememberEvery = time.Second
	// rememberLater is the pause while mtadb is away: nothing waits for it.
	rememberLater   = 30 * time.Second
	rememberTimeout = 10 * time.Second
	rememberBatch   = 500
	forgetAtOnce    = 100
)

// rememberer hands what changed to mtadb, behind the deliveries, and asks it at the
// start for what an earlier run knew. Everything works without it.
type rememberer struct {
	d      *Dispatcher
	memory caller
	away   bool          // it was told
	asked  chan struct{} // closed when it has answered for the first time, or could not
	unread []proto.MemoryKind
}

// recallPatience is how long a start waits for what an earlier run knew: so much is a
// moment's wait worth, and no more, as mail flows without it.
const recallPatience = 2 * time.Second

func (r *rememberer) awaitAnswer(ctx context.Context) {
	select {
	case <-r.asked:
	case <-ctx.Done():
	case <-time.After(recallPatience):
	}
}

// recallAtStart asks again while that is waited for: mtadb may be starting, too.
func (r *rememberer) recallAtStart(ctx context.Context) {
	defer close(r.asked)
	for until := time.Now().Add(recallPatience); ; {
		r.recallUnread(ctx)
		if len(r.unread) == 0 || time.Now().After(until) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(recallPatience / 20):
		}
	}
}

// recallUnread asks for what was not yet answered.
func (r *rememberer) recallUnread(ctx context.Context) {
	for len(r.unread) > 0 && r.recall(ctx, r.unread[0]) == nil {
		r.unread = r.unread[1:]
	}
}

func (r *rememberer) run(ctx context.Context) {
	r.unread = []proto.MemoryKind{proto.MemoryHost, proto.MemoryAddress, proto.MemoryQuirk}
	r.recallAtStart(ctx)
	for {
		pause := rememberEvery
		if r.away {
			pause = rememberLater
		}
		select {
		case <-ctx.Done():
			// What the last second has changed, while mtadb may still be there.
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberEvery)
			r.flush(last)
			cancel()
			return
		case <-time.After(pause):
		}
		r.recallUnread(ctx)
		r.flush(ctx)
	}
}

// told tells the first failure of a row. It is no trouble: nothing waits for it.
func (r *rememberer) told(err error, doing string) error {
	if err != nil && !r.away {
		r.d.log.Emit(event.NoteOf(0, doing, untrusted.From(err.Error())))
	}
	r.away = err != nil
	return err
}

func (r *rememberer) recall(ctx context.Context, of proto.MemoryKind) error {
	after := ""
	for {
		page := new(proto.Recalled)
		err := r.call(ctx, &proto.Recall{Of: of, After: after}, page)
		if r.told(err, "memory.recall") != nil {
			return err
		}
		for i := range page.Records {
			rec := &page.Records[i]
			if after = rec.Key; rec.Kind == proto.MemoryQuirk {
				r.d.quirks.recalled(rec.Key, rec.Value)
				continue
			}
			if st := unmarshalFailing(failKey{rec.Kind, rec.Key}, rec.Value); st != nil {
				r.d.failings.recalled(st)
			}
		}
		if !page.More || len(page.Records) == 0 {
			return nil
		}
	}
}

func (r *rememberer) flush(ctx context.Context) {
	for {
		keep, forget := r.d.failings.takeDirty(rememberBatch)
		facts := r.d.quirks.takeDirty(rememberBatch)
		keep = append(keep, facts...)
		if len(keep)+len(forget) == 0 {
			return
		}
		var err error
		if len(keep) > 0 {
			err = r.call(ctx, &proto.Remember{Records: keep}, &proto.Remembered{})
		}
		if err == nil {
			err = r.forget(ctx, forget)
		}
		if r.told(err, "memory.remember") != nil {
			r.d.failings.giveDirty(keep[:len(keep)-len(facts)], forget)
			r.d.quirks.giveDirty(facts)
			return
		}
	}
}

// forget drops records, several at a time: each is a call of its own.
func (r *rememberer) forget(ctx context.Context, keys []failKey) error {
	var mu sync.Mutex
	var first error
	var wg sync.WaitGroup
	places := make(chan struct{}, forgetAtOnce)
	for _, k := range keys {
		places <- struct{}{}
		wg.Go(func() {
			err := r.call(ctx, &proto.Forget{Of: k.of, Key: k.name}, &proto.Forgotten{})
			<-places
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return first
}

func (r *rememberer) call(ctx context.Context, req, reply ipc.Message) error {
	ctx, cancel := context.WithTimeout(ctx, rememberTimeout)
	defer cancel()
	return r.memory.Call(ctx, req, reply)
}

// marshal is the record of a failing. Who waits is not in it: qmgr knows.
func (st *failing) marshal() []byte {
	r := retry.Record{State: st.state, Host: st.host}
	for hop := range st.hops {
		r.Hops = append(r.Hops, hop)
	}
	return r.Marshal()
}

// unmarshalFailing reads a record; nil: it makes no sense.
func unmarshalFailing(k failKey, b []byte) *failing {
	r, ok := retry.UnmarshalRecord(b)
	if !ok {
		return nil
	}
	st := &failing{key: k, state: r.State, host: r.Host, hops: make(map[string]struct{}, len(r.Hops))}
	for _, hop := range r.Hops {
		st.hops[hop] = struct{}{}
	}
	return st
}
