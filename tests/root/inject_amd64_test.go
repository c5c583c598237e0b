package root

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// inmate is a stopped thread of a running daemon that makes system calls for us.
//
// Every call is made by the thread itself: its registers are set, it is stepped
// over one syscall instruction of its own program, and set back. The kernel
// cannot tell this from the daemon's own doing, so its answer is the one that
// somebody who had taken the daemon over would get.
type inmate struct {
	t       *testing.T
	pid     int
	before  syscall.PtraceRegs
	gate    uint64 // where a syscall instruction lies
	scratch uint64 // a page of the daemon's, for what pointers point to
	used    uint64
}

const scratchSize = 1 << 16

// arrest runs f on a thread of process pid.
func arrest(t *testing.T, pid int, f func(*inmate)) {
	t.Helper()
	// The kernel knows the tracer by its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := syscall.PtraceAttach(pid); err != nil {
		t.Fatalf("ptrace %d: %v (this test needs CAP_SYS_PTRACE)", pid, err)
	}
	in := &inmate{t: t, pid: pid}
	if _, err := in.wait(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.PtraceGetRegs(pid, &in.before); err != nil {
		t.Fatal(err)
	}
	in.gate = in.findGate()
	defer in.release()
	in.scratch = uint64(in.must("mmap", syscall.SYS_MMAP, 0, scratchSize,
		syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON, ^uintptr(0), 0))
	f(in)
	in.must("munmap", syscall.SYS_MUNMAP, uintptr(in.scratch), scratchSize)
}

// release lets the daemon go on where it was: registers as they were make the
// kernel restart the call that it was waiting in.
func (in *inmate) release() {
	if err := syscall.PtraceSetRegs(in.pid, &in.before); err != nil {
		in.t.Errorf("set the registers of %d back: %v", in.pid, err)
	}
	if err := syscall.PtraceDetach(in.pid); err != nil {
		in.t.Errorf("let %d go: %v", in.pid, err)
	}
}

// wait waits for a stop by sig. Other signals are the runtime's, which sends
// them again.
func (in *inmate) wait(sig syscall.Signal) (syscall.WaitStatus, error) {
	for {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(in.pid, &ws, syscall.WALL, nil); errors.Is(err, syscall.EINTR) {
			continue
		} else if err != nil {
			return ws, fmt.Errorf("wait for %d: %w", in.pid, err)
		}
		if !ws.Stopped() {
			return ws, fmt.Errorf("process %d has ended: %v", in.pid, ws)
		}
		if ws.StopSignal() == sig {
			return ws, nil
		}
		resume := syscall.PtraceSingleStep
		if sig == syscall.SIGSTOP {
			resume = func(pid int) error { return syscall.PtraceCont(pid, 0) }
		}
		if err := resume(in.pid); err != nil {
			return ws, err
		}
	}
}

// findGate finds the bytes of a syscall instruction in the daemon's program.
func (in *inmate) findGate() uint64 {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", in.pid))
	if err != nil {
		in.t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", in.pid))
	if err != nil {
		in.t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var perm string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perm); err != nil || perm != "r-xp" {
			continue
		}
		text := make([]byte, to-from)
		if _, err := mem.ReadAt(text, int64(from)); err != nil {
			continue // vsyscall and the like
		}
		if i := bytes.Index(text, []byte{0x0f, 0x05}); i >= 0 {
			return from + uint64(i)
		}
	}
	in.t.Fatalf("process %d has no syscall instruction", in.pid)
	return 0
}

// call makes one system call; a negative answer is an error number.
func (in *inmate) call(nr uintptr, args ...uintptr) (uintptr, syscall.Errno) {
	in.t.Helper()
	var a [6]uintptr
	copy(a[:], args)
	regs := in.before
	regs.Rip, regs.Rax = in.gate, uint64(nr)
	regs.Orig_rax = ^uint64(0) // no call is interrupted: nothing is restarted
	regs.Rdi, regs.Rsi, regs.Rdx = uint64(a[0]), uint64(a[1]), uint64(a[2])
	regs.R10, regs.R8, regs.R9 = uint64(a[3]), uint64(a[4]), uint64(a[5])
	if err := syscall.PtraceSetRegs(in.pid, &regs); err != nil {
		in.t.Fatal(err)
	}
	if err := syscall.PtraceSingleStep(in.pid); err != nil {
		in.t.Fatal(err)
	}
	if _, err := in.wait(syscall.SIGTRAP); err != nil {
		in.t.Fatal(err)
	}
	if err := syscall.PtraceGetRegs(in.pid, &regs); err != nil {
		in.t.Fatal(err)
	}
	if got := int64(regs.Rax); got < 0 && got > -4096 {
		return 0, syscall.Errno(-got)
	}
	return uintptr(regs.Rax), 0
}

// must is call for what has to work.
func (in *inmate) must(what string, nr uintptr, args ...uintptr) uintptr {
	in.t.Helper()
	got, errno := in.call(nr, args...)
	if errno != 0 {
		in.t.Fatalf("process %d: %s: %v: the daemon can no longer do what it must, or the injection is broken", in.pid, what, errno)
	}
	return got
}

// bytes puts data into the daemon's memory and gives its address there.
func (in *inmate) bytes(data []byte) uintptr {
	in.t.Helper()
	if in.used+uint64(len(data)) > scratchSize {
		in.used = 0 // what lies there has been used
	}
	at := in.scratch + in.used
	in.used += (uint64(len(data)) + 15) &^ 15
	if _, err := syscall.PtracePokeData(in.pid, uintptr(at), data); err != nil {
		in.t.Fatal(err)
	}
	return uintptr(at)
}

func (in *inmate) path(s string) uintptr { return in.bytes(append([]byte(s), 0)) }

// words puts a list of 64-bit words there.
func (in *inmate) words(list ...uint64) uintptr {
	var b []byte
	for _, w := range list {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return in.bytes(b)
}

// unixAddr is a sockaddr_un with its length; an abstract name begins with @.
func (in *inmate) unixAddr(name string) (at, size uintptr) {
	b := binary.LittleEndian.AppendUint16(nil, syscall.AF_UNIX)
	if abstract, ok := strings.CutPrefix(name, "@"); ok {
		b = append(append(b, 0), abstract...)
	} else {
		b = append(append(b, name...), 0)
	}
	return in.bytes(b), uintptr(len(b))
}

// inetAddr is a sockaddr_in of 127.0.0.1.
func (in *inmate) inetAddr(port int) (at, size uintptr) {
	b := binary.LittleEndian.AppendUint16(nil, syscall.AF_INET)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	b = append(b, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
	return in.bytes(b), uintptr(len(b))
}
