package script

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"filbert/pkg/proto"
)

// mostTicks is more attempts than any script makes.
const mostTicks = 200

// tick moves the clock to where the next message of the queue is due, and waits until it
// was tried, several times. So a script sees each attempt when it happens.
func tick(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) <= 1, "tick [N | all]")
	w, n := worldOf(ts), 1
	if len(args) == 1 && args[0] == "all" {
		n = mostTicks
	} else if len(args) == 1 {
		n = number(ts, args[0])
	}
	for range n {
		if !w.tickOnce(ts) {
			if n < mostTicks {
				ts.Fatalf("no message of the queue is due at any time")
			}
			return
		}
	}
	if n == mostTicks {
		ts.Fatalf("messages are still in the queue after %d attempts", n)
	}
}

// tickOnce is false when nothing will be tried.
func (w *world) tickOnce(ts *testscript.TestScript) bool {
	var next *proto.QueueItem
	until(ts, func() (bool, string) {
		next = nil
		list, err := w.queue()
		for i, m := range list {
			if m.State == "active" {
				return false, m.ID + " is being tried"
			}
			if m.NextAttempt != nil && (next == nil || m.NextAttempt.Before(*next.NextAttempt)) {
				next = &list[i]
			}
		}
		return err == nil, fmt.Sprint(err)
	})
	if next == nil {
		return false
	}
	var c proto.ClockAnswer
	out, err := exec.Command(w.program("mtactl"), "-C", w.inst, "clock", "--json").Output()
	ts.Check(err)
	ts.Check(json.Unmarshal(out, &c))
	if ahead := next.NextAttempt.Sub(c.Now).Truncate(time.Millisecond); ahead > 0 {
		out, err = exec.Command(w.program("mtactl"), "-C", w.inst, "clock", "+"+ahead.String()).CombinedOutput()
		if err != nil {
			ts.Fatalf("move the clock by %s: %v: %s", ahead, err, out)
		}
	}
	until(ts, func() (bool, string) {
		list, err := w.queue()
		for _, m := range list {
			if m.ID == next.ID {
				return m.State != "active" && (m.NextAttempt == nil || !m.NextAttempt.Equal(*next.NextAttempt)), m.ID + " was not tried when it was due"
			}
		}
		return err == nil, fmt.Sprint(err)
	})
	return true
}

func (w *world) queue() ([]proto.QueueItem, error) {
	out, err := exec.Command(w.program("mtactl"), "-C", w.inst, "queue", "list", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("mtactl queue list: %w", err)
	}
	var list []proto.QueueItem
	for line := range strings.Lines(string(out)) {
		var m proto.QueueItem
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return nil, fmt.Errorf("mtactl queue list: %w", err)
		}
		list = append(list, m)
	}
	return list, nil
}

// timesTolerance is what a busy machine may be late by.
const timesTolerance = 2 * time.Second

// times compares when things happened by the log: those that match, and no others, came so
// long after the first of them.
func times(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 1, "times REGEXP AFTER...")
	w, re := worldOf(ts), pattern(ts, args[0])
	var lines []string
	until(ts, func() (bool, string) {
		lines = matching(w.log(), re)
		return len(lines) >= len(args), fmt.Sprintf("%d lines of the log match %s, %d are wanted:\n%s", len(lines), re, len(args), strings.Join(lines, "\n"))
	})
	var first time.Time
	var got []string
	ok := len(lines) == len(args)
	for i, line := range lines {
		stamp, _, _ := strings.Cut(line, " ")
		at, err := time.Parse(time.RFC3339Nano, stamp)
		ts.Check(err)
		if i == 0 {
			first = at
			continue
		}
		after := at.Sub(first)
		got = append(got, after.Round(100*time.Millisecond).String())
		if i < len(args) {
			want, err := time.ParseDuration(args[i])
			ts.Check(err)
			ok = ok && after >= want-timesTolerance/2 && after <= want+timesTolerance
		}
	}
	if !ok {
		ts.Fatalf("what matches %s came after\n%s\nnot after\n%s", re, strings.Join(got, " "), strings.Join(args[1:], " "))
	}
}
