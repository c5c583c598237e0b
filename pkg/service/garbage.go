package service

import (
	"runtime"
	"runtime/metrics"
)

const (
	// garbage is about what a daemon may have beside what is alive: enough for
	// gcPercent as long as little is alive. In a burst of mail that waits in memory the
	// same percentage would be three times the burst.
	garbage = 24 << 20
	// leastPercent keeps the collector from running all the time where much is alive
	// for good.
	leastPercent = 25
)

// percentFor is how far the heap may grow beyond what is alive before it is collected.
func percentFor(alive uint64) int {
	if alive <= garbage*100/gcPercent {
		return gcPercent
	}
	return max(leastPercent, int(garbage*100/alive))
}

// collector is what was asked of the garbage collector.
type collector struct {
	percent int
	set     func(percent int) (before int) // debug.SetGCPercent
}

// tune sets the collector after each collection to what is alive now, until somebody
// else has asked it for something (as qmgr does, whose heap stays for days).
func tune(c *collector) {
	runtime.SetFinalizer(c, func(c *collector) {
		alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(alive)
		if alive[0].Value.Kind() != metrics.KindUint64 || !c.ask(percentFor(alive[0].Value.Uint64())) {
			return
		}
		tune(&collector{percent: c.percent, set: c.set}) // called once only for each
	})
}

// ask sets the percentage. It reports whether it is still ours to set.
func (c *collector) ask(percent int) bool {
	if percent == c.percent {
		return true
	}
	was := c.set(percent)
	if was != c.percent {
		c.set(was)
		return false
	}
	c.percent = percent
	return true
}
