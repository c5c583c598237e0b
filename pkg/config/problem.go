package config

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// ErrInvalid is wrapped by Load when a configuration has mistakes; the
// problems tell which.
var ErrInvalid = errors.New("the configuration has mistakes")

// ErrNoInstance is wrapped by Load when there is no configuration file.
var ErrNoInstance = errors.New("no configuration")

// Pos is a place in a file. Line 0 is the file as a whole.
type Pos struct {
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"column,omitempty"`
}

// String is file:line:column as compilers write it.
func (p Pos) String() string {
	switch {
	case p.File == "":
		return "default"
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Severity says whether a problem stops the suite.
type Severity string

// The severities.
const (
	Mistake Severity = "error"   // the configuration cannot be used
	Doubt   Severity = "warning" // it can, but was it meant?
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Severity Severity `json:"severity"`
	Pos      Pos      `json:"position"`
	Key      string   `json:"key,omitempty"`  // "listen[1].address"
	What     string   `json:"what"`           // and why
	Hint     string   `json:"hint,omitempty"` // what to do
}

// String is the problem on one line, the hint on a second.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", p.Pos)
	if p.Severity == Doubt {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		fmt.Fprintf(&b, "\n    %s", p.Hint)
	}
	return b.String()
}

// Mistakes counts the problems that stop the suite.
func Mistakes(problems []Problem) int {
	n := 0
	for _, p := range problems {
		if p.Severity == Mistake {
			n++
		}
	}
	return n
}

// report collects problems.
type report struct {
	problems []Problem
}

func (r *report) mistake(pos Pos, key, what, hint string) {
	r.problems = append(r.problems, Problem{Mistake, pos, key, what, hint})
}

func (r *report) doubt(pos Pos, key, what, hint string) {
	r.problems = append(r.problems, Problem{Doubt, pos, key, what, hint})
}

// sorted is the problems in the order of files, as given, and lines, so that
// one can go through a file with them.
func (r *report) sorted(files []string) []Problem {
	order := make(map[string]int, len(files))
	for i, f := range files {
		order[f] = i + 1
	}
	sort.SliceStable(r.problems, func(i, j int) bool {
		a, b := r.problems[i].Pos, r.problems[j].Pos
		if a.File != b.File {
			return order[a.File] < order[b.File]
		}
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		return a.Col < b.Col
	})
	return r.problems
}
