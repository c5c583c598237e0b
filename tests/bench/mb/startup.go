package main

import "time"

// startup measures from the call to the first greeting, and the memory at rest.
func (b *bench) startup(p *peer) (figures, error) {
	took, err := p.start("relay")
	defer p.stop()
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	mem := p.memory("")
	return figures{"start_ms": float64(took.Microseconds()) / 1000, "idle_pss_mb": mem.pss, "idle_rss_mb": mem.rss,
		"procs": float64(mem.procs)}, nil
}
