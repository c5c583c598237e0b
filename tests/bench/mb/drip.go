package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// The attack: so many clients, each from an address of its own, that send a byte
// a second in the middle of a message and come back when they are thrown out.
const (
	drippers     = 3000
	dripEvery    = time.Second
	dripFor      = 40 * time.Second
	dripBuildUp  = 12 * time.Second
	honestEvery  = 100 * time.Millisecond
	honestWaits  = 30 * time.Second
	dripperWaits = 5 * time.Minute
)

// dripState counts what the attackers have.
type dripState struct {
	connected atomic.Int64 // now, in the middle of a message
	ended     atomic.Int64 // thrown out
}

// drip measures how an honest client fares among 3,000 dripping ones: how many of
// its messages are taken, and how long each takes from connect to the 250.
func (b *bench) drip(p *peer) (figures, error) {
	n := b.count(drippers)
	m := figures{"n": float64(n)}
	alone, _ := b.honest(p, 2*time.Second)
	m["alone50_ms"] = percentile(alone, .5)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var st dripState
	for i := range n {
		wg.Go(func() { dripper(ctx, p.addr(), i, &st) })
	}
	time.Sleep(dripBuildUp)
	a := p.account()
	took, failed := b.honest(p, dripFor-dripBuildUp)
	if len(took) > 0 {
		m["ack50_ms"], m["ack99_ms"] = percentile(took, .5), percentile(took, .99)
	}
	m["honest_ok"], m["honest_failed"] = float64(len(took)), float64(failed)
	m["dripping"], m["thrown_out"] = float64(st.connected.Load()), float64(st.ended.Load())
	mem := p.memory("")
	m["pss_mb"], m["procs"] = mem.pss, float64(mem.procs)
	m.charge(p, a, max(1, len(took)))
	stop()
	wg.Wait()
	return m, nil
}

// honest sends a message every now and then, each on a connection of its own.
func (b *bench) honest(p *peer, during time.Duration) (took []float64, failed int) {
	run := runID()
	b.sink.reset(run, countMessages)
	l := load{from: "honest@src.test", run: run, size: b.size, rcpt: oneOf("dest.test", 100)}
	end := time.Now().Add(during)
	for seq := 0; time.Now().Before(end); seq++ {
		start := time.Now()
		if err := honestMessage(p.addr(), &l, seq); err != nil {
			failed++
		} else {
			took = append(took, float64(time.Since(start).Microseconds())/1000)
		}
		time.Sleep(honestEvery)
	}
	return took, failed
}

func honestMessage(addr string, l *load, seq int) error {
	s := &sender{load: l}
	c, err := dial(addr, "", honestWaits)
	if err != nil {
		return err
	}
	defer c.quit()
	return c.message(l, seq, &s.buf)
}

// dripper attacks until ctx ends.
func dripper(ctx context.Context, addr string, i int, st *dripState) {
	// All of 127.0.0.0/8 is the loopback interface.
	local := fmt.Sprintf("127.1.%d.%d", i/250, 1+i%250)
	// They do not all come at once: a listen queue that overflows is another story.
	pause(ctx, time.Duration(i)*dripBuildUp/2/drippers)
	for ctx.Err() == nil {
		dripOnce(ctx, addr, local, st)
		pause(ctx, time.Second)
	}
}

func dripOnce(ctx context.Context, addr, local string, st *dripState) {
	c, err := dial(addr, local, dripperWaits)
	if err != nil {
		return
	}
	defer c.conn.Close()
	defer context.AfterFunc(ctx, func() { c.conn.Close() })()
	if c.envelope("drip@src.test", []string{"u0@dest.test"}) != nil || c.command(3, "DATA\r\n") != nil {
		return
	}
	if _, err := io.WriteString(c.conn, "Subject: "); err != nil {
		return
	}
	st.connected.Add(1)
	defer st.connected.Add(-1)
	for ctx.Err() == nil {
		if _, err := io.WriteString(c.conn, "x"); err != nil {
			st.ended.Add(1)
			return
		}
		pause(ctx, dripEvery)
	}
}

// pause sleeps unless ctx ends first.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
