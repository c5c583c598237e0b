package qmgr

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ledger"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service/admin"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// list streams the messages that the query chooses, oldest first, one JSON
// object a line.
func (q *Manager) list(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query())
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "see mtactl queue list --help for the filters")
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	sent := 0
	for id := range q.eachOf(f) {
		if f.limit > 0 && sent >= f.limit {
			return
		}
		item := q.item(id, f)
		if item == nil {
			continue
		}
		if out.Encode(item) != nil {
			return // the reader has gone
		}
		sent++
		if sent%100 == 0 {
			flush(w)
		}
	}
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

const (
	// pageSize is how many ids are taken at a time: while a list is written nobody waits for
	// it, and its memory does not grow with the queue.
	pageSize = 256
	// lookedAt is how many are looked at for them while others wait.
	lookedAt = 4096
)

// each tells the messages of the schedule, oldest first, up to the newest that there is
// at the beginning, so that a list of a queue that grows comes to an end.
func (q *Manager) each() iter.Seq[queueid.ID] { return q.eachOf(nil) }

// eachOf leaves those out of which memory, or the index on disk, says that a filter does not
// choose them; nil chooses all.
func (q *Manager) eachOf(f *filter) iter.Seq[queueid.ID] {
	return func(yield func(queueid.ID) bool) {
		may, done := q.search(f)
		defer done()
		var last queueid.ID
		page := make([]queueid.ID, 0, pageSize)
		q.mu.Lock()
		newest := q.sched.all.newest()
		q.mu.Unlock()
		for last < newest {
			page = page[:0]
			looked := 0
			q.mu.Lock()
			now := q.now()
			for e := range q.sched.all.after(last) {
				if e.id > newest || len(page) == pageSize || looked == lookedAt {
					break
				}
				last = e.id
				if looked++; f == nil || f.entry(e, now) && !may.excludes(e) {
					page = append(page, e.id)
				}
			}
			q.mu.Unlock()
			if looked == 0 {
				return
			}
			for _, id := range page {
				if !yield(id) {
					return
				}
			}
		}
	}
}

// item describes a message if the filter chooses it. What can be told from
// memory is looked at before the files are.
func (q *Manager) item(id queueid.ID, f *filter) *proto.QueueItem {
	q.mu.Lock()
	e := q.sched.all.get(id)
	if e == nil || !f.entry(e, q.now()) {
		q.mu.Unlock()
		return nil
	}
	copied := *e
	q.mu.Unlock()
	m, err := q.readIf(copied.queue(), id, f)
	if err != nil || m == nil || !f.message(m) {
		return nil // finished or moved since, or not chosen
	}
	return describe(&copied, m)
}

// queue is where the message's files are.
func (e *entry) queue() spool.Queue {
	if e.state == held {
		return spool.Hold
	}
	return spool.Deferred
}

func describe(e *entry, m *stored) *proto.QueueItem {
	item := &proto.QueueItem{
		ID: e.id.String(), State: stateNames[e.state], Arrived: m.env.Arrived, Size: e.size,
		Sender: m.env.Sender.String(), Attempts: int(e.attempts), NextHop: e.nextHop,
		LastAttempt: timePointer(m.book.LastAttempt), Recipients: []proto.QueueRecipient{},
	}
	if e.state == waiting {
		item.NextAttempt = timePointer(time.UnixMilli(e.due).UTC())
	}
	for _, i := range m.book.Waiting() {
		rc := recipient(m, i, "waiting")
		if e.awaitsRelease(m.env, m.book) {
			rc.Reason = "waits until " + releaseTime(m.env) + ", as its sender asked"
		}
		item.Recipients = append(item.Recipients, rc)
		if item.Reason == "" {
			item.Reason = rc.Reason
		}
	}
	if e.state == held && !m.book.HeldFor.IsEmpty() {
		item.Reason = m.book.HeldFor.ForTerminal()
	}
	return item
}

// awaitsRelease tells whether a message waits for nothing but the moment that its sender
// named. By the second, as that is all the schedule knows of a message that was on hold.
func (e *entry) awaitsRelease(env *envelope.Envelope, book *ledger.Ledger) bool {
	return e.state == waiting && book.FirstAttempt.IsZero() && !env.ReleaseAt.IsZero() && milli(e.due).Unix() == env.ReleaseAt.Unix()
}

