package rig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one of the suite's. Its start time tells it from a later one with
// the same number.
type Process struct {
	Name  string
	PID   int
	start string
}

// Master is the living master, ok is false if there is none.
func (s *Suite) Master() (p Process, ok bool) {
	b, err := os.ReadFile(filepath.Join(s.Dir, "run", "master.lock"))
	if err != nil {
		return p, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return p, false
	}
	all := processes()
	e, ok := all[pid]
	return e.Process, ok && e.Name == "master"
}

// Running are master and all below it.
func (s *Suite) Running() []Process {
	top, ok := s.Master()
	if !ok {
		return nil
	}
	all := processes()
	out := []Process{top}
	for i := 0; i < len(out); i++ {
		for _, e := range all {
			if e.parent == out[i].PID {
				out = append(out, e.Process)
			}
		}
	}
	return out
}

type entry struct {
	Process
	parent int
}

// processes are all living ones of the machine.
func processes() map[int]entry {
	list, _ := os.ReadDir("/proc")
	out := map[int]entry{}
	for _, d := range list {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if e, ok := look(pid); ok {
			out[pid] = e
		}
	}
	return out
}

// look reads about one process. One that has ended and was not asked for its
// status is gone.
func look(pid int) (entry, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return entry{}, false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	f := strings.Fields(string(rest))
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return entry{}, false
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return entry{}, false
	}
	argv := strings.Split(string(args), "\x00")
	e := entry{Process: Process{Name: filepath.Base(argv[0]), PID: pid, start: f[19]}}
	if len(argv) > 1 && argv[1] == "--child" {
		e.Name = "local-child"
	}
	e.parent, _ = strconv.Atoi(f[1])
	return e, true
}

// Alive tells whether this very process still runs.
func (p Process) Alive() bool {
	e, ok := look(p.PID)
	return ok && e.start == p.start
}

// Descriptors is how many a process has open.
func (p Process) Descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.PID))
	if err != nil {
		return -1
	}
	return len(list)
}
