package main

import (
	"io"
	"sync"
	"time"
)

// openTimeout bounds the opening of one connection, and how long it may stay.
const openTimeout = 2 * time.Minute

// idle opens n connections, says EHLO on each, and looks at the peer's memory.
func (b *bench) idle(p *peer, n int) (figures, error) {
	n = b.count(n)
	m := figures{}
	before := p.memory("")
	a := p.account()
	start := time.Now()
	open := openMany(p.addr(), n)
	defer func() {
		for _, c := range open {
			c.conn.Close()
		}
	}()
	m["open_s"] = time.Since(start).Seconds()
	time.Sleep(500 * time.Millisecond)
	now := p.memory("")
	m["n"], m["open"], m["refused"] = float64(n), float64(len(open)), float64(n-len(open))
	m["pss_mb"], m["rss_mb"], m["procs"] = now.pss, now.rss, float64(now.procs)
	m["pss0_mb"], m["rss0_mb"], m["procs0"] = before.pss, before.rss, float64(before.procs)
	m["kib_per_conn"] = (now.pss - before.pss) * 1024 / float64(max(1, len(open)))
	for _, c := range open {
		io.WriteString(c.conn, "QUIT\r\n")
	}
	time.Sleep(time.Second)
	m.charge(p, a, n)
	m["cpu_ms_conn"] = m["cpu_ms"]
	delete(m, "cpu_ms")
	return m, nil
}

// openMany opens connections, 50 at a time, and returns those that were greeted.
func openMany(addr string, n int) (open []*client) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	work := make(chan bool)
	for range 50 {
		wg.Go(func() {
			for range work {
				if c, err := dial(addr, "", openTimeout); err == nil {
					mu.Lock()
					open = append(open, c)
					mu.Unlock()
				}
			}
		})
	}
	for range n {
		work <- true
	}
	close(work)
	wg.Wait()
	return open
}
