package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// What other work on the machine a run may meet and still be called quiet: part
// of one core, and ms for a flush.
const (
	quietCPU   = 0.3
	quietFlush = 4
)

// waitQuiet waits, at most 2 s, until the machine has been nearly idle for a
// moment, and returns the seconds waited.
func waitQuiet() float64 {
	start := time.Now()
	for time.Since(start) < 2*time.Second {
		before, _ := machineCPU()
		time.Sleep(400 * time.Millisecond)
		if now, _ := machineCPU(); now-before < 0.1 {
			break
		}
	}
	return time.Since(start).Seconds()
}

// probe is the median in ms of nine times create, write 5 KiB, flush: what the
// disk costs just now.
func probe(work string) float64 {
	dir := filepath.Join(work, "probe")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0
	}
	defer os.RemoveAll(dir)
	var took []float64
	for i := range 9 {
		start := time.Now()
		f, err := os.Create(fmt.Sprintf("%s/%d", dir, i))
		if err != nil {
			return 0
		}
		f.Write(make([]byte, 5120))
		f.Sync()
		f.Close()
		took = append(took, float64(time.Since(start).Microseconds())/1000)
	}
	return median(took)
}

// noisy tells whether other work disturbed a run.
func (m figures) noisy() bool {
	return m["wall_s"] > 0 && m["other_cpu_s"] > quietCPU*m["wall_s"] || m["probe_ms"] > quietFlush
}
