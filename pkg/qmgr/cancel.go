package qmgr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/untrusted"
)

const (
	// cancelPatience is how long a user waits for an attempt that is under way.
	cancelPatience = 15 * time.Second
	// maxCancels bounds the messages whose attempts are waited for.
	maxCancels = 1000
	// cancelAgain is the pause when dispatch has the message and we did not know.
	cancelAgain = time.Second
)

// cancelling is one user's wish about one message.
type cancelling struct {
	id     queueid.ID
	e      *entry
	wanted map[string]struct{} // addresses in lower case; empty: all
	by     string
	admin  bool          // what is on hold may be cancelled, too
	waited bool          // an attempt was under way
	ended  chan struct{} // an attempt of it has ended
	kept   bool          // written down, see wishes.go; guarded by Manager.mu
}

// wants tells whether an address is among those to cancel.
func (c *cancelling) wants(address string) bool {
	_, named := c.wanted[strings.ToLower(address)]
	return named || len(c.wanted) == 0
}

// cancelMine carries out POST /v1/mine/cancel.
func (q *Manager) cancelMine(w http.ResponseWriter, r *http.Request) {
	var req proto.MineCancel
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, "the request can't be read: "+untrusted.From(err.Error()).ForTerminal(), "")
		return
	}
	id, err := queueid.Parse(req.ID)
	if err != nil {
		q.notYours(w)
		return
	}
	e, ok := q.mineEntry(r, id)
	if !ok {
		q.notYours(w)
		return
	}
	s := q.readMine(r, e)
	if s == nil {
		q.notYours(w)
		return
	}
	peer := admin.Peer(r)
	c := &cancelling{
		id: id, admin: q.admit(peer), by: q.whoIs(peer.UID), wanted: map[string]struct{}{},
		waited: e.state == active || e.state == busy,
	}
	for _, a := range req.Recipients {
		c.wanted[strings.ToLower(a)] = struct{}{}
	}
	if unknown := c.unknown(s, req.Recipients); unknown != "" {
		admin.Fail(w, http.StatusUnprocessableEntity, untrusted.From(unknown).ForTerminal()+" is no recipient of this message", "mailq --trace shows them")
		return
	}
	if e.state == held && !c.admin {
		failHeld(w)
		return
	}
	q.answerCancel(w, r, id, c)
}

// errOnHold is why a user's own message is not his to cancel.
var errOnHold = errors.New("an administrator has put the message on hold")

func failHeld(w http.ResponseWriter) {
	admin.Fail(w, http.StatusConflict, errOnHold.Error(), "ask the postmaster")
}

// whoIs names a user in logs: what the kernel says, and the name that goes with it.
func (q *Manager) whoIs(uid uint32) string {
	number := "uid " + strconv.FormatUint(uint64(uid), 10)
	if name, known := q.users[uid]; known {
		return name + " (" + number + ")"
	}
	return number
}

// unknown is one of the addresses that the message is not for, "" if there is none.
func (c *cancelling) unknown(s *story, asked []string) string {
	known := map[string]struct{}{}
	for i := range s.env.Recipients {
		known[strings.ToLower(given(&s.env.Recipients[i]))] = struct{}{}
	}
	for _, a := range asked {
		if _, ok := known[strings.ToLower(a)]; !ok {
			return a
		}
	}
	return ""
}

// answerCancel begins to cancel and waits a while for the end. What is begun goes on
// when nobody waits any more: the user was told so.
func (q *Manager) answerCancel(w http.ResponseWriter, r *http.Request, id queueid.ID, c *cancelling) {
	if !q.beginCancel(id, c) {
		admin.Fail(w, http.StatusConflict, "it is being cancelled already, or too many messages are", "look again in a moment")
		return
	}
	var failed error // before ended
	ended := make(chan *proto.MineCancelled, 1)
	q.wg.Go(func() {
		var res *proto.MineCancelled
		res, failed = q.fulfil(id, c)
		ended <- res
	})
	patience := time.NewTimer(q.patience)
	defer patience.Stop()
	var res *proto.MineCancelled
	select {
	case res = <-ended:
	case <-patience.C:
		kept, err := q.keepWish(id, c)
		switch {
		case err != nil:
			q.log.Emit(event.TroubleOf(id, "write a cancellation down", err))
			admin.Fail(w, http.StatusServiceUnavailable, "it is being delivered just now, and the wish to cancel it can't be written down", "try again in a moment")
			return
		case kept:
			res = &proto.MineCancelled{State: "pending"}
		default:
			res = <-ended
		}
	case <-r.Context().Done():
		return
	}
	switch {
	case res == nil && errors.Is(failed, errOnHold):
		failHeld(w)
		return
	case res == nil:
		admin.Fail(w, http.StatusServiceUnavailable, "it could not be cancelled now", "try again in a moment")
		return
	}
	res.ID = id.String()
	res.Said = saidOfCancel(res)
	admin.Answer(w, http.StatusOK, res)
}

// beginCancel notes that a message is being cancelled: once is enough.
func (q *Manager) beginCancel(id queueid.ID, c *cancelling) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, already := q.cancels[id]
	c.e = q.sched.all.get(id)
	if already || len(q.cancels) >= maxCancels || c.e == nil {
		return false
	}
	c.ended = make(chan struct{}, 1)
	q.cancels[id] = c
	return true
}

