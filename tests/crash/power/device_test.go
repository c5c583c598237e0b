//go:build crash

package power

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// run runs a program of the system.
func run(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// needs skips the test where it can't be made.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it must be root to mount")
	}
	for _, p := range append(programs, "mount", "umount", "losetup") {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed", p)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("there are no loop devices here")
	}
}

// device is a disk of command disk with a file system on it.
type device struct {
	t        *testing.T
	dir      string // dev/ is the FUSE directory, fs/ where the file system is mounted
	size     int64
	cmd      *exec.Cmd
	loop     string
	mark     *os.File
	mounted  bool
	attached bool
}

func (d *device) root() string   { return filepath.Join(d.dir, "fs") }
func (d *device) record() string { return filepath.Join(d.dir, "log") }

// newDevice makes a fresh disk, and mounts a fresh file system on it.
func newDevice(t *testing.T, size int64) *device {
	t.Helper()
	needs(t, "mkfs.ext4")
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("there is no FUSE here")
	}
	d := &device{t: t, dir: shortDir(t), size: size}
	t.Cleanup(d.close)
	d.serve(d.build())
	for _, sub := range []string{"dev", "fs"} {
		if err := os.MkdirAll(filepath.Join(d.dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d.attach()
	if _, err := run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.loop); err != nil {
		t.Fatal(err)
	}
	d.mount()
	return d
}

// shortDir is a directory in memory where there is one, as a disk's log is long,
// under a name that leaves room for the paths of sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	base := "/dev/shm"
	if st, err := os.Stat(base); err != nil || !st.IsDir() {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "fp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// build compiles the command, whose module has a dependency that has to be
// fetched once.
func (d *device) build() string {
	d.t.Helper()
	program := filepath.Join(d.dir, "disk")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Dir = "disk"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Skipf("the disk's program can't be built here: %v\n%s", err, out)
	}
	return program
}

// serve starts the command and waits until the device is there.
func (d *device) serve(program string) {
	d.t.Helper()
	dev := filepath.Join(d.dir, "dev")
	if err := os.MkdirAll(dev, 0o700); err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(program, "-mount", dev, "-log", d.record(), "-size", strconv.FormatInt(d.size, 10))
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		d.t.Skipf("a FUSE file system can't be mounted here: %q, %v", line, err)
	}
	if d.mark, err = os.OpenFile(filepath.Join(dev, "mark"), os.O_WRONLY, 0); err != nil {
		d.t.Fatal(err)
	}
}

func (d *device) attach() {
	d.t.Helper()
	loop, err := run("losetup", "--find", "--show", filepath.Join(d.dir, "dev", "disk.img"))
	if err != nil {
		d.t.Skipf("no loop device: %v", err)
	}
	d.loop, d.attached = loop, true
}

func (d *device) mount() {
	d.t.Helper()
	if _, err := run("mount", d.loop, d.root()); err != nil {
		d.t.Fatal(err)
	}
	d.mounted = true
}

func (d *device) unmount() {
	d.t.Helper()
	if err := unmount(d.root()); err != nil {
		d.t.Error(err)
	}
	d.mounted = false
}

// unmount waits for processes that have just ended.
func unmount(dir string) error {
	var err error
	for range 100 {
		if err = syscall.Unmount(dir, 0); !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("unmount %s: %w", dir, err)
}

// noteFor puts what the world has learned between the writes of the device.
func (d *device) note(format string, args ...any) {
	if _, err := fmt.Fprintf(d.mark, format, args...); err != nil {
		d.t.Errorf("note: %v", err)
	}
}

// signal breaks the device, see command disk.
func (d *device) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

// detach takes everything down but the log.
func (d *device) detach() {
	if d.mounted {
		d.unmount()
	}
	if d.attached {
		if _, err := run("losetup", "--detach", d.loop); err != nil {
			d.t.Error(err)
		}
		d.attached = false
	}
	if d.mark != nil {
		d.mark.Close()
		d.mark = nil
	}
	if d.cmd != nil && d.cmd.Process != nil {
		d.stopServing()
		d.cmd = nil
	}
}

// stopServing asks again while the kernel still lets the loop device go.
func (d *device) stopServing() {
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	for range 100 {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	d.t.Error("the disk's program does not end")
	_ = d.cmd.Process.Kill()
	<-ended
}

func (d *device) close() { d.detach() }
