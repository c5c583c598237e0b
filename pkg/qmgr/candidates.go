package qmgr

import (
	"slices"
	"strings"

	"filbert/pkg/event"
	"filbert/pkg/queueid"
)

// candidates is which messages may be chosen by a filter for addresses, by what the index on
// disk has of them. Those whose addresses are not there are not spoken of.
type candidates struct {
	ids []queueid.ID // in order
}

// excludes tells whether a message can't be chosen. With mu.
func (c *candidates) excludes(e *entry) bool {
	if c == nil || e.marks&addressed == 0 {
		return false
	}
	_, may := slices.BinarySearch(c.ids, e.id)
	return !may
}

// aboutAddresses tells whether a filter is about what the index on disk knows.
func (f *filter) aboutAddresses() bool {
	return f.sender != nil || f.recipient != nil || f.domain != nil
}

// search looks for the messages that a filter may choose; nil: any. done must be called
// when they are not needed any more: until then what is filed counts as not searched.
func (q *Manager) search(f *filter) (c *candidates, done func()) {
	nothing := func() {}
	if f == nil || !f.aboutAddresses() {
		return nil, nothing
	}
	q.mu.Lock()
	x, n := q.disk.index, q.sched.news
	if x == nil || n == nil {
		q.mu.Unlock()
		return nil, nothing
	}
	n.searching++
	q.mu.Unlock()
	c = &candidates{}
	err := x.Search(func(id queueid.ID, addresses []string) error {
		if f.addresses(addresses) {
			c.ids = append(c.ids, id)
		}
		return nil
	})
	if err != nil {
		q.log.Emit(event.TroubleOf(0, "search the index of the queue", err))
		c = nil
	}
	if c != nil {
		slices.Sort(c.ids)
	}
	return c, func() { q.searched(n) }
}

func (q *Manager) searched(n *news) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n.searching--; n.searching == 0 && q.sched.news == n {
		n.nowAddressed(n.late)
		n.late = nil
	}
}

// addresses tells whether a filter may choose a message with these, the sender's first. It
// errs to the side of yes: who was redirected has both of his.
func (f *filter) addresses(list []string) bool {
	if len(list) == 0 {
		return true
	}
	if f.sender != nil && !f.sender.Match(list[0]) {
		return false
	}
	if f.recipient == nil && f.domain == nil {
		return true
	}
	for _, a := range list[1:] {
		if (f.recipient == nil || f.recipient.Match(a)) && (f.domain == nil || f.domain.Match(a[strings.LastIndexByte(a, '@')+1:])) {
			return true
		}
	}
	return false
}
