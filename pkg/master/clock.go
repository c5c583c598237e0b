package master

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/event"
	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
	"filbert/pkg/settings"
)

// The clock of a private instance that is there to try things out. Master keeps it, and
// tells it to each of its processes; what master itself does for them (pauses before a
// restart, bounds) goes by the machine's clock all the same.

// clockTimeout bounds a daemon's answer that its clock is moved.
const clockTimeout = 5 * time.Second

// mostAhead is how far the clock may be ahead: queue ids hold until 2089.
const mostAhead = 20 * 365 * 24 * time.Hour

var (
	errClockFixed  = errors.New("the clock of this instance can't be moved")
	errClockTooFar = errors.New("the clock would be more than 20 years ahead")
)

// clockOf is the clock of an instance, nil where it is the machine's.
func clockOf(s *settings.Settings) *clock.Clock {
	if !s.Testing.MoveClock || !s.Instance.Private {
		return nil
	}
	return clock.New(s.Testing.ClockAhead.D())
}

// moveClock moves the clocks of all processes, one after the other in the order in which
// mail flows: who schedules comes behind who attempts, and finds him at the same time.
func (m *Master) moveClock(ctx context.Context, by time.Duration) error {
	if !m.clock.Movable() {
		return errClockFixed
	}
	m.moving.Lock()
	defer m.moving.Unlock()
	if by > mostAhead-m.clock.Ahead() { // the sum of the two may be too much for a Duration
		return errClockTooFar
	}
	ahead := m.clock.Ahead() + by
	m.clock.MoveTo(ahead)
	m.log.Emit(event.State{Now: "clock moved", Why: "by " + by.String() + "; it is ahead by " + ahead.String()})
	var failed []error
	for _, s := range m.order {
		s.each(func(c *child) {
			if c.isReady() {
				failed = append(failed, m.tellClock(ctx, c))
			}
		})
	}
	return errors.Join(failed...)
}

// tellClock moves the clock of one process.
func (m *Master) tellClock(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, clockTimeout)
	defer cancel()
	err := c.conn.Call(ctx, &proto.MoveClock{Ahead: m.clock.Ahead()}, &proto.ClockMoved{})
	if err == nil {
		return nil
	}
	select {
	case <-c.exited:
		return nil // the next one is told at its start
	default:
		return fmt.Errorf("move the clock of %s: %w", c.service, err)
	}
}

// repeatClock tells a process that has just come up what changed since its start frame was
// made.
func (m *Master) repeatClock(c *child) {
	if m.clock.Ahead() == 0 {
		return
	}
	if err := m.tellClock(context.Background(), c); err != nil {
		m.log.Emit(event.TroubleOf(0, "bring up "+string(c.service), err))
	}
}

func (m *Master) getClock(w http.ResponseWriter, _ *http.Request) {
	admin.Answer(w, http.StatusOK, &proto.ClockAnswer{Now: m.clock.Now(), Movable: m.clock.Movable(), Ahead: m.clock.Ahead()})
}

func (m *Master) postClock(w http.ResponseWriter, r *http.Request) {
	var req proto.ClockRequest
	if err := admin.Decode(r, &req); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	var by settings.Duration
	if err := by.UnmarshalText([]byte(req.By)); err != nil || by <= 0 {
		admin.Fail(w, http.StatusBadRequest, "by: no time, or not ahead", "2h, 3d or '1 week': a clock never goes back")
		return
	}
	if err := m.moveClock(r.Context(), by.D()); err != nil {
		switch {
		case errors.Is(err, errClockFixed):
			admin.Fail(w, http.StatusUnprocessableEntity, err.Error(),
				"only that of a private instance can, whose configuration says [testing] move_clock = true when it starts")
		case errors.Is(err, errClockTooFar):
			admin.Fail(w, http.StatusUnprocessableEntity, err.Error(), "")
		default:
			admin.Fail(w, http.StatusServiceUnavailable, err.Error(), "mtactl status tells which daemon is in trouble")
		}
		return
	}
	m.getClock(w, r)
}
