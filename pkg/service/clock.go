package service

import (
	"errors"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
)

// moveClock is master's call.
func moveClock(p *Process, call *ipc.Call) error {
	var m proto.MoveClock
	if err := call.Decode(&m); err != nil {
		return err
	}
	if !p.Clock.Movable() {
		return call.Violation(errors.New("a clock that does not move is to be moved"))
	}
	p.Clock.MoveTo(m.Ahead)
	call.Reply(&proto.ClockMoved{})
	return nil
}
