package main

import (
	"strings"
	"testing"
)

const perfOutput = `
 cleanup   100 syscalls:sys_enter_fdatasync: fd: 0x00000007
 cleanup   900 syscalls:sys_enter_fdatasync: fd: 0x00000007
 local deliver   100 sched:sched_process_fork: comm=local pid=100 child_comm=local child_pid=101
 local   101 syscalls:sys_enter_renameat2: olddfd: 0xffffffffffffff9c
 local   102 syscalls:sys_enter_renameat2: olddfd: 0xffffffffffffff9c
`

// Other instances on the machine have processes of the same names.
func TestCallsAreCountedInTheFamilyOnly(t *testing.T) {
	m := countCalls(strings.NewReader(perfOutput), map[string]bool{"100": true}, 2)
	for kind, want := range map[string]float64{"fsync": 0.5, "by cleanup:fdatasync": 0.5, "rename": 0.5, "fork": 0.5} {
		if m[kind] != want {
			t.Errorf("%s: %v per message, not %v", kind, m[kind], want)
		}
	}
}
