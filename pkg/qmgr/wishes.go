package qmgr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/standing"
)

// Who was told that the rest of a message is cancelled when its attempt ends has no reason
// to look again. So the wish is written down before he is told, beside the standing orders
// and for the same reasons, and carried out by whichever process is there when it can be.
//
// A crash between the drop and the removal of the wish has it carried out again: those
// whom it names no longer wait, so nothing comes of it.
const (
	wishFile    = standing.Dir + "/cancels"
	maxWishFile = 8 << 20
)

var errTooManyWishes = errors.New("too many cancellations wait for the end of an attempt")

// wish is one line of the file.
type wish struct {
	ID         string   `json:"id"`
	Recipients []string `json:"recipients,omitempty"` // in lower case; none: all
	Who        string   `json:"who"`
	Admin      bool     `json:"admin,omitempty"`
}

// fulfil carries a wish out. One that is written down goes on whatever stands in the way,
// as long as there is such a message.
func (q *Manager) fulfil(id queueid.ID, c *cancelling) (*proto.MineCancelled, error) {
	for {
		res, err := q.cancel(q.work, c)
		if q.wishEnds(id, c, err) {
			if err != nil && q.work.Err() == nil && !errors.Is(err, errOnHold) {
				q.log.Emit(event.TroubleOf(id, "cancel a message", err))
			}
			return res, err
		}
		_ = c.attemptEnds(q.work) // at the end of work the next round ends it
	}
}

// found looks the message of a wish up that an earlier process has left: false while the
// queue is being read. Without an entry then, there is no such message.
func (q *Manager) found(c *cancelling) bool {
	if c.e != nil {
		return true
	}
	loaded := q.loaded.Load() // before the look: what is loaded later is not missed
	q.mu.Lock()
	defer q.mu.Unlock()
	c.e = q.sched.all.get(c.id)
	return c.e != nil || loaded
}

// putOffLocked has the next attempt of a message wait for what is being cancelled of it.
func (q *Manager) putOffLocked(e *entry, now time.Time) {
	e.state = waiting
	e.due = now.Add(cancelAgain).UnixMilli()
	q.sched.place(e)
	q.sched.ended(e.nextHop)
}

// keepWish writes a wish down. kept is false when it has come to its end meanwhile.
func (q *Manager) keepWish(id queueid.ID, c *cancelling) (kept bool, err error) {
	q.wishing.Lock()
	defer q.wishing.Unlock()
	q.mu.Lock()
	c.kept = q.cancels[id] == c
	kept = c.kept
	q.mu.Unlock()
	if !kept {
		return false, nil
	}
	if err := q.saveWishes(); err != nil {
		q.mu.Lock()
		c.kept = false
		q.mu.Unlock()
		return false, err
	}
	return true, nil
}

// wishEnds forgets a wish that was carried out or can't be, and reports whether it did.
func (q *Manager) wishEnds(id queueid.ID, c *cancelling, err error) bool {
	q.wishing.Lock()
	defer q.wishing.Unlock()
	stopping := q.work.Err() != nil
	q.mu.Lock()
	kept := c.kept
	goesOn := kept && !stopping && err != nil && !errors.Is(err, errOnHold) && !errors.Is(err, errGone)
	if !goesOn {
		delete(q.cancels, id)
	}
	q.mu.Unlock()
	if goesOn || !kept || stopping && err != nil {
		return !goesOn // what is cut off by the end of this process is the next one's
	}
	if err := q.saveWishes(); err != nil {
		q.log.Emit(event.TroubleOf(id, "forget a cancellation that was carried out", err))
	}
	return true
}

// saveWishes writes the file. The caller holds wishing.
func (q *Manager) saveWishes() error {
	var list []wish
	q.mu.Lock()
	for id, c := range q.cancels {
		if !c.kept {
			continue
		}
		w := wish{ID: id.String(), Who: c.by, Admin: c.admin}
		for a := range c.wanted {
			w.Recipients = append(w.Recipients, a)
		}
		list = append(list, w)
	}
	q.mu.Unlock()
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	for i := range list {
		if err := out.Encode(&list[i]); err != nil {
			return fmt.Errorf("write %s: %w", wishFile, err)
		}
	}
	if b.Len() > maxWishFile {
		return errTooManyWishes
	}
	if err := durable.WriteFile(q.fs, wishFile, 0o600, b.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", wishFile, err)
	}
	return nil
}

// openWishes reads what an earlier process has left to do, before anything is tried. What
// can't be read is set aside.
func (q *Manager) openWishes() error {
	data, err := durable.ReadFile(q.fs, wishFile, maxWishFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && !errors.Is(err, durable.ErrTooLarge):
		return fmt.Errorf("read %s: %w", wishFile, err)
	}
	list, bad := parseWishes(data)
	if bad == 0 && err == nil {
		q.takeWishes(list)
		return nil
	}
	aside := "corrupt/cancels." + q.now().UTC().Format("20060102T150405")
	if err := q.fs.Rename(wishFile, aside); err != nil {
		return fmt.Errorf("set %s aside: %w", wishFile, err)
	}
	q.log.Emit(event.CorruptOf(0, fmt.Sprintf("the file of cancellations; %d of them are carried out", len(list)), aside, errors.Join(errDamagedWishes, err)))
	q.takeWishes(list)
	q.wishing.Lock()
	defer q.wishing.Unlock()
	return q.saveWishes()
}

var errDamagedWishes = errors.New("lines of it can't be read")

// parseWishes reads the lines that can be read, and counts the others.
func parseWishes(data []byte) (list []wish, bad int) {
	for line := range bytes.Lines(data) {
		var w wish
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		err := d.Decode(&w)
		if _, notID := queueid.Parse(w.ID); err != nil || notID != nil || d.More() || len(list) == maxCancels {
			bad++
			continue
		}
		list = append(list, w)
	}
	return list, bad
}

// takeWishes notes wishes, so that no attempt of their messages begins.
func (q *Manager) takeWishes(list []wish) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range list {
		w := &list[i]
		id, err := queueid.Parse(w.ID)
		if err != nil {
			continue // parseWishes has no such one
		}
		c := &cancelling{id: id, by: w.Who, admin: w.Admin, wanted: map[string]struct{}{}, waited: true, kept: true, ended: make(chan struct{}, 1)}
		for _, a := range w.Recipients {
			c.wanted[a] = struct{}{}
		}
		q.cancels[id] = c
	}
}

// resumeWishes goes on with what openWishes has read.
func (q *Manager) resumeWishes() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for id, c := range q.cancels {
		q.wg.Go(func() { _, _ = q.fulfil(id, c) }) // nobody waits for what comes of it
	}
}
