package master

import (
	"os"
	"strconv"
	"syscall"
)

// CloseInherited keeps descriptors that master's own parent left open from
// reaching the daemons. It is for the first moment of the program.
func CloseInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // without /proc the daemons get what our parent left open
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}
