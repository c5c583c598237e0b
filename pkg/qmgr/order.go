package qmgr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

const (
	maxListedIDs    = 1000
	maxListedErrors = 100
	// orderDeadline bounds an administrator's wait for one message.
	orderDeadline = 2 * time.Minute
)

var (
	errUnderWay    = errors.New("an attempt is under way; try again when it has ended")
	errHeldAlready = errors.New("held already; release it first to hold it for a time")
	errHeld        = errors.New("held; release it first")
	errNotHeld     = errors.New("not held")
	errGone        = errors.New("not in the queue")
	errNotNow      = errors.New("could not be done now; try again in a moment")
	errStillAtIt   = errors.New("takes long; look at the message later")
)

// order is one thing that can be done to a message.
type order struct {
	did string // the verb of the event
	do  func(q *Manager, ctx context.Context, e *entry, by author) error
}

// author is who gave an order and why.
type author struct {
	who, reason string
	until       time.Time // of a hold; zero = for as long as it takes
	about       aboutRecipient
}

var orders = map[string]order{
	"retry":    {"retried", (*Manager).orderRetry},
	"hold":     {"held", (*Manager).orderHold},
	"release":  {"released", (*Manager).orderRelease},
	"delete":   {"deleted", (*Manager).orderDelete},
	"bounce":   {"returned", (*Manager).orderBounce},
	"redirect": {"redirected", (*Manager).orderRedirect},
	"drop":     {"dropped", (*Manager).orderDrop},
}

// handler is run/control/qmgr.
func (q *Manager) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/queue", q.list)
	mux.HandleFunc("GET /v1/queue/{id}", q.show)
	mux.HandleFunc("GET /v1/queue/{id}/content", q.content)
	mux.HandleFunc("POST /v1/queue/{order}", q.order)
	mux.HandleFunc("POST /v1/abort", q.abort)
	mux.HandleFunc("GET /v1/orders", q.listOrders)
	mux.HandleFunc("POST /v1/orders", q.giveOrder)
	mux.HandleFunc("POST /v1/orders/{number}/cancel", q.endOrder)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		admin.Fail(w, http.StatusNotFound, "there is no "+r.Method+" "+untrusted.From(r.URL.Path).ForTerminal(), "see doc/PROTOCOLS.md, the administrator's arrow")
	})
	return mux
}

// order carries out POST /v1/queue/ORDER.
func (q *Manager) order(w http.ResponseWriter, r *http.Request) {
	o, ok := orders[r.PathValue("order")]
	if !ok {
		admin.Fail(w, http.StatusNotFound, "there is no such order", "use retry, hold, release, bounce, delete, redirect or drop")
		return
	}
	var req proto.QueueOrder
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, "the order can't be read: "+err.Error(), "")
		return
	}
	ids, err := q.choose(&req)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "name ids, or a filter, or say all")
		return
	}
	by := author{who: q.users.Who(r), reason: untrusted.From(req.Reason).ForHeader()}
	if by.about, err = recipientOf(r.PathValue("order"), &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	if req.For != "" {
		if by.until, err = q.endOf(req.For); err != nil || r.PathValue("order") != "hold" {
			admin.Fail(w, http.StatusBadRequest, "for: only a hold ends by itself, after a time like 2h", "")
			return
		}
	}
	admin.Answer(w, http.StatusOK, q.carryOut(r.Context(), o, ids, &req, by))
}

func (q *Manager) carryOut(ctx context.Context, o order, ids []queueid.ID, req *proto.QueueOrder, by author) *proto.QueueResult {
	res := &proto.QueueResult{Matched: len(ids)}
	for _, id := range ids {
		if len(res.IDs) < maxListedIDs {
			res.IDs = append(res.IDs, id.String())
		}
		if req.DryRun {
			continue
		}
		if err := q.doOne(ctx, o, id, by); err != nil {
			if len(res.Errors) < maxListedErrors {
				res.Errors = append(res.Errors, fmt.Sprintf("%s: %v", id, err))
			}
			continue
		}
		res.Done++
		q.log.Emit(event.OrderOf(id, o.did, by.who, by.told()))
	}
	return res
}

