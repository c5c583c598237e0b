package main

import (
	"bufio"
	"fmt"
	"net"
	"time"
)

// A load at a steady rate, of which a third each goes to a destination that answers at
// once, to one that takes a second for each reply, and to one that takes connections and
// never says a word. What matters is what the first of them notices of the others.
const (
	mixedMessages = 50_000
	mixedEvery    = 3300 * time.Microsecond // about 300 a second in all
	mixedSessions = 20
	slowReply     = time.Second
	// mixedPatience is how long the last fast messages may take.
	mixedPatience = 2 * time.Minute
)

// hosts are the listeners of the two bad destinations.
type hosts struct {
	slow, dead net.Listener
}

func listenBad() (*hosts, error) {
	slow, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", slowPort))
	if err != nil {
		return nil, err
	}
	dead, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", deadPort))
	if err != nil {
		slow.Close()
		return nil, err
	}
	h := &hosts{slow, dead}
	go accept(slow, serveSlow)
	go accept(dead, func(c net.Conn) {
		// It reads, so that it is the conversation that hangs and not the network.
		b := make([]byte, 4096)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
		}
	})
	return h, nil
}

func accept(ln net.Listener, serve func(net.Conn)) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			serve(c)
		}()
	}
}

// serveSlow takes everything, and its time.
func serveSlow(c net.Conn) {
	r := bufio.NewReader(c)
	say := func(s string) bool {
		time.Sleep(slowReply)
		_, err := c.Write([]byte(s))
		return err == nil
	}
	ok := say("220 slow.test ESMTP\r\n")
	for ok {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := line[:min(4, len(line))]; verb {
		case "DATA":
			if ok = say("354 go\r\n"); !ok {
				return
			}
			if _, _, _, err := readData(r); err != nil {
				return
			}
			ok = say("250 2.0.0 ok\r\n")
		case "QUIT":
			say("221 2.0.0 bye\r\n")
			return
		default:
			ok = say("250 2.0.0 ok\r\n")
		}
	}
}

// mixed sends the fast third alone, and then all three; both at the same times.
func (b *bench) mixed(p *peer) (figures, error) {
	h, err := listenBad()
	if err != nil {
		return nil, err
	}
	defer h.slow.Close()
	defer h.dead.Close()
	// Its queue would go on being tried while another peer is measured.
	defer p.stop()
	n := b.count(mixedMessages)
	m := figures{"n": float64(n)}
	alone, _, err := b.third(p, n/3, 3*mixedEvery, func(seq int) string { return "dest" })
	if err != nil {
		return m, err
	}
	m["alone50_ms"], m["alone99_ms"] = percentile(alone.latency, .5), percentile(alone.latency, .99)
	a := p.account()
	with, r, err := b.third(p, n, mixedEvery, func(seq int) string { return []string{"dest", "slow", "dead"}[seq%3] })
	if err != nil {
		return m, err
	}
	m["p50_ms"], m["p99_ms"], m["max_ms"] = percentile(with.latency, .5), percentile(with.latency, .99), percentile(with.latency, 1)
	m["lost"], m["dups"] = float64((n+2)/3-with.uniq), float64(with.dups)
	m.sent(p, r)
	m.charge(p, a, n)
	m["pss_mb"] = p.memory("").pss
	return m, nil
}

// third sends n messages, one every so often, and waits for those of the fast
// destination.
func (b *bench) third(p *peer, n int, every time.Duration, to func(int) string) (counts, sending, error) {
	run := runID()
	b.sink.reset(run, countMessages)
	fast := 0
	for seq := range n {
		if to(seq) == "dest" {
			fast++
		}
	}
	r := send(load{addr: p.addr(), n: n, sessions: mixedSessions, persist: true, size: b.size, run: run, every: every,
		rcpt: func(seq int) []string { return []string{fmt.Sprintf("u%d@%s.test", seq%100, to(seq))} }})
	if r.sent < n {
		return counts{}, r, fmt.Errorf("only %d of %d messages were taken: %s", r.sent, n, r.err)
	}
	b.sink.wait(func(c *counts) bool { return c.uniq >= fast }, mixedPatience)
	return b.sink.counts(), r, nil
}