func releaseTime(env *envelope.Envelope) string {
	return env.ReleaseAt.UTC().Format("2006-01-02 15:04:05 MST")
}

func recipient(m *stored, i int, state string) proto.QueueRecipient {
	s, rc := &m.book.States[i], &m.env.Recipients[i]
	r := proto.QueueRecipient{Address: shownAs(rc), State: state, Reason: s.Last.Text.ForTerminal()}
	if rc.Kind != envelope.TargetAddress {
		r.Target = rc.Target
	}
	return r
}

// shownAs is what administrators see a recipient as. What an alias led to shows where it
// goes; of a command or a file that is no address, and people know it by theirs.
func shownAs(rc *envelope.Recipient) string {
	if rc.Kind != envelope.TargetAddress {
		return given(rc)
	}
	return ledger.Key(rc)
}

var stateNames = map[state]string{waiting: "deferred", active: "active", held: "held", busy: "active"}

func timePointer(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// show answers GET /v1/queue/ID.
func (q *Manager) show(w http.ResponseWriter, r *http.Request) {
	e, m, ok := q.find(w, r)
	if !ok {
		return
	}
	out := proto.QueueMessage{QueueItem: *describe(e, m), Log: []proto.QueueAttempt{}}
	c := &m.env.Client
	if c.Addr.IsValid() {
		out.Client = c.Addr.String()
	} else {
		out.Client = untrusted.From(c.Login).ForTerminal()
	}
	out.HELO, out.Proto = c.HELO.ForTerminal(), c.Proto
	for i := range m.book.States {
		if m.book.States[i].Done {
			state := "delivered"
			if m.book.States[i].Last.Permanent() {
				state = "failed"
			}
			out.Done = append(out.Done, recipient(m, i, state))
		}
	}
	for line, err := range q.spool.Log(e.queue(), e.id) {
		if err == nil {
			out.Log = append(out.Log, attemptOf(&line))
		}
	}
	if e.giveUp != 0 {
		out.GiveUpAt = timePointer(e.giveUp.time().UTC())
	}
	admin.Answer(w, http.StatusOK, &out)
}

func attemptOf(l *spool.LogLine) proto.QueueAttempt {
	return proto.QueueAttempt{
		At: l.Time, Recipient: l.Address.ForTerminal(), Result: string(l.Verb),
		Status: l.Outcome.Status.String(), Host: untrusted.From(l.Outcome.Remote).ForTerminal(),
		Text: l.Outcome.Text.ForTerminal(),
	}
}

// content answers GET /v1/queue/ID/content with the message as it is kept.
func (q *Manager) content(w http.ResponseWriter, r *http.Request) {
	e, _, ok := q.find(w, r)
	if !ok {
		return
	}
	f, err := q.spool.Open(e.queue(), e.id)
	if err != nil {
		admin.Fail(w, http.StatusNotFound, "the message has just gone", "look again with mtactl queue list")
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "message/rfc822")
	_, _ = io.Copy(w, f.Content()) // the reader has gone, or sees a short text
}

// find looks up the message that the path names. Only what queueid accepts
// gets further: nothing that looks like a path does.
func (q *Manager) find(w http.ResponseWriter, r *http.Request) (*entry, *stored, bool) {
	id, err := queueid.Parse(r.PathValue("id"))
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, "not a queue id: "+untrusted.From(r.PathValue("id")).ForTerminal(),
			"a queue id has 11 letters and digits, as mtactl queue list shows them")
		return nil, nil, false
	}
	q.mu.Lock()
	e := q.sched.all.get(id)
	ok := e != nil
	var copied entry
	if ok {
		copied = *e
	}
	q.mu.Unlock()
	if ok {
		m, err := q.read(copied.queue(), id)
		if err == nil {
			return &copied, m, true
		}
		if !errors.Is(err, fs.ErrNotExist) {
			admin.Fail(w, http.StatusInternalServerError, err.Error(), "")
			return nil, nil, false
		}
	}
	hint := "it may have been delivered or returned: mtactl trace " + id.String()
	if !q.loaded.Load() {
		hint = "the queue is still being loaded; try again in a moment"
	}
	admin.Fail(w, http.StatusNotFound, "no message "+id.String()+" in the queue", hint)
	return nil, nil, false
}
