package master

import "time"

const (
	// healthyAfter is how long a daemon must have lived for its end to count
	// as a first one.
	healthyAfter = time.Minute
	firstPause   = time.Second
	lastPause    = 30 * time.Second
)

// pace says how long to wait before a daemon is started again.
type pace struct{ ends int }

// next is the wait after an end, lived after its start.
func (p *pace) next(lived time.Duration) time.Duration {
	if lived >= healthyAfter {
		p.ends = 0
	}
	p.ends++
	if p.ends == 1 {
		return 0
	}
	wait := firstPause
	for range p.ends - 2 {
		if wait *= 2; wait >= lastPause {
			return lastPause
		}
	}
	return wait
}
