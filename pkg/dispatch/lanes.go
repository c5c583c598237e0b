package dispatch

// lanes hands out the jobs of one flight, in turn between their destinations and
// not more of one at a time than may be delivered there: a list whose members each
// have a sender of their own is a thousand jobs for one server, and must neither
// keep the flight's other jobs waiting nor fill the queue of that server, in
// which the messages of others wait too. It is pure, and for one goroutine.
type lanes struct {
	jobs  []job
	most  int // for each destination
	of    map[destKey]*lane
	ready []*lane // have waiting jobs and may begin one, in turn
}

type lane struct {
	waiting []int // jobs
	running int
	queued  bool // is in lanes.ready
}

func newLanes(jobs []job, perDestination int) *lanes {
	l := &lanes{jobs: jobs, most: max(1, perDestination), of: map[destKey]*lane{}}
	for i := range jobs {
		key := jobs[i].dest
		at := l.of[key]
		if at == nil {
			at = &lane{}
			l.of[key] = at
		}
		at.waiting = append(at.waiting, i)
		l.queue(at)
	}
	return l
}

func (l *lanes) queue(at *lane) {
	if !at.queued && len(at.waiting) > 0 && at.running < l.most {
		at.queued = true
		l.ready = append(l.ready, at)
	}
}

// next is a job to begin, if there is one that may begin now.
func (l *lanes) next() (job int, ok bool) {
	if len(l.ready) == 0 {
		return 0, false
	}
	at := l.ready[0]
	l.ready = l.ready[1:]
	at.queued = false
	job = at.waiting[0]
	at.waiting = at.waiting[1:]
	at.running++
	l.queue(at)
	return job, true
}

// ended makes room where a job is done.
func (l *lanes) ended(job int) {
	at := l.of[l.jobs[job].dest]
	at.running--
	l.queue(at)
}
