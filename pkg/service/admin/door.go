package admin

import (
	"sync"
	"time"

	"filbert/pkg/proto"
)

const (
	// maxGuests bounds the connections of all users together: who commands many user
	// ids (those of a container) must not take our descriptors.
	maxGuests = 64
	// workPrice is what a second of work costs, in requests: nobody has more than
	// MineRate/workPrice of one processor in the long run.
	workPrice = 25
	// maxDebt is how far below nothing work can take a user, in requests.
	maxDebt = 100
	// maxBuckets bounds the memory of who came lately; the full ones go first.
	maxBuckets = 4096
)

// door decides who of the machine's users comes in, and how often. It is pure but
// for its lock: the caller brings the time.
type door struct {
	mu      sync.Mutex
	inside  map[uint32]int // connections, by user id
	guests  int
	buckets map[uint32]bucket
}

// bucket is what a user may still ask for; it fills with time.
type bucket struct {
	left float64
	at   time.Time
}

func newDoor() *door { return &door{inside: map[uint32]int{}, buckets: map[uint32]bucket{}} }

// enter counts a connection, or refuses it. leave must follow when it entered.
func (d *door) enter(uid uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.guests >= maxGuests || d.inside[uid] >= proto.MinePerUser {
		return false
	}
	d.guests++
	d.inside[uid]++
	return true
}

func (d *door) leave(uid uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.guests--
	if d.inside[uid]--; d.inside[uid] <= 0 {
		delete(d.inside, uid)
	}
}

// ask takes one request, or says how long to wait for the next.
func (d *door) ask(uid uint32, now time.Time) (wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.bucketLocked(uid, now)
	if b.left < 1 {
		return time.Duration((1 - b.left) / proto.MineRate * float64(time.Second))
	}
	b.left--
	d.buckets[uid] = b
	return 0
}

// charge takes the price of work that was done for a user.
func (d *door) charge(uid uint32, work time.Duration, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.bucketLocked(uid, now)
	b.left = max(b.left-work.Seconds()*workPrice, -maxDebt)
	d.buckets[uid] = b
}

// bucketLocked is a user's as it is now. Of somebody who did not come lately it is
// full.
func (d *door) bucketLocked(uid uint32, now time.Time) bucket {
	b, known := d.buckets[uid]
	if !known {
		if len(d.buckets) >= maxBuckets {
			d.forgetLocked(now)
		}
		return bucket{proto.MineBurst, now}
	}
	if gone := now.Sub(b.at).Seconds(); gone > 0 {
		b.left = min(b.left+gone*proto.MineRate, proto.MineBurst)
	}
	b.at = now
	return b
}

// forgetLocked drops those who are as if they had never come.
func (d *door) forgetLocked(now time.Time) {
	for uid, b := range d.buckets {
		if b.left+now.Sub(b.at).Seconds()*proto.MineRate >= proto.MineBurst {
			delete(d.buckets, uid)
		}
	}
}
