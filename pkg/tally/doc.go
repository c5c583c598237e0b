// Package tally counts what a process does and how long that takes, so that
// somebody can say what an optimisation saves.
//
// It promises that counting costs two additions: no lock, no allocation, nothing
// that could wait. A Figure that is nil counts nothing, so who counts need not know
// whether anybody wants to know. What is counted belongs to the process and ends with
// it. Figures are read one after another while they change: a snapshot is not of one
// moment, and a mean of two thousand things may be of one thing more or less.
//
// It refuses to have names that come from outside: a Set has the figures that the
// program asks it for, and these are constants (pkg/proto, stats.go).
package tally
