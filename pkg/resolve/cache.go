package resolve

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps answers until they expire, the least recently used leave first.
// Entries are shared by their readers and never changed.
type cache struct {
	limit int

	mu      sync.Mutex
	entries map[question]*list.Element // of *entry
	recent  *list.List                 // front = used last
}

type entry struct {
	q       question
	answer  answer
	expires time.Time
}

func newCache(limit int) *cache {
	return &cache{limit: limit, entries: make(map[question]*list.Element), recent: list.New()}
}

func (c *cache) get(q question, now time.Time) (*entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el, ok := c.entries[q]
	if !ok {
		return nil, false
	}
	e := el.Value.(*entry)
	if !now.Before(e.expires) {
		c.recent.Remove(el)
		delete(c.entries, q)
		return nil, false
	}
	c.recent.MoveToFront(el)
	return e, true
}

func (c *cache) put(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el, ok := c.entries[e.q]; ok {
		el.Value = e
		c.recent.MoveToFront(el)
		return
	}
	c.entries[e.q] = c.recent.PushFront(e)
	for len(c.entries) > c.limit {
		last := c.recent.Back()
		c.recent.Remove(last)
		delete(c.entries, last.Value.(*entry).q)
	}
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.recent.Init()
}
