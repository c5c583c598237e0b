package service

import (
	"syscall"
	"time"

	"filbert/pkg/proto"
)

// stats is what the process has counted, and the processor time that it took: from the
// kernel, which counts it anyway.
func (p *Process) stats() *proto.Stats {
	m := new(proto.Stats)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if syscall.Getrusage(who, &u) != nil {
			continue
		}
		m.CPU += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		m.Switches += u.Nvcsw + u.Nivcsw
	}
	for _, r := range p.Tally.Read() {
		if len(m.Figures) < proto.MaxFigures {
			m.Figures = append(m.Figures, proto.Figure{Name: r.Name, Count: r.Count, Time: r.Time})
		}
	}
	return m
}
