package qmgr

import "runtime/debug"

const (
	// manyMessages is how many are needed for the schedule to be what the daemon's
	// memory is made of.
	manyMessages = 50_000
	// frugalGC lets the heap grow by so many percent of what is alive before it is
	// collected. What other daemons do, 200, would make three times as much of a schedule
	// that stays for days.
	frugalGC = 40
)

// beFrugal trades processor time for memory once there are many messages. It stays so: a
// queue that has been long once may be so again.
func (q *Manager) beFrugal() {
	q.mu.Lock()
	many := q.sched.all.n >= manyMessages
	q.mu.Unlock()
	if many && q.frugal.CompareAndSwap(false, true) {
		debug.SetGCPercent(frugalGC)
	}
}
