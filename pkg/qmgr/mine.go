package qmgr

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/service/admin"
	"filbert/pkg/spool"
)

// readers is how many messages are read for users at the same time: beside them the
// disk has mail to serve.
const readers = 2

// people is what serving the users of the machine takes.
type people struct {
	admit   func(ipc.PeerCred) bool // administrators, who may see everybody's
	reading chan struct{}
}

func newPeople(admit func(ipc.PeerCred) bool) people {
	return people{admit: admit, reading: make(chan struct{}, readers)}
}

// servePeople answers at run/mine/qmgr.
func (q *Manager) servePeople(ctx context.Context, p *service.Process) {
	q.mu.Lock()
	q.people = newPeople(p.Admin)
	q.mu.Unlock()
	for _, l := range p.Listeners() {
		if l.Kind != proto.ListenMine {
			continue
		}
		q.wg.Go(func() {
			if err := admin.ServeUsers(ctx, l.Listener, p.Admin, q.mineHandler()); err != nil {
				q.log.Emit(event.TroubleOf(0, "serve the users' socket", err))
			}
		})
	}
}

// own files an entry under its owner, so that to list the mail of one user costs
// nothing for that of the others.
func (q *schedule) own(e *entry, owner proto.Owner) {
	if e.owner == owner {
		return
	}
	if set := q.owned[e.owner]; set != nil {
		if delete(set, e); len(set) == 0 {
			delete(q.owned, e.owner)
		}
	}
	if e.owner = owner; owner == 0 {
		return
	}
	if q.owned == nil {
		q.owned = map[proto.Owner]map[*entry]struct{}{}
	}
	if q.owned[owner] == nil {
		q.owned[owner] = map[*entry]struct{}{}
	}
	q.owned[owner][e] = struct{}{}
}

// mineHandler is run/mine/qmgr.
func (q *Manager) mineHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/mine", q.listMine)
	mux.HandleFunc("GET /v1/mine/{id}", q.showMine)
	mux.HandleFunc("POST /v1/mine/cancel", q.cancelMine)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		admin.Fail(w, http.StatusNotFound, "there is no such request", "see doc/PROTOCOLS.md, the people's arrow")
	})
	return mux
}

