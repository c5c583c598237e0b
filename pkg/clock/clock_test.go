package clock

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimersAreDueWhenTheClockIsMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(0)
		began := time.Now()
		soon, late := c.NewTimer(time.Hour), c.NewTimer(3*time.Hour)
		var called atomic.Int32
		c.AfterFunc(90*time.Minute, func() { called.Add(1) })
		c.MoveTo(2 * time.Hour)
		<-soon.C
		synctest.Wait()
		if called.Load() != 1 {
			t.Error("the function was not called")
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("that took %v", d)
		}
		<-late.C
		if d := time.Since(began); d != time.Hour {
			t.Errorf("three hours, two of them moved, took %v", d)
		}
	})
}

func TestAClockThatDoesNotMoveIsTheMachines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *Clock
		began := time.Now()
		if !c.Now().Equal(began) || c.Ahead() != 0 || c.Movable() {
			t.Error("it is another time")
		}
		<-c.After(time.Minute)
		timer := c.NewTimer(time.Minute)
		<-timer.C
		timer.Reset(time.Minute)
		<-timer.C
		done := make(chan struct{})
		c.AfterFunc(time.Minute, func() { close(done) })
		<-done
		c.OnMove(func() {})
		if d := time.Since(began); d != 4*time.Minute {
			t.Errorf("four minutes took %v", d)
		}
	})
}

func TestTheClockNeverGoesBack(t *testing.T) {
	c := New(time.Hour)
	c.MoveTo(time.Minute)
	if c.Ahead() != time.Hour {
		t.Errorf("it is ahead by %v", c.Ahead())
	}
}

func TestDifferencesFollowTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(0)
		before := c.Now()
		c.MoveTo(48 * time.Hour)
		time.Sleep(time.Second)
		if d := c.Now().Sub(before); d != 48*time.Hour+time.Second {
			t.Errorf("%v", d)
		}
		if d := c.Now().Round(0).Sub(before.Round(0)); d != 48*time.Hour+time.Second {
			t.Errorf("on the wall %v", d)
		}
	})
}

func TestATimerThatWasStoppedNeverFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(0)
		timer := c.NewTimer(time.Hour)
		if !timer.Stop() || timer.Stop() {
			t.Error("it ran once")
		}
		c.MoveTo(2 * time.Hour)
		time.Sleep(3 * time.Hour)
		select {
		case <-timer.C:
			t.Error("it fired")
		default:
		}
		if len(c.timers) != 0 {
			t.Errorf("%d timers are kept", len(c.timers))
		}
	})
}

func TestATimeThatNobodyTookIsNotLeftByReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(0)
		timer := c.NewTimer(time.Hour)
		c.MoveTo(time.Hour)
		synctest.Wait()
		began := c.Now()
		timer.Reset(time.Hour)
		if at := <-timer.C; at.Sub(began) != time.Hour {
			t.Errorf("it fired after %v", at.Sub(began))
		}
	})
}

func TestWhoAsksIsToldOfEachMove(t *testing.T) {
	c := New(0)
	var at []time.Duration
	c.OnMove(func() { at = append(at, c.Ahead()) })
	c.MoveTo(1)
	c.MoveTo(1)
	c.MoveTo(3)
	if len(at) != 2 || at[0] != 1 || at[1] != 3 {
		t.Errorf("told at %v", at)
	}
}
