package localdeliver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

// commandFlag makes the test program a command that a pipe runs.
const commandFlag = "--command"

// TestMain lets the test program be the three programs that a delivery is made
// of: the test, the child, the command.
func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == ChildFlag:
		if err := RunChild(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) > 2 && os.Args[1] == parentFlag:
		if err := confinedParent(os.Args[2]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	case len(os.Args) > 2 && os.Args[1] == commandFlag:
		os.Exit(command(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// command is what the pipe tests run.
func command(args []string) int {
	switch args[0] {
	case "exit": // CODE: without a look at the message
		n, _ := strconv.Atoi(args[1])
		return n
	case "say": // WORDS...: to the output, then fail
		fmt.Print(strings.Join(args[1:], " "))
		return 70
	case "flood": // BYTES
		n, _ := strconv.Atoi(args[1])
		_, _ = io.CopyN(os.Stdout, zeros{}, int64(n))
		return 0
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		select {}
	case "save": // FILE: the message, complete at the end of the input
		b, err := io.ReadAll(os.Stdin)
		if err != nil || os.WriteFile(args[1], b, 0o666) != nil {
			return 75
		}
		return 0
	case "describe": // FILE: what the command is
		return describe(args[1], args[2:])
	case "hang": // FILE: with a child of its own, whose pid it writes
		return hang(args[1])
	case "answer": // WORDS...: what it was given
		return answer(args[1:])
	case "complain": // WORD: on standard error
		fmt.Print("half an ans")
		fmt.Fprintln(os.Stderr, args[1])
		return 75
	case "leave": // FILE: a process behind, whose pid it writes
		return leave(args[1])
	case "report": // a text and a warning
		fmt.Print("Bob has gone to far.example.\n")
		fmt.Fprint(os.Stderr, "a warning\n")
		return 0
	case "sleep":
		time.Sleep(time.Minute) // far beyond any test, and no longer, should it be left behind
	}
	return 64
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// self is what a command finds itself to be.
type self struct {
	FDs    []string
	Env    []string
	Args   []string
	Dir    string
	UID    int
	GID    int
	Groups []int
	Umask  int
	Status string
	Ignore string
	PID    int
	PPID   int
}

func describe(file string, args []string) int {
	s := self{Env: os.Environ(), Args: args, UID: os.Getuid(), GID: os.Getgid(), PID: os.Getpid(), PPID: os.Getppid()}
	s.Groups, _ = syscall.Getgroups()
	s.Dir, _ = os.Getwd()
	s.Umask = syscall.Umask(0)
	syscall.Umask(s.Umask)
	for fd := range 256 {
		// Not /proc/self/fd: the Go runtime opens descriptors of its own
		// when asked to read that; fcntl tells of those that were there.
		path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err == nil && !strings.HasPrefix(path, "anon_inode:") && !strings.HasPrefix(path, "/sys/fs/cgroup") {
			s.FDs = append(s.FDs, strconv.Itoa(fd))
		}
	}
	status, _ := os.ReadFile("/proc/self/status")
	s.Status = string(status)
	b, _ := json.Marshal(s)
	if err := os.WriteFile(file, b, 0o666); err != nil {
		fmt.Println(err)
		return 73
	}
	return 0
}

func answer(args []string) int {
	fmt.Printf("%q\n%s\n", args, strings.Join(os.Environ(), "\n"))
	in, _ := io.ReadAll(os.Stdin)
	dir, _ := os.Getwd()
	fmt.Printf("stdin %d\ndir %s\n", len(in), dir)
	return 0
}

func leave(file string) int {
	exe, _ := os.Executable()
	cmd := exec.Command(exe, commandFlag, "sleep")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 71
	}
	_ = os.WriteFile(file, []byte(strconv.Itoa(cmd.Process.Pid)), 0o666)
	fmt.Println("accept")
	return 0
}

func hang(file string) int {
	exe, _ := os.Executable()
	cmd := exec.Command(exe, commandFlag, "sleep")
	if err := cmd.Start(); err != nil {
		return 71
	}
	tmp := file + ".tmp"
	_ = os.WriteFile(tmp, []byte(strconv.Itoa(cmd.Process.Pid)), 0o666)
	_ = os.Rename(tmp, file)
	_ = cmd.Wait()
	return 0
}

// testMessage is a small message as it comes over the wire.
const testMessage = "Received: from client.example by mail.example; Mon, 5 Oct 2026 10:00:00 +0000\r\n" +
	"From: Ada <ada@far.example>\r\nSubject: tea\r\n\r\nFrom the garden.\r\n.dots. stay\r\n"

const testID = queueid.ID(1 << 40)

// testJob is a delivery of text to bob by a transport.
func testJob(t settings.Transport, text string) *childJob {
	encoded, err := json.Marshal(t.Complete())
	if err != nil {
		panic(err)
	}
	return &childJob{
		Job: proto.LocalJob{
			ID:        testID,
			Sender:    mailaddr.MustParse("ada@far.example"),
			Recipient: envelope.Recipient{Address: mailaddr.MustParse("bob@local.example")},
			Transport: "test",
			User:      &proto.User{Name: "bob", Home: "/nonexistent/bob"},
			Content:   proto.Content{Inline: []byte(text), Size: int64(len(text))},
		},
		Transport: encoded,
		Actor:     actor{Name: "bob", Home: "/nonexistent/bob"},
		Mail:      "/nonexistent/mail",
		Hostname:  "mail.local.example",
	}
}

// testWorker is a child's worker with the usual patience for locks: no test that
// expects a delivery may depend on how busy the machine is.
func testWorker() *worker {
	w := newWorker()
	w.lockPoll = time.Millisecond
	w.now = func() time.Time { return time.Date(2026, 10, 5, 10, 0, 1, 2000, time.UTC) }
	return w
}

// hasty is a worker that soon gives up a locked mailbox.
func hasty() *worker {
	w := testWorker()
	w.lockWait = 30 * time.Millisecond
	return w
}

func deliverIn(t *testing.T, w *worker, job *childJob) *proto.LocalDone {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return w.deliver(ctx, job, nil)
}

func wantDelivered(t *testing.T, done *proto.LocalDone) {
	t.Helper()
	if done.Outcome.Class != outcome.Delivered {
		t.Fatalf("not delivered: %s", show(done))
	}
}

func wantOutcome(t *testing.T, done *proto.LocalDone, class outcome.Class, kind outcome.Kind, status string) {
	t.Helper()
	o := &done.Outcome
	if o.Class != class || o.Kind != kind || o.Status.String() != status {
		t.Fatalf("want %v %s %s, got %s", class, kind, status, show(done))
	}
}

func show(done *proto.LocalDone) string {
	o := &done.Outcome
	return fmt.Sprintf("%v kind=%s %s %q", o.Class, o.Kind, o.Status, o.Text.ForTerminal())
}

// names lists a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// onlyMessage is the text of the one message in a Maildir.
func onlyMessage(t *testing.T, maildir string) string {
	t.Helper()
	if left := names(t, filepath.Join(maildir, "tmp")); len(left) != 0 {
		t.Fatalf("left in tmp: %v", left)
	}
	list := names(t, filepath.Join(maildir, "new"))
	if len(list) != 1 {
		t.Fatalf("messages in new: %v", list)
	}
	return read(t, filepath.Join(maildir, "new", list[0]))
}

// stored is testMessage as it lies in a mailbox.
func stored(text string) string {
	return "Return-Path: <ada@far.example>\nDelivered-To: bob@local.example\n" + strings.ReplaceAll(text, "\r\n", "\n")
}

func mkdir(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// bigMessage is more than travels inline, with lines of many lengths.
func bigMessage() string {
	var b bytes.Buffer
	b.WriteString("Subject: big\r\n\r\n")
	for i := 0; b.Len() < 300<<10; i++ {
		fmt.Fprintf(&b, "%0*d\r\n", i%997+1, i)
	}
	return b.String()
}

// execCat is a process that ends when its socket does.
func execCat(socket *os.File) *exec.Cmd {
	cmd := exec.Command("/bin/cat")
	cmd.Stdin = socket
	return cmd
}

// execHeld is a process that is waited for as long as in gives nothing.
func execHeld(in io.Reader) *exec.Cmd {
	cmd := exec.Command("/bin/true")
	cmd.Stdin = in
	return cmd
}
