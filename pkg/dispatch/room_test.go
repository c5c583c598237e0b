package dispatch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
)

func TestRoomIsGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r room
		if !r.tryTake(maxLeaves - 10) {
			t.Fatal("no room in an empty dispatch")
		}
		got := make(chan int, 2)
		for _, n := range []int{100, 5} { // the small one must not overtake for ever
			go func() {
				if r.take(context.Background(), n) == nil {
					got <- n
				}
			}()
			synctest.Wait()
		}
		if len(got) != 0 || r.tryTake(1) {
			t.Error("somebody overtook the first")
		}
		r.give(maxLeaves - 10)
		synctest.Wait()
		if len(got) != 2 || r.used != 105 {
			t.Errorf("%d have room, %d used", len(got), r.used)
		}
	})
}

func TestWhoLeavesLetsTheNextIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r room
		r.tryTake(maxLeaves - 10)
		ctx, cancel := context.WithCancel(context.Background())
		left := make(chan error, 1)
		go func() { left <- r.take(ctx, 100) }()
		synctest.Wait()
		next := make(chan error, 1)
		go func() { next <- r.take(context.Background(), 5) }()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, errNoRoom) {
			t.Errorf("got %v", err)
		}
		if err := <-next; err != nil {
			t.Error(err)
		}
	})
}

// Lists that find no room wait as they are, and have been tried not at all.
func TestLargeListWaitsForRoom(t *testing.T) {
	r := newRig(t)
	r.route = func(rc envelope.Recipient) []proto.Leaf { return list(rc, freeLeaves+1) }
	r.d.room.tryTake(maxLeaves)
	r.d.patience = 0
	f := r.accept("list@x.example")
	id := f.env.ID
	if got := r.first(f); got.State != proto.SettledWaiting || !got.Summary.Busy || len(r.locals) != 0 {
		t.Fatalf("got %+v", got)
	}
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledBusy {
		t.Fatalf("state %d, want busy", got.State)
	}
	r.d.room.give(maxLeaves)
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone {
		t.Fatalf("state %d, want gone", got.State)
	}
	if r.d.room.used != 0 {
		t.Errorf("%d leaves are still counted", r.d.room.used)
	}
}

func TestMessageWithVeryManyRecipientsWaitsForRoom(t *testing.T) {
	r := newRig(t)
	r.d.room.tryTake(maxLeaves)
	r.d.patience = 0
	f := r.accept("a@x.example")
	for range freeLeaves {
		f.env.Recipients = append(f.env.Recipients, f.env.Recipients[0])
	}
	if got := r.first(f); got.State != proto.SettledWaiting || !got.Summary.Busy || len(r.jobs) != 0 {
		t.Errorf("got %+v after %d jobs", got, len(r.jobs))
	}
}