// cancel waits until nobody has the message in hands, and has dispatch drop what
// waits. A nil result is an error.
func (q *Manager) cancel(ctx context.Context, c *cancelling) (*proto.MineCancelled, error) {
	ctx, stop := context.WithTimeout(ctx, attemptDeadline)
	defer stop()
	for !q.found(c) {
		if err := c.attemptEnds(ctx); err != nil {
			return nil, err
		}
	}
	if c.e == nil {
		return c.result(nil, nil), nil
	}
	for {
		was, err := q.lock(c.e)
		if errors.Is(err, errGone) {
			return c.result(nil, nil), nil
		}
		if err == nil {
			res, again, err := q.cancelLocked(ctx, c, was)
			if !again || err != nil {
				return res, err
			}
		}
		c.waited = true
		if err := c.attemptEnds(ctx); err != nil {
			return nil, err
		}
	}
}

// cancelLocked drops what waits of a message that is locked, and unlocks it. again:
// dispatch has it.
func (q *Manager) cancelLocked(ctx context.Context, c *cancelling, was state) (res *proto.MineCancelled, again bool, err error) {
	if was == held && !c.admin {
		// It was put on hold while an attempt was waited for.
		q.unlock(c.e, was)
		return nil, false, errOnHold
	}
	here := *c.e
	here.state = was
	s := q.tell(here)
	if s == nil {
		q.unlock(c.e, was)
		return nil, false, errGone
	}
	drop, addresses := c.choose(s)
	if len(drop) == 0 {
		q.unlock(c.e, was)
		return c.result(s, nil), false, nil
	}
	var done proto.Settled
	req := &proto.Due{ID: c.e.id, Action: proto.DueDrop, Reason: c.by, Recipients: drop}
	if err := q.dispatch.Call(ctx, req, &done); err != nil {
		q.doubt(c.e)
		q.unlock(c.e, was)
		return nil, false, fmt.Errorf("have dispatch drop recipients: %w", err)
	}
	switch done.State {
	case proto.SettledBusy:
		q.unlock(c.e, was)
		return nil, true, nil
	case proto.SettledWaiting:
		q.dropped(c.e, here, was)
	default:
		q.mu.Lock()
		q.sched.drop(c.e)
		q.mu.Unlock()
	}
	if done.State == proto.SettledMissing {
		q.lookAgain() // it may lie in the other queue
		return nil, false, errGone
	}
	q.log.Emit(event.OrderOf(c.e.id, "cancelled", c.by, plural(len(addresses), "recipient")))
	return c.result(s, addresses), false, nil
}

// dropped brings a message's entry up to date of which some still wait.
func (q *Manager) dropped(e *entry, here entry, was state) {
	if m, err := q.read(here.queue(), e.id); err == nil {
		s := m.summary()
		q.mu.Lock()
		e.waiting = s.Waiting
		q.sched.toHop(e, s.NextHop)
		q.keepAddresses(e, m.addresses)
		q.mu.Unlock()
	}
	q.unlock(e, was)
}

// choose is the numbers of those who wait and are to be dropped, and their
// addresses.
func (c *cancelling) choose(s *story) (drop []uint32, addresses []string) {
	seen := map[string]struct{}{}
	for _, i := range s.book.Waiting() {
		to := given(&s.env.Recipients[i])
		if !c.wants(to) {
			continue
		}
		drop = append(drop, uint32(i))
		if _, again := seen[to]; !again {
			seen[to] = struct{}{}
			addresses = append(addresses, to)
		}
	}
	return drop, addresses
}

// result says what came of it: s is the message as it was before, nil when an
// attempt has ended it.
func (c *cancelling) result(s *story, cancelled []string) *proto.MineCancelled {
	res := &proto.MineCancelled{State: "too-late", Cancelled: []string{}, TooLate: []proto.MineRecipient{}, Waited: c.waited}
	if s == nil {
		return res
	}
	for _, d := range s.done() {
		if c.wants(d.Address) {
			res.TooLate = append(res.TooLate, d)
		}
	}
	res.TooLate, _ = atMost(res.TooLate)
	switch left := len(s.waiting()) - len(cancelled); {
	case len(cancelled) == 0:
		return res
	case left == 0:
		res.State = "cancelled"
	default:
		res.State = "partly"
	}
	res.Cancelled = cancelled[:min(len(cancelled), proto.MineMaxRecipients)]
	return res
}

// saidOfCancel is a result in a sentence or two.
func saidOfCancel(r *proto.MineCancelled) string {
	var b strings.Builder
	if r.Waited {
		b.WriteString("It was being delivered just now. ")
	}
	late := 0
	for _, d := range r.TooLate {
		if d.State != "cancelled" {
			late++
		}
	}
	switch r.State {
	case "pending":
		return "It is being delivered just now, and that takes long. Whom this attempt does not reach is cancelled when it ends."
	case "cancelled":
		who := "nobody"
		if late > 0 {
			who = "nobody else"
		}
		b.WriteString("Cancelled: " + who + " will get it.")
	case "partly":
		fmt.Fprintf(&b, "Cancelled for %s; the others still wait.", plural(len(r.Cancelled), "recipient"))
	default:
		b.WriteString("There was nothing left to cancel.")
	}
	if late > 0 {
		fmt.Fprintf(&b, " For %s it was too late.", plural(late, "recipient"))
	}
	return b.String()
}

// attemptEnds waits until an attempt of the message has ended, or a moment.
func (c *cancelling) attemptEnds(ctx context.Context) error {
	t := time.NewTimer(cancelAgain)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// attemptEndedLocked tells who waits for it in order to cancel.
func (q *Manager) attemptEndedLocked(id queueid.ID) {
	if c := q.cancels[id]; c != nil {
		select {
		case c.ended <- struct{}{}:
		default:
		}
	}
}
