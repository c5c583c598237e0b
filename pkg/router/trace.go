package router

import (
	"fmt"
	"strings"
)

// Bounds of an explanation: those of proto.RouteAnswer, with room to spare.
const (
	maxTraceLines = 50_000
	maxTraceLine  = 2000
)

// trace collects the lines of an explanation. A nil trace collects nothing;
// ask on before doing work for a line.
type trace struct {
	lines []string
	depth int
}

func (t *trace) on() bool { return t != nil }

// add adds one line at the present depth.
func (t *trace) add(format string, args ...any) {
	if t == nil || len(t.lines) >= maxTraceLines {
		return
	}
	line := strings.Repeat("  ", t.depth) + fmt.Sprintf(format, args...)
	if len(line) > maxTraceLine {
		line = strings.ToValidUTF8(line[:maxTraceLine], "") + "..."
	}
	t.lines = append(t.lines, line)
}

// at sets the depth of the lines that follow.
func (t *trace) at(depth int) {
	if t != nil {
		t.depth = min(depth, 100)
	}
}

func (t *trace) all() []string {
	if t == nil {
		return nil
	}
	return t.lines
}
