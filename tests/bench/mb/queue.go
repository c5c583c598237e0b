package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// queue lets the sink defer everything, looks at the queue, and then lets it
// drain.
func (b *bench) queue(p *peer) (figures, error) {
	n := b.count(20000)
	m := figures{}
	all0, qmgr0 := p.memory(""), p.memory(p.info["QMGR"])
	run := runID()
	b.sink.reset(run, countMessages)
	b.sink.refuse(true)
	defer b.sink.refuse(false)
	a := p.account()
	r := send(load{addr: p.addr(), n: n, sessions: 20, persist: true, size: b.size, run: run,
		rcpt: func(seq int) []string { return []string{fmt.Sprintf("q%d@d%d.test", seq, seq%50)} }})
	if !b.sink.wait(func(c *counts) bool { return c.urefused >= r.sent }, 240*time.Second) {
		fmt.Fprintf(os.Stderr, "%s Q: only %d of %d attempted\n", p.name, b.sink.counts().urefused, n)
	}
	c := b.sink.counts()
	m["n"], m["refused"] = float64(n), float64(c.urefused)
	m["defer_s"] = float64(c.urefused) / c.lastRefused.Sub(r.start).Seconds()
	m.sent(p, r)
	m.charge(p, a, n)
	m["defer_cpu_ms"] = m["cpu_ms"]
	all1, qmgr1 := p.memory(""), p.memory(p.info["QMGR"])
	m["all_pss_mb"], m["all_pss0_mb"], m["procs"] = all1.pss, all0.pss, float64(all1.procs)
	m["qmgr_pss_mb"], m["qmgr_pss0_mb"] = qmgr1.pss, qmgr0.pss
	b.listQueue(p, m)
	b.drain(p, m, r.sent, n)
	m["qmgr_pss2_mb"] = p.memory(p.info["QMGR"]).pss
	return m, nil
}

func (b *bench) listQueue(p *peer, m figures) {
	start := time.Now()
	out, err := p.inGroup(p.script, "listqueue").Output()
	m["list_s"] = time.Since(start).Seconds()
	if err != nil {
		fmt.Fprintln(os.Stderr, p.name, "listqueue:", err)
	}
	// Every recipient that waits shows once.
	m["listed"] = float64(bytes.Count(out, []byte("@d")))
}

func (b *bench) drain(p *peer, m figures, sent, n int) {
	b.sink.refuse(false)
	a := p.account()
	start := time.Now()
	flush := p.inGroup(p.script, "flush")
	done := make(chan error, 1)
	go func() { done <- flush.Run() }()
	b.sink.wait(func(c *counts) bool { return c.uniq >= sent }, 200*time.Second)
	if err := <-done; err != nil {
		fmt.Fprintln(os.Stderr, p.name, "flush:", err)
	}
	c := b.sink.counts()
	m["drain_s"] = c.last.Sub(start).Seconds()
	m["first_s"] = c.first.Sub(start).Seconds()
	m["drained"], m["dups"] = float64(c.uniq), float64(c.dups)
	m["drain_msgs_s"] = float64(c.uniq) / c.last.Sub(start).Seconds()
	m.charge(p, a, n)
	m["drain_cpu_ms"] = m["cpu_ms"]
	delete(m, "cpu_ms")
}
