package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// inject runs the peer's sendmail for each message. The injector runs in the
// peer's control group: starting the program is part of the price.
func (b *bench) inject(p *peer, parallel, n int) (figures, error) {
	n = b.count(n)
	run := runID()
	b.sink.reset(run, countMessages)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	m := figures{}
	a := p.account()
	start := time.Now()
	args := []string{self, "inject", "-n", strconv.Itoa(n), "-c", strconv.Itoa(parallel), "-run", run, "-size", strconv.Itoa(b.size), "--"}
	out, err := p.inGroup(append(args, strings.Fields(p.info["SENDMAIL"])...)...).Output()
	if err != nil {
		return nil, err
	}
	returned := time.Now()
	all := b.sink.wait(func(c *counts) bool { return c.uniq >= n }, arrivalTimeout)
	m.charge(p, a, n)
	c := b.sink.counts()
	if f := strings.Fields(string(out)); len(f) == 3 {
		m["ack50_ms"], m["ack99_ms"], m["failed"] = number(f[0]), number(f[1]), number(f[2])
	}
	m["n"] = float64(n)
	m["accept_s"] = float64(n) / returned.Sub(start).Seconds()
	m["msgs_s"] = float64(c.uniq) / c.last.Sub(start).Seconds()
	m["p50_ms"], m["p99_ms"] = percentile(c.latency, .5), percentile(c.latency, .99)
	m["lost"], m["dups"] = float64(n-c.uniq), float64(c.dups)
	if !all {
		return m, fmt.Errorf("%d of %d arrived", c.uniq, n)
	}
	return m, nil
}

// injectCommand is the part of inject that runs as a process of its own: it
// prints the median and the 99th percentile of the calls in ms, and how many
// failed.
func injectCommand(s *settings, args []string) {
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	var took []float64
	for range s.c {
		wg.Go(func() {
			var buf bytes.Buffer
			for {
				seq := int(next.Add(1)) - 1
				if seq >= s.n {
					return
				}
				writeMessage(&buf, s.run, seq, "root@src.test", fmt.Sprintf("u%d@dest.test", seq%100), s.size)
				c := exec.Command(args[0], args[1:]...)
				c.Stdin = bytes.NewReader(bytes.ReplaceAll(buf.Bytes(), []byte("\r\n"), []byte("\n")))
				start := time.Now()
				out, err := c.CombinedOutput()
				ms := float64(time.Since(start).Microseconds()) / 1000
				if err != nil && failed.Add(1) == 1 {
					fmt.Fprintf(os.Stderr, "%s: %v: %s\n", args[0], err, out)
				}
				mu.Lock()
				took = append(took, ms)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	fmt.Printf("%.3f %.3f %d\n", percentile(took, .5), percentile(took, .99), failed.Load())
}
