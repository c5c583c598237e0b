package main

import (
	"fmt"
	"time"
)

// latencyPause lets the peer finish what it does behind a delivery, so that the
// next message meets it at rest.
const latencyPause = 5 * time.Millisecond

// latency sends one message at a time, the next only after the last has arrived.
func (b *bench) latency(p *peer) (figures, error) {
	n := b.count(200)
	run := runID()
	b.sink.reset(run, countMessages)
	arrived := make(chan time.Time, 10)
	b.sink.onMessage(func(at time.Time) { arrived <- at })
	m := figures{}
	a := p.account()
	var through, ack []float64
	for i := range n {
		start := time.Now()
		r := send(load{addr: p.addr(), n: 1, sessions: 1, size: b.size, run: run,
			rcpt: func(int) []string { return []string{fmt.Sprintf("u%d@dest.test", i)} }})
		if r.sent != 1 {
			return nil, fmt.Errorf("message %d: %s", i, r.err)
		}
		select {
		case at := <-arrived:
			through = append(through, float64(at.Sub(start).Microseconds())/1000)
		case <-time.After(30 * time.Second):
			return nil, fmt.Errorf("message %d is lost", i)
		}
		ack = append(ack, r.latency[0])
		time.Sleep(latencyPause)
	}
	m.charge(p, a, n)
	m["n"] = float64(n)
	m["p50_ms"], m["p99_ms"] = percentile(through, .5), percentile(through, .99)
	m["ack50_ms"], m["ack99_ms"] = percentile(ack, .5), percentile(ack, .99)
	return m, nil
}
