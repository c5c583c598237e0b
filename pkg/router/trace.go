package router

import (
	"fmt"
	"strings"

	"filbert/pkg/proto"
)

// Bounds of an explanation: those of proto.RouteAnswer, with room to spare.
const (
	maxTraceSteps = 50_000
	maxTraceText  = 2000
)

// trace collects the steps of an explanation. A nil trace collects nothing; ask
// on before doing work for a step.
type trace struct {
	steps []proto.Step
	depth int
}

func (t *trace) on() bool { return t != nil }

// step adds one step at the present depth.
func (t *trace) step(s proto.Step) {
	if t == nil || len(t.steps) >= maxTraceSteps {
		return
	}
	s.Depth += t.depth
	if len(s.Why) > maxTraceText {
		s.Why = strings.ToValidUTF8(s.Why[:maxTraceText], "") + "..."
	}
	t.steps = append(t.steps, s)
}

// address begins what is told of an address.
func (t *trace) address(name string) { t.step(proto.Step{Kind: "address", Name: name}) }

// note adds a remark on the step before it.
func (t *trace) note(format string, args ...any) {
	if t != nil {
		t.step(proto.Step{Depth: 1, Kind: "note", Why: fmt.Sprintf(format, args...)})
	}
}

// add adds a remark on the address.
func (t *trace) add(format string, args ...any) {
	if t != nil {
		t.step(proto.Step{Kind: "note", Why: strings.TrimLeft(fmt.Sprintf(format, args...), " ")})
	}
}

// at sets the depth of the steps that follow.
func (t *trace) at(depth int) {
	if t != nil {
		t.depth = min(depth, 100)
	}
}

func (t *trace) all() []proto.Step {
	if t == nil {
		return nil
	}
	return t.steps
}
