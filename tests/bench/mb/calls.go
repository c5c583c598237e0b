package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// events are the tracepoints that perf records.
var events = []string{
	"syscalls:sys_enter_fsync", "syscalls:sys_enter_fdatasync", "syscalls:sys_enter_sync_file_range",
	"syscalls:sys_enter_sync", "syscalls:sys_enter_syncfs",
	"syscalls:sys_enter_rename", "syscalls:sys_enter_renameat", "syscalls:sys_enter_renameat2",
	"syscalls:sys_enter_unlink", "syscalls:sys_enter_unlinkat",
	"syscalls:sys_enter_link", "syscalls:sys_enter_linkat",
	"syscalls:sys_enter_connect", "sched:sched_process_fork", "sched:sched_process_exec",
}

func (b *bench) callsRelay(p *peer) (figures, error) {
	return p.traced(func() (figures, error) { return b.relay(p, 10, true, 300) })
}

func (b *bench) callsLocal(p *peer) (figures, error) {
	return p.traced(func() (figures, error) { return b.local(p, "maildir", localUsers, 300) })
}

// traced counts the calls per message that the peer's processes make, over the
// whole machine, while work runs.
func (p *peer) traced(work func() (figures, error)) (figures, error) {
	file := filepath.Join(os.TempDir(), fmt.Sprintf("mb-perf-%d", os.Getpid()))
	defer os.Remove(file)
	args := []string{"record", "-q", "-a", "-m", "1024", "-o", file, "-e", strings.Join(events, ",")}
	rec := exec.Command("perf", args...)
	if err := rec.Start(); err != nil {
		return nil, fmt.Errorf("perf (Debian: linux-perf): %w", err)
	}
	time.Sleep(1200 * time.Millisecond) // until perf has opened its events
	family := map[string]bool{}
	for _, pid := range p.pids() {
		family[fmt.Sprint(pid)] = true
	}
	for _, tid := range p.threads() {
		family[tid] = true
	}
	m, err := work()
	p.settle()
	time.Sleep(300 * time.Millisecond)
	rec.Process.Signal(os.Interrupt)
	rec.Wait() // ends by the signal
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("perf", "script", "-i", file, "-F", "comm,tid,event,trace").Output()
	if err != nil {
		return nil, fmt.Errorf("perf script: %w", err)
	}
	return countCalls(bytes.NewReader(out), family, m["n"]), nil
}

// threads are the thread ids of all processes of the peer.
func (p *peer) threads() (tids []string) {
	for _, pid := range p.pids() {
		// The pattern is well formed.
		dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, d := range dirs {
			tids = append(tids, filepath.Base(d))
		}
	}
	return tids
}

// countCalls reads what perf script prints, in order of time: command, thread,
// event, fields. The family grows with each fork in it.
func countCalls(r io.Reader, family map[string]bool, n float64) figures {
	m := figures{}
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		comm, tid, event, fields, ok := perfLine(sc.Text())
		if !ok || !family[tid] {
			continue
		}
		if event == "sched_process_fork" {
			if child := field(fields, "child_pid="); child != "" {
				family[child] = true
			}
		}
		kind := callKind(event)
		m[kind] += 1 / n
		if kind == "fsync" {
			m["by "+comm+":"+strings.TrimPrefix(event, "sys_enter_")] += 1 / n
		}
	}
	return m
}

// perfLine splits `comm tid group:event: fields`; comm may have blanks.
func perfLine(s string) (comm, tid, event, fields string, ok bool) {
	f := strings.Fields(s)
	for i := 2; i < len(f); i++ {
		group, name, found := strings.Cut(strings.TrimSuffix(f[i], ":"), ":")
		if !found || group != "syscalls" && group != "sched" {
			continue
		}
		return strings.Join(f[:i-1], " "), f[i-1], name, strings.Join(f[i+1:], " "), true
	}
	return "", "", "", "", false
}

func field(fields, name string) string {
	_, after, found := strings.Cut(fields, " "+name)
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(after, " ")
	return value
}

func callKind(event string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(event, "sys_enter_"), "sched_process_")
	for _, kind := range []string{"rename", "unlink", "link"} {
		if strings.HasPrefix(name, kind) {
			return kind
		}
	}
	if strings.Contains(name, "sync") {
		return "fsync"
	}
	return name
}
