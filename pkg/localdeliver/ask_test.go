package localdeliver

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// asked has the test program answer about an address.
func asked(t *testing.T, limit time.Duration, args ...string) *proto.ConsultAnswer {
	t.Helper()
	return testWorker().ask(t.Context(), &childAsk{
		Actor:   actor{Name: "nobody", Home: "/nonexistent"},
		Query:   proto.ConsultQuery{LocalPart: "bob", Domain: "local.example", Detail: "x;y", Sender: "", Recipient: "bob+x;y@local.example"},
		Command: append([]string{exe(t), commandFlag}, args...), Timeout: limit,
	})
}

func TestAProgramIsAskedWithItsPlaceholdersAsArguments(t *testing.T) {
	a := asked(t, time.Minute, "answer", "{local_part}", "{domain}", "{detail}", "{sender}", "to={recipient}", "a b")
	if want := `["bob" "local.example" "x;y" "" "to=bob+x;y@local.example" "a b"]`; a.Trouble != "" || !strings.HasPrefix(a.Output.ForWire(), want) {
		t.Fatalf("%q %q", a.Output.ForWire(), a.Trouble)
	}
}

func TestOptionsOfTheTemplateTakeValues(t *testing.T) {
	a := asked(t, time.Minute, "answer", "--user={local_part}", "-d{domain}", "-{detail}", "--", "--from={sender}")
	if want := `["--user=bob" "-dlocal.example" "-x;y" "--" "--from="]`; a.Trouble != "" || !strings.HasPrefix(a.Output.ForWire(), want) {
		t.Fatalf("%q %q", a.Output.ForWire(), a.Trouble)
	}
	for _, template := range []string{"{local_part}", "-{local_part}", "--{local_part}"} {
		_, err := fillArgument(template, func(string) (string, error) { return "-rf", nil })
		if !errors.Is(err, untrusted.ErrUnsafe) {
			t.Errorf("%s took a value that makes another option of it: %v", template, err)
		}
	}
}

func TestAProgramHasACleanEnvironmentAndNoInput(t *testing.T) {
	t.Setenv("FILBERT_TEST_SECRET", "x")
	a := asked(t, time.Minute, "answer")
	lines := strings.Split(a.Output.ForWire(), "\n")
	want := []string{"[]", "PATH=" + commandPath, "HOME=/nonexistent", "USER=nobody", "LOGNAME=nobody", "stdin 0", "dir /", ""}
	if !slices.Equal(lines, want) {
		t.Fatalf("%q %q", lines, a.Trouble)
	}
}

func TestAProgramThatFailsIsTrouble(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"exit", "1"}, "exit status 1"},
		{[]string{"complain", "the table is away"}, "exit status 75: the table is away"},
		{[]string{"signal"}, "signal: terminated"},
		{[]string{"flood", strconv.Itoa(proto.MaxConsulted + 1)}, "printed more than"},
		{[]string{"answer", "{shell}"}, "{shell}"},
	} {
		if a := asked(t, time.Minute, test.args...); !a.Output.IsEmpty() || !strings.Contains(a.Trouble, test.want) {
			t.Errorf("%q: %q %q", test.args, a.Output.ForWire(), a.Trouble)
		}
	}
	a := testWorker().ask(t.Context(), &childAsk{Command: []string{"/nonexistent/program"}, Timeout: time.Minute})
	if !strings.Contains(a.Trouble, "can't be started: no such file") {
		t.Errorf("%q", a.Trouble)
	}
	a = testWorker().ask(t.Context(), &childAsk{Command: []string{"program"}, Timeout: time.Minute})
	if !strings.Contains(a.Trouble, "full path") {
		t.Errorf("%q", a.Trouble)
	}
}

func TestAProgramMayPrintAllThatIsAllowed(t *testing.T) {
	if a := asked(t, time.Minute, "flood", strconv.Itoa(proto.MaxConsulted)); a.Trouble != "" || a.Output.Len() != proto.MaxConsulted {
		t.Fatalf("%d %q", a.Output.Len(), a.Trouble)
	}
}

// An address that would be an option never reaches the program, and waiting would
// not make it another.
func TestAnAddressThatWouldBeAnOptionFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ran")
	a := testWorker().ask(t.Context(), &childAsk{
		Query:   proto.ConsultQuery{LocalPart: "-rf"},
		Command: []string{"/bin/touch", file, "{local_part}"}, Timeout: time.Minute,
	})
	if a.Trouble != "" || !strings.HasPrefix(a.Output.ForWire(), "fail ") {
		t.Fatalf("%q %q", a.Output.ForWire(), a.Trouble)
	}
	if _, err := os.Stat(file); err == nil {
		t.Fatal("it ran")
	}
}

func TestAProgramThatDoesNotEndIsEndedWithWhatItStarted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	a := asked(t, 2*time.Second, "hang", file)
	if !strings.Contains(a.Trouble, "did not end within 2s") {
		t.Fatalf("%q %q", a.Output.ForWire(), a.Trouble)
	}
	waitForFile(t, file)
	wantGone(t, read(t, file))
}

// TestWhatAProgramLeavesBehindEndsWithIt: it holds the output open, and would
// hold up the answer.
func TestWhatAProgramLeavesBehindEndsWithIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	a := asked(t, time.Minute, "leave", file)
	if a.Trouble != "" || !a.Output.Equal("accept\n") {
		t.Fatalf("%q %q", a.Output.ForWire(), a.Trouble)
	}
	wantGone(t, read(t, file))
}

// wantGone waits until a process has ended; it may wait as a zombie for whoever
// reaps orphans here.
func wantGone(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if syscall.Kill(n, 0) != nil {
			return
		}
		if b, err := os.ReadFile("/proc/" + strconv.Itoa(n) + "/stat"); err != nil || strings.Contains(string(b), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d is still there", n)
}
