package main

import (
	"fmt"
	"time"
)

func localScenario(kind string, users, n int, byDefault bool) scenario {
	return scenario{fmt.Sprintf("L-%s-%d", kind, users),
		fmt.Sprintf("delivery to %d %s, 20 sessions, many messages on a connection", users, kind),
		kind, "local-" + kind, byDefault,
		func(b *bench, p *peer) (figures, error) { return b.local(p, kind, users, b.rateCount(p, n)) }, false}
}

// local sends n messages to mailboxes, and reads them all back.
func (b *bench) local(p *peer, kind string, users, n int) (figures, error) {
	if err := p.prepareMailboxes(kind, users); err != nil {
		return nil, err
	}
	w, err := p.watch(kind, users)
	if err != nil {
		return nil, err
	}
	run := runID()
	m := figures{}
	a := p.account()
	r := send(load{addr: p.addr(), n: n, sessions: 20, persist: true, size: b.size, run: run,
		rcpt: oneOf(localDomain, users)})
	all := w.wait(r.sent, arrivalTimeout)
	last := time.Unix(0, w.last.Load())
	m.charge(p, a, n)
	w.close()
	m["n"] = float64(n)
	m["msgs_s"] = float64(w.n.Load()) / last.Sub(r.start).Seconds()
	uniq, dups := p.readBack(kind, run, users)
	m["lost"], m["dups"] = float64(n-uniq), float64(dups)
	m.sent(p, r)
	if !all {
		return m, fmt.Errorf("only %d of %d arrived", w.n.Load(), n)
	}
	return m, nil
}

// localLatency sends one message at a time to a Maildir, the next only after the
// last has arrived.
func (b *bench) localLatency(p *peer) (figures, error) {
	if err := p.prepareMailboxes("maildir", 1); err != nil {
		return nil, err
	}
	w, err := p.watch("maildir", 1)
	if err != nil {
		return nil, err
	}
	defer w.close()
	n := b.count(200)
	run := runID()
	m := figures{}
	a := p.account()
	var took []float64
	for i := range n {
		start := time.Now()
		r := send(load{addr: p.addr(), n: 1, sessions: 1, size: b.size, run: run, rcpt: oneOf(localDomain, 1)})
		if r.sent != 1 || !w.wait(i+1, 30*time.Second) {
			return nil, fmt.Errorf("message %d did not arrive: %s", i, r.err)
		}
		took = append(took, float64(w.last.Load()-start.UnixNano())/1e6)
		time.Sleep(latencyPause)
	}
	m.charge(p, a, n)
	m["n"], m["p50_ms"], m["p99_ms"] = float64(n), percentile(took, .5), percentile(took, .99)
	return m, nil
}
