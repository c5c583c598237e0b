package pickup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
)

// exec is this test binary as sendmail, in a process made hostile (TestMain).
func (r *rig) exec(how string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command(exe, append([]string{"-C", r.dir}, args...)...)
	cmd.Args[0] = "sendmail"
	cmd.Env = []string{"PICKUP_TEST=" + how}
	return cmd
}

func (r *rig) finish(cmd *exec.Cmd) result {
	r.Helper()
	var errs bytes.Buffer
	if cmd.Stderr == nil {
		cmd.Stderr = &errs
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	return result{status: cmd.ProcessState.ExitCode(), err: errs.String()}
}

func TestClosedStandardDescriptorsAreNoMessageAndNoHarm(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	r.want(r.finish(r.exec("closed", "-f", "a@b.example", "bob")), exOK)
	if text := s.one().text; text != "\r\n" && !strings.HasSuffix(text, "\r\n\r\n") {
		t.Errorf("text %q", text)
	}
}

// With 0, 1 and 2 closed no file of ours may become standard error.
func TestComplaintsNeverReachAMessage(t *testing.T) {
	r := newRig(t)
	r.start(refuse(550, 1, 1))
	r.want(r.finish(r.exec("closed", "bob")), exNoUser)
	r.nothingLies()
}

func TestNoArgumentsAtAllIsAUsageError(t *testing.T) {
	r := newRig(t)
	if got := r.finish(r.exec("noargs")); got.status != exUsage {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
}

func TestLargeEnvironmentIsDropped(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	cmd := r.exec("run", "bob")
	for i := range 10 {
		cmd.Env = append(cmd.Env, strings.Repeat(string(rune('A'+i)), 10)+"="+strings.Repeat("x", 100_000))
	}
	cmd.Stdin = strings.NewReader(hello)
	r.want(r.finish(cmd), exOK)
	s.one()
}

func TestInheritedDescriptorsAreClosed(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	cmd := r.exec("descriptors", "bob")
	cmd.Stdin = strings.NewReader(hello)
	r.want(r.finish(cmd), exOK)
	s.one()
}

func TestTooFewDescriptorsIsATemporaryFailure(t *testing.T) {
	r := newRig(t)
	r.start(nil)
	cmd := r.exec("nofile", "bob")
	cmd.Stdin = strings.NewReader(hello)
	if got := r.finish(cmd); got.status != exTempFail || !strings.Contains(got.err, "descriptors") {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
}

func TestFileSizeLimitIsATemporaryFailureThatLeavesNothing(t *testing.T) {
	for name, text := range map[string]string{"dropped": hello, "large": hello + strings.Repeat("x\n", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			cmd := r.exec("fsize", "-i", "bob")
			cmd.Stdin = strings.NewReader(text)
			if got := r.finish(cmd); got.status != exTempFail || !strings.Contains(got.err, "ulimit") {
				t.Errorf("exit status %d, stderr %q", got.status, got.err)
			}
			r.nothingLies()
		})
	}
}

func TestFullDiskLeavesNothing(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	r := newRig(t)
	spool := filepath.Join(r.dir, "spool")
	if err := syscall.Mount("tmpfs", spool, "tmpfs", 0, "size=256k,mode=700"); err != nil {
		t.Skip("cannot mount:", err)
	}
	defer func() { _ = syscall.Unmount(spool, 0) }()
	if err := os.Mkdir(filepath.Join(spool, "maildrop"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.want(r.call("sendmail", hello, "bob"), exTempFail)
	r.want(r.call("sendmail", hello+strings.Repeat("x\n", 1<<20), "-i", "bob"), exTempFail)
	r.nothingLies()
}

func TestSignalWhileReadingLeavesNothing(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			r := newRig(t)
			s := r.start(nil)
			cmd := r.exec("run", "bob")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// More than memory and the pipe hold: when this is written the process
			// reads, and has its file.
			if _, err := io.WriteString(in, "From: a@b\n\n"+strings.Repeat("x\n", 1<<20)); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != exTempFail {
				t.Errorf("exit status %d", got)
			}
			r.nothingLies()
			if len(s.all()) != 0 {
				t.Error("a message was sent")
			}
		})
	}
}

// A step that was begun is finished, and its answer counts.
func TestSignalWhileHandingInIsNotObeyed(t *testing.T) {
	r := newRig(t)
	began, goOn := make(chan bool), make(chan bool)
	s := r.startWith(func(*proto.Submission) *proto.Acceptance {
		began <- true
		<-goOn
		return accepted
	})
	cmd := r.exec("run", "bob")
	cmd.Stdin = strings.NewReader(hello)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	goOn <- true
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != exOK {
		t.Errorf("exit status %d", got)
	}
	s.one()
}

func TestIgnoredHangupStaysIgnored(t *testing.T) {
	nohup, err := exec.LookPath("nohup")
	if err != nil {
		t.Skip("no nohup")
	}
	r := newRig(t)
	s := r.start(nil)
	plain := r.exec("run", "-i", "bob")
	cmd := exec.Command(nohup, append([]string{plain.Path}, plain.Args[1:]...)...)
	cmd.Env = plain.Env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "From: a@b\n\n"+strings.Repeat("x\n", 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	s.one()
}

// setgidRig is an installed pickup in small: a set-group-id copy of this binary,
// run by nobody, beside a maildrop that the group may not list. It returns a
// maker of commands.
func setgidRig(t *testing.T) (*rig, func(args ...string) *exec.Cmd) {
	t.Helper()
	const nobody, group = 65534, 54321
	if os.Getuid() != 0 {
		t.Skip("needs root to make a set-group-id program")
	}
	r := newRig(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(r.dir, "pickup")
	for _, err := range []error{
		os.Chmod(r.dir, 0o755),
		os.WriteFile(path, b, 0o755),
		os.Chown(path, 0, group),
		os.Chmod(path, 0o755|os.ModeSetgid),
		os.Chmod(filepath.Join(r.dir, "spool"), 0o755),
		os.Chown(filepath.Join(r.dir, "spool/maildrop"), 0, group),
		os.Chmod(filepath.Join(r.dir, "spool/maildrop"), 0o730|os.ModeSticky),
		os.Chmod(filepath.Join(r.dir, "run"), 0o755),
		os.Chown(filepath.Join(r.dir, "run/submit"), 0, group),
		os.Chmod(filepath.Join(r.dir, "run/submit"), 0o750),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r, func(args ...string) *exec.Cmd {
		cmd := exec.Command(path, args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
}

func TestChosenInstanceCostsTheGroup(t *testing.T) {
	r, as := setgidRig(t)
	cmd := as("-C", r.dir, "-i", "bob")
	cmd.Env = []string{"PICKUP_TEST=run"}
	cmd.Stdin = strings.NewReader(hello)
	// Without the group neither the socket nor maildrop can be reached.
	if got := r.finish(cmd); got.status != exTempFail || !strings.Contains(got.err, "not permitted") {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
	r.nothingLies()
}

func TestEnvironmentMeansNothingToAPrivilegedProcess(t *testing.T) {
	_, as := setgidRig(t)
	for _, env := range [][]string{
		{"FILBERT_INSTANCE=/x", "HOME=/x"},
		{"FILBERT_INSTANCE=/x", "GODEBUG=netdns=go", "GOGC=1", "GOTRACEBACK=crash"}, // starts again
	} {
		cmd := as("-bv", "bob")
		cmd.Env = append(env, "PICKUP_TEST=arrest")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		got := string(out)
		if !strings.HasPrefix(got, `instance "", privileged true`) || !strings.Contains(got, `has [], error <nil>`) || strings.Contains(got, "GODEBUG") || strings.Contains(got, "GOGC") {
			t.Errorf("%q: %s", env, got)
		}
	}
}

func TestGroupReachesAMaildropThatItCannotList(t *testing.T) {
	r, as := setgidRig(t)
	cmd := as("-i", "bob")
	cmd.Env = []string{"PICKUP_TEST=site " + r.dir}
	cmd.Stdin = strings.NewReader(hello + strings.Repeat("x\n", 1<<20))
	r.want(r.finish(cmd), exOK)
	names := r.lies("maildrop")
	if len(names) != 1 {
		t.Fatalf("maildrop %v", names)
	}
	info, err := os.Stat(filepath.Join(r.dir, "spool/maildrop", names[0]))
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != 65534 || st.Gid != 54321 || info.Mode().Perm() != 0o640 {
		t.Errorf("uid %d, gid %d, mode %v", st.Uid, st.Gid, info.Mode())
	}
	s := r.start(nil)
	r.want(r.call("pickup", "", drainFlag), exOK)
	if c := s.one().Envelope.Client; c.UID != 65534 {
		t.Errorf("uid %d", c.UID)
	}
}

func TestKernelTellsTheUserOverTheGroupsSocket(t *testing.T) {
	r, as := setgidRig(t)
	s := r.start(nil)
	cmd := as("-i", "bob")
	cmd.Env = []string{"PICKUP_TEST=site " + r.dir}
	cmd.Stdin = strings.NewReader(hello)
	r.want(r.finish(cmd), exOK)
	if m := s.one(); m.peer.UID != 65534 || m.Envelope.Client.UID != 65534 {
		t.Errorf("uid %d, claimed %d", m.peer.UID, m.Envelope.Client.UID)
	}
}