// choose makes ids of an order. One that names nothing is a mistake.
func (q *Manager) choose(req *proto.QueueOrder) ([]queueid.ID, error) {
	if len(req.IDs) > proto.ControlMaxIDs {
		return nil, fmt.Errorf("%d ids in one order; at most %d", len(req.IDs), proto.ControlMaxIDs)
	}
	var ids []queueid.ID
	for _, text := range req.IDs {
		id, err := queueid.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("not a queue id: %s", untrusted.From(text).ForTerminal())
		}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	if req.Filter == (proto.QueueFilter{}) && !req.All {
		return nil, errors.New("the order names no messages")
	}
	f, err := compile(&req.Filter)
	if err != nil {
		return nil, err
	}
	but, err := compileExcept(req)
	if err != nil {
		return nil, err
	}
	for id := range q.eachOf(f) {
		if f.limit > 0 && len(ids) >= f.limit {
			break
		}
		if q.chosen(id, f) && !q.leftOut(id, but) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (q *Manager) chosen(id queueid.ID, f *filter) bool {
	q.mu.Lock()
	e := q.sched.all.get(id)
	ok := e != nil && f.entry(e, q.now())
	var queue spool.Queue
	if ok {
		queue = e.queue()
	}
	q.mu.Unlock()
	if !ok || f.onlyEntry() {
		return ok
	}
	m, err := q.readIf(queue, id, f)
	return err == nil && m != nil && f.message(m)
}

// doOne takes one message out of the schedule's hands, carries the order out,
// and leaves the message where it then belongs.
func (q *Manager) doOne(ctx context.Context, o order, id queueid.ID, by author) error {
	q.mu.Lock()
	e := q.sched.all.get(id)
	if e == nil {
		q.mu.Unlock()
		return errGone
	}
	if e.state == active || e.state == busy {
		q.mu.Unlock()
		return errUnderWay
	}
	q.mu.Unlock()
	return o.do(q, ctx, e, by)
}

// lock marks a message as being worked on, so that the due loop and other
// orders leave its files alone. was is the state to go back to.
func (q *Manager) lock(e *entry) (was state, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sched.all.get(e.id) != e {
		return 0, errGone
	}
	if e.state == active || e.state == busy {
		return 0, errUnderWay
	}
	was = e.state
	q.sched.changed(e)
	q.sched.unqueue(e)
	e.state = busy
	return was, nil
}

// unlock puts a message into a state. No more is known of it than before: what the index on
// disk says of it the walk has still to look at, as it may say the wrong queue.
func (q *Manager) unlock(e *entry, s state) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.state = s
	q.sched.changed(e)
	if s == waiting {
		q.sched.place(e)
		q.kick()
	}
}

// wasThere notes that dispatch has found a message where it was said to be.
func (q *Manager) wasThere(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.marks |= checked
}

func (q *Manager) orderRetry(_ context.Context, e *entry, _ author) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch e.state {
	case held:
		return errHeld
	case active, busy:
		return errUnderWay
	}
	e.now = true
	q.sched.retryNow(e, q.now())
	q.kick()
	return nil
}

func (q *Manager) orderHold(ctx context.Context, e *entry, by author) error {
	was, err := q.lock(e)
	if err != nil {
		return err
	}
	if was == held {
		q.unlock(e, was)
		if !by.until.IsZero() {
			return errHeldAlready
		}
		return nil // what was asked for is so
	}
	err = q.ask(ctx, e, was, &proto.Due{ID: e.id, Action: proto.DueHold, Reason: holdReason(by)})
	if err == nil {
		q.mu.Lock()
		q.holdEnds(e.id, by.until)
		q.mu.Unlock()
	}
	return err
}

func (q *Manager) orderRelease(ctx context.Context, e *entry, by author) error {
	was, err := q.lock(e)
	if err != nil {
		return err
	}
	if was != held {
		q.unlock(e, was)
		return errNotHeld
	}
	return q.ask(ctx, e, was, &proto.Due{ID: e.id, Action: proto.DueRelease, Reason: by.who + ": " + by.reason})
}

// orderDelete removes a message without a report.
func (q *Manager) orderDelete(ctx context.Context, e *entry, _ author) error {
	was, err := q.lock(e)
	if err != nil {
		return err
	}
	return q.ask(ctx, e, was, &proto.Due{ID: e.id, Action: proto.DueDelete})
}

// orderBounce returns a message to its sender.
func (q *Manager) orderBounce(ctx context.Context, e *entry, by author) error {
	was, err := q.lock(e)
	if err != nil {
		return err
	}
	if was == held {
		q.unlock(e, was)
		return errHeld
	}
	err = q.ask(ctx, e, was, &proto.Due{ID: e.id, Action: proto.DueBounce, Reason: by.reason})
	if errors.Is(err, errSomeWait) {
		return errNotNow // a report could not be made
	}
	return err
}

// ask has dispatch carry out an order on a message that is locked. An
// administrator who has waited long enough leaves it locked: dispatch has its
// files until it answers.
func (q *Manager) ask(ctx context.Context, e *entry, was state, req *proto.Due) error {
	ended := make(chan error, 1)
	q.wg.Go(func() {
		call, cancel := context.WithTimeout(q.work, attemptDeadline)
		defer cancel()
		var done proto.Settled
		err := q.dispatch.Call(call, req, &done)
		ended <- q.carriedOut(e, was, req.Action, done.State, err)
	})
	wait, cancel := context.WithTimeout(ctx, orderDeadline)
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-wait.Done():
		return errStillAtIt
	}
}

// carriedOut puts a message where it belongs after an order.
func (q *Manager) carriedOut(e *entry, was state, did proto.DueAction, left proto.SettledState, err error) error {
	if err != nil {
		q.doubt(e)
		q.unlock(e, was)
		return err
	}
	switch left {
	case proto.SettledWaiting:
		q.partlyDone(e, was, did)
		if did == proto.DueBounce {
			return errSomeWait
		}
		return nil
	case proto.SettledMoved:
		q.wasThere(e)
		if did == proto.DueHold {
			q.unlock(e, held)
			return nil
		}
		q.mu.Lock()
		// A released message is tried at once, unless its sender wants that later still.
		now := q.now()
		if e.due, e.now = now.UnixMilli(), true; e.early(now) {
			e.due, e.now = e.arrived.time().UnixMilli(), false
		}
		q.mu.Unlock()
		q.unlock(e, waiting)
		return nil
	case proto.SettledGone, proto.SettledCorrupt, proto.SettledMissing:
		q.mu.Lock()
		q.sched.drop(e)
		q.mu.Unlock()
		if left == proto.SettledMissing && did != proto.DueDelete {
			q.lookAgain() // it may lie in the other queue
			return errGone
		}
		return nil
	}
	q.doubt(e)
	q.unlock(e, was)
	return errNotNow
}

// doubt has the next walk look at a message again: dispatch may have done what it was asked
// for, or half of it, and not lived to say so.
func (q *Manager) doubt(e *entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.marks = e.marks&^checked | unsure
	q.lookAgain()
}
