package main

import (
	"fmt"
	"os"
	"time"
)

// arrivalTimeout bounds the wait for the last messages.
const arrivalTimeout = 45 * time.Second

func relayScenario(sessions int, persist bool, n int, byDefault bool) scenario {
	name, about := fmt.Sprintf("R%d", sessions), fmt.Sprintf("relay, %d sessions, a connection for each message", sessions)
	if persist {
		name, about = name+"d", fmt.Sprintf("relay, %d sessions, many messages on a connection", sessions)
	}
	return scenario{name, about, "relay", "relay", byDefault,
		func(b *bench, p *peer) (figures, error) { return b.relay(p, sessions, persist, b.rateCount(p, n)) }, false}
}

// relay sends n messages through the peer to the sink.
func (b *bench) relay(p *peer, sessions int, persist bool, n int) (figures, error) {
	run := runID()
	b.sink.reset(run, countMessages)
	m := figures{}
	a := p.account()
	r := send(load{addr: p.addr(), n: n, sessions: sessions, persist: persist, size: b.size, run: run,
		rcpt: oneOf("dest.test", 100)})
	b.sink.wait(func(c *counts) bool { return c.uniq >= r.sent }, arrivalTimeout)
	m.charge(p, a, n)
	c := b.sink.counts()
	m["n"] = float64(n)
	m["msgs_s"] = float64(c.uniq) / c.last.Sub(r.start).Seconds()
	m["p50_ms"], m["p99_ms"] = percentile(c.latency, .5), percentile(c.latency, .99)
	m["lost"] = float64(n - c.uniq)
	m["dups"] = float64(c.dups)
	m["sinkconns"] = float64(c.conns)
	m.sent(p, r)
	return m, nil
}

// sent adds what the source saw.
func (m figures) sent(p *peer, r sending) {
	m["accept_s"] = float64(r.sent) / r.lastAck.Sub(r.start).Seconds()
	m["ack50_ms"], m["ack99_ms"] = percentile(r.latency, .5), percentile(r.latency, .99)
	m["retried"] = float64(r.retried)
	if r.err != "" {
		fmt.Fprintln(os.Stderr, p.name, "source:", r.err)
	}
}