// listMine streams the messages of who asks, oldest first.
func (q *Manager) listMine(w http.ResponseWriter, r *http.Request) {
	all := r.URL.RawQuery == "all=1"
	if r.URL.RawQuery != "" && !all {
		admin.Fail(w, http.StatusBadRequest, "there is no such choice", "use all=1, or nothing")
		return
	}
	if all && !q.admit(admin.Peer(r)) {
		admin.Fail(w, http.StatusForbidden, "only administrators see everybody's mail", "")
		return
	}
	var ids []queueid.ID
	more := 0
	if all {
		ids, more = q.firstIDs(proto.MineMaxItems)
	} else {
		ids = q.mineIDs(proto.OwnerUID(admin.Peer(r).UID))
		more = max(0, len(ids)-proto.MineMaxItems)
		ids = ids[:len(ids)-more]
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	for _, id := range ids {
		e, ok := q.mineEntry(r, id)
		if !ok {
			continue
		}
		if s := q.readMine(r, e); s != nil && out.Encode(s.item()) != nil {
			return // the reader has gone
		}
	}
	if more > 0 {
		_ = out.Encode(&proto.MineItem{More: more, Recipients: []proto.MineRecipient{}})
	}
}

// firstIDs is the n oldest messages, and how many there are beside them.
func (q *Manager) firstIDs(n int) (ids []queueid.ID, more int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for e := range q.sched.all.after(0) {
		if len(ids) == n {
			break
		}
		ids = append(ids, e.id)
	}
	return ids, q.sched.all.n - len(ids)
}

// mineIDs is the messages of an owner, oldest first.
func (q *Manager) mineIDs(owner proto.Owner) []queueid.ID {
	q.mu.Lock()
	set := q.sched.owned[owner]
	ids := make([]queueid.ID, 0, len(set))
	for e := range set {
		ids = append(ids, e.id)
	}
	q.mu.Unlock()
	slices.Sort(ids)
	return ids
}

// mineEntry is a copy of a message's entry if it is one of who asks. For what is
// somebody else's it does the same as for what is not there, so that not even the
// time tells the two apart.
func (q *Manager) mineEntry(r *http.Request, id queueid.ID) (entry, bool) {
	peer := admin.Peer(r)
	everybody := q.admit(peer)
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.sched.all.get(id)
	if e == nil || !everybody && e.owner != proto.OwnerUID(peer.UID) {
		return entry{}, false
	}
	return *e, true
}

// notYours is the one answer for what is not there and what is not his.
func (q *Manager) notYours(w http.ResponseWriter) {
	hint := "it may have been delivered or returned: mailq --history"
	if !q.loaded.Load() {
		hint = "the queue is still being read; try again in a moment"
	}
	admin.Fail(w, http.StatusNotFound, "no such message of yours is in the queue", hint)
}

// story is a message as its sender may know it.
type story struct {
	e     entry
	env   *envelope.Envelope
	book  *ledger.Ledger
	since []time.Time // by recipient: since when it waits for the same cause
	kinds []outcome.Kind
	lines []spool.LogLine // the newest
	more  int             // older ones
}

// readMine reads a message's files, at the expense of who asks; nil when it has
// gone.
func (q *Manager) readMine(r *http.Request, e entry) *story {
	select {
	case q.reading <- struct{}{}:
	case <-r.Context().Done():
		return nil
	}
	began := time.Now()
	defer func() {
		admin.Charge(r, time.Since(began))
		<-q.reading
	}()
	return q.tell(e)
}

// tell reads envelope and log.
func (q *Manager) tell(e entry) *story {
	f, err := q.spool.Open(e.queue(), e.id)
	if err != nil {
		return nil
	}
	defer f.Close()
	env, err := envelope.Unmarshal(f.Envelope)
	if err != nil {
		return nil
	}
	s := &story{
		e: e, env: env,
		since: make([]time.Time, len(env.Recipients)),
		kinds: make([]outcome.Kind, len(env.Recipients)),
	}
	lines := q.spool.Log(e.queue(), e.id)
	s.book = ledger.Read(env, func(yield func(spool.LogLine, error) bool) {
		for line, err := range lines {
			if err == nil {
				s.note(&line)
			}
			if !yield(line, err) {
				return
			}
		}
	})
	return s
}

// note keeps what a line tells a sender.
func (s *story) note(l *spool.LogLine) {
	if n := l.Recipient; l.Verb == spool.DeferredV && n >= 0 && n < len(s.kinds) {
		if s.kinds[n] != l.Outcome.Kind || s.since[n].IsZero() {
			s.kinds[n], s.since[n] = l.Outcome.Kind, l.Time
		}
	}
	if l.Recipient >= len(s.kinds) || whatHappened(l, s.recipient(l.Recipient)) == "" {
		return
	}
	if len(s.lines) == 2*proto.MineMaxAttempts {
		s.lines = append(s.lines[:0], s.lines[proto.MineMaxAttempts:]...)
		s.more += proto.MineMaxAttempts
	}
	s.lines = append(s.lines, *l)
}

// recipient is that of a line; an empty one of a line about the whole message.
func (s *story) recipient(n int) *envelope.Recipient {
	if n < 0 {
		return &envelope.Recipient{}
	}
	return &s.env.Recipients[n]
}

var mineStates = map[state]string{waiting: "waiting", active: "delivering", held: "held", busy: "delivering"}

// item is the message in a list.
func (s *story) item() *proto.MineItem {
	item := &proto.MineItem{
		ID: s.e.id.String(), State: mineStates[s.e.state], Arrived: s.env.Arrived, Size: s.env.Size,
		Sender: s.env.Sender.String(), Attempts: s.book.Attempts, LastAttempt: timePointer(s.book.LastAttempt),
	}
	if s.e.state == waiting {
		item.NextAttempt = timePointer(time.UnixMilli(s.e.due).UTC())
	}
	if s.e.giveUp > 0 && s.e.state != held {
		item.GiveUpAt = timePointer(s.e.giveUp.time().UTC())
	}
	item.Recipients, item.MoreRecipients = atMost(s.waiting())
	return item
}

func atMost(list []proto.MineRecipient) (kept []proto.MineRecipient, more int) {
	n := min(len(list), proto.MineMaxRecipients)
	return list[:n], len(list) - n
}

// waiting is who still waits, each address that the sender wrote once.
func (s *story) waiting() []proto.MineRecipient {
	out := []proto.MineRecipient{}
	seen := map[string]struct{}{}
	for _, i := range s.book.Waiting() {
		rc := &s.env.Recipients[i]
		to := given(rc)
		if _, again := seen[to]; again {
			continue
		}
		seen[to] = struct{}{}
		o := &s.book.States[i].Last
		r := proto.MineRecipient{Address: to, State: "waiting", Why: whyWaits(o, rc), Reply: replyOf(o, rc), Since: timePointer(s.since[i])}
		if s.e.awaitsRelease(s.env, s.book) {
			r.Why = "it waits until " + releaseTime(s.env) + ", as was asked"
		}
		if s.e.state == held {
			r.Why, r.Reply, r.Since = "an administrator has put it on hold", "", nil
		}
		out = append(out, r)
	}
	return out
}

// done is who waits no more, as far as nobody behind the same address does.
func (s *story) done() []proto.MineRecipient {
	out := []proto.MineRecipient{}
	seen := map[string]struct{}{}
	for _, i := range s.book.Waiting() {
		seen[given(&s.env.Recipients[i])] = struct{}{}
	}
	for i := range s.book.States {
		to := given(&s.env.Recipients[i])
		if _, again := seen[to]; again {
			continue
		}
		seen[to] = struct{}{}
		out = append(out, proto.MineRecipient{Address: to, State: stateOfDone(&s.book.States[i].Last)})
	}
	return out
}

func stateOfDone(o *outcome.Outcome) string {
	switch {
	case o.Permanent() && o.Kind == outcome.Cancelled:
		return "cancelled"
	case o.Permanent():
		return "failed"
	}
	return "delivered"
}

// showMine answers GET /v1/mine/ID.
func (q *Manager) showMine(w http.ResponseWriter, r *http.Request) {
	id, err := queueid.Parse(r.PathValue("id"))
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
	m := &proto.MineMessage{MineItem: *s.item(), Log: []proto.MineAttempt{}}
	m.Done, _ = atMost(s.done())
	skip := max(0, len(s.lines)-proto.MineMaxAttempts)
	for i := range s.lines[skip:] {
		m.Log = append(m.Log, s.attempt(&s.lines[skip+i]))
	}
	m.Earlier = s.more + skip
	admin.Answer(w, http.StatusOK, m)
}

func (s *story) attempt(l *spool.LogLine) proto.MineAttempt {
	rc := s.recipient(l.Recipient)
	a := proto.MineAttempt{At: l.Time, What: whatHappened(l, rc), Reply: replyOf(&l.Outcome, rc)}
	if l.Recipient >= 0 {
		a.Address = given(rc)
	}
	return a
}
