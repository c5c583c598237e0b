package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	groupsV1 = "/sys/fs/cgroup/cpuacct"
	groupsV2 = "/sys/fs/cgroup"
)

// makeGroup makes a control group in whichever hierarchy the machine has.
func makeGroup(name string) (string, error) {
	dir := filepath.Join(groupsV1, name)
	if _, err := os.Stat(groupsV1); err != nil {
		dir = filepath.Join(groupsV2, name)
	}
	return dir, os.MkdirAll(dir, 0o755)
}

func (p *peer) pids() []int {
	b, err := os.ReadFile(p.group + "/cgroup.procs")
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range strings.Fields(string(b)) {
		out = append(out, int(number(f)))
	}
	return out
}

// cpuTime is in seconds.
type cpuTime struct{ total, user, sys float64 }

func (a cpuTime) since(b cpuTime) cpuTime {
	return cpuTime{a.total - b.total, a.user - b.user, a.sys - b.sys}
}

// cpu is what all processes of the peer have used, those that have ended too.
func (p *peer) cpu() cpuTime {
	if b, err := os.ReadFile(p.group + "/cpu.stat"); err == nil { // version 2
		v := map[string]float64{}
		for line := range strings.Lines(string(b)) {
			if k, n, ok := strings.Cut(line, " "); ok {
				v[k] = number(strings.TrimSpace(n)) / 1e6
			}
		}
		if v["usage_usec"] > 0 {
			return cpuTime{v["usage_usec"], v["user_usec"], v["system_usec"]}
		}
	}
	of := func(name string) float64 {
		b, err := os.ReadFile(p.group + "/" + name)
		if err != nil {
			return 0
		}
		return number(strings.TrimSpace(string(b))) / 1e9
	}
	return cpuTime{of("cpuacct.usage"), of("cpuacct.usage_user"), of("cpuacct.usage_sys")}
}

// machineCPU is the busy and the stolen time of the whole machine in seconds.
func machineCPU() (busy, steal float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, s := range strings.Fields(line)[1:] {
		switch i {
		case 0, 1, 2, 5, 6: // user nice system irq softirq
			busy += number(s) / 100
		case 7:
			steal += number(s) / 100
		}
	}
	return busy, steal
}

// selfCPU is what the harness itself and its children have used.
func selfCPU() float64 {
	var total float64
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if syscall.Getrusage(who, &r) == nil {
			total += float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
		}
	}
	return total
}

// memory is in MiB.
type memory struct {
	pss, rss float64
	procs    int
}

// memory sums up over the peer's processes, or over those whose command line
// contains filter. PSS charges each page to those who share it, in equal parts.
func (p *peer) memory(filter string) memory {
	var m memory
	for _, pid := range p.pids() {
		if filter != "" && !strings.Contains(commandLine(pid), filter) {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		m.procs++
		sc := bufio.NewScanner(bytes.NewReader(b))
		for sc.Scan() {
			f := strings.Fields(sc.Text())
			switch {
			case len(f) < 2:
			case f[0] == "Pss:":
				m.pss += number(f[1]) / 1024
			case f[0] == "Rss:":
				m.rss += number(f[1]) / 1024
			}
		}
	}
	return m
}

func commandLine(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(string(b), "\x00", " ")
}

// number is 0 for what is none: these are the kernel's files and our own flags.
func number(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return f
}
