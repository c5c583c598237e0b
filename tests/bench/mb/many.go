package main

import (
	"fmt"
)

// manyRecipients sends one message to 5,000 recipients at 50 domains.
func (b *bench) manyRecipients(p *peer) (figures, error) {
	n := b.count(5000)
	run := runID()
	b.sink.reset(run, countRecipients)
	var rcpts []string
	for i := range n {
		rcpts = append(rcpts, fmt.Sprintf("r%d@d%d.test", i, i%50))
	}
	m := figures{}
	a := p.account()
	r := send(load{addr: p.addr(), n: 1, sessions: 1, size: b.size, run: run, retries: 1,
		rcpt: func(int) []string { return rcpts }})
	if r.sent != 1 {
		return nil, fmt.Errorf("the message was not taken: %s", r.err)
	}
	b.sink.wait(func(c *counts) bool { return c.urcpts >= n }, arrivalTimeout)
	m.charge(p, a, n)
	c := b.sink.counts()
	m["n"] = float64(n)
	m["total_s"] = c.last.Sub(r.start).Seconds()
	m["accept_ms"] = r.lastAck.Sub(r.start).Seconds() * 1000
	m["rcpts_s"] = float64(c.urcpts) / m["total_s"]
	m["sink_txns"] = float64(c.msgs)
	m["lost"], m["dups"] = float64(n-c.urcpts), float64(c.rcpts-c.urcpts)
	return m, nil
}
