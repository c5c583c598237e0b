package lookup

import (
	"fmt"
	"strings"
)

// Problem is one mistake in a file.
type Problem struct {
	File string
	Line int // 0: the file as a whole
	Text string
}

// String is the form that editors jump to: file:line: text.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// maxProblems bounds what is reported of one file: whoever gave us the wrong
// file altogether needs no million lines.
const maxProblems = 20

// Problems are the mistakes of one file, as an error. More counts those that
// were left off.
type Problems struct {
	List []Problem
	More int
}

// Add notes a mistake.
func (ps *Problems) Add(file string, line int, format string, args ...any) {
	if len(ps.List) == maxProblems {
		ps.More++
		return
	}
	ps.List = append(ps.List, Problem{file, line, fmt.Sprintf(format, args...)})
}

// Err is ps as an error, nil when there is no mistake.
func (ps *Problems) Err() error {
	if len(ps.List) == 0 {
		return nil
	}
	return ps
}

// Error is all of them, in one line.
func (ps *Problems) Error() string {
	lines := make([]string, len(ps.List))
	for i, p := range ps.List {
		lines[i] = p.String()
	}
	if ps.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", ps.More))
	}
	return strings.Join(lines, "; ")
}
