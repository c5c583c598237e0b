package localdeliver

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/argv"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func exe(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// pipeJob runs the test program as a command.
func pipeJob(t *testing.T, args ...string) *childJob {
	t.Helper()
	return testJob(settings.Transport{
		Driver: "pipe", Command: append([]string{exe(t), commandFlag}, args...),
	}, testMessage)
}

func TestCommandGetsTheMessageOnItsInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saved")
	wantDelivered(t, deliverIn(t, testWorker(), pipeJob(t, "save", file)))
	if got := read(t, file); got != stored(testMessage) {
		t.Fatalf("got %q", got)
	}
}

func TestExitStatusIsJudgedBySysexits(t *testing.T) {
	for code, want := range map[int]struct {
		class  outcome.Class
		status string
	}{
		1: {outcome.Failed, "5.3.0"}, 64: {outcome.Failed, "5.3.0"}, 65: {outcome.Failed, "5.6.0"},
		67: {outcome.Failed, "5.1.1"}, 68: {outcome.Failed, "5.1.2"}, 71: {outcome.Deferred, "4.3.0"},
		74: {outcome.Deferred, "4.3.0"}, 75: {outcome.Deferred, "4.2.0"}, 77: {outcome.Failed, "5.7.1"},
		78: {outcome.Failed, "5.3.5"}, 127: {outcome.Failed, "5.3.0"}, 255: {outcome.Failed, "5.3.0"},
	} {
		done := deliverIn(t, testWorker(), pipeJob(t, "exit", strconv.Itoa(code)))
		wantOutcome(t, done, want.class, outcome.Command, want.status)
	}
}

func TestCommandEndedByASignalIsDeferred(t *testing.T) {
	done := deliverIn(t, testWorker(), pipeJob(t, "signal"))
	wantOutcome(t, done, outcome.Deferred, outcome.Command, "4.3.0")
}

func TestCommandThatIsNotThereIsDeferred(t *testing.T) {
	job := testJob(settings.Transport{Driver: "pipe", Command: []string{"/nonexistent/program"}}, testMessage)
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Command, "4.3.5")
}

func TestCommandThatDoesNotReadIsJudgedByItsStatusAlone(t *testing.T) {
	for code, class := range map[string]outcome.Class{"0": outcome.Delivered, "67": outcome.Failed} {
		job := pipeJob(t, "exit", code)
		text := bigMessage()
		job.Job.Content = proto.Content{Inline: []byte(text), Size: int64(len(text))}
		if done := deliverIn(t, testWorker(), job); done.Outcome.Class != class {
			t.Fatalf("status %s: %s", code, show(done))
		}
	}
}

func TestOutputIsKeptForTheReport(t *testing.T) {
	done := deliverIn(t, testWorker(), pipeJob(t, "say", "mailbox moved\n", "ask the desk"))
	wantOutcome(t, done, outcome.Failed, outcome.Command, "5.3.0")
	if !done.Output.Equal("mailbox moved\n ask the desk") {
		t.Fatalf("output %q", done.Output.ForTerminal())
	}
	if text := done.Outcome.Text.ForTerminal(); !strings.HasSuffix(text, ": mailbox moved") {
		t.Fatalf("text %q", text)
	}
}

func TestOutputIsCut(t *testing.T) {
	job := pipeJob(t, "flood", "3000000")
	done := deliverIn(t, testWorker(), job)
	wantDelivered(t, done)
	if n := done.Output.Len(); n != 4<<10 {
		t.Fatalf("%d bytes kept", n)
	}
}

func TestTimeLimitEndsTheCommandAndItsChildren(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	job := testJob(settings.Transport{
		Driver: "pipe", Command: []string{exe(t), commandFlag, "hang", file},
		// Long enough for two programs to start on a loaded machine.
		Timeout: settings.Duration(2 * time.Second),
	}, testMessage)
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Command, "4.3.0")
	pid, err := strconv.Atoi(read(t, file))
	if err != nil {
		t.Fatal(err)
	}
	// The signal is sent; a busy machine may take a moment to carry it out.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		state := processState(pid)
		if state == "" || state == "Z" || state == "X" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the command's child %d goes on (%s)", pid, state)
		}
	}
}

// processState is the state letter of a process, "" when there is none.
func processState(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

func TestHalfAMessageIsNeverTakenForAWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "saved")
	job := pipeJob(t, "save", file)
	job.Job.Content = proto.Content{Size: 1 << 20}
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, testMessage)
		_ = w.Close()
	}()
	done := testWorker().deliver(t.Context(), job, r)
	wantOutcome(t, done, outcome.Deferred, outcome.Internal, "4.3.0")
	if _, err := os.Stat(file); err == nil {
		t.Fatal("the command took a part of the message for all of it")
	}
}

// described runs the describing command and reads what it says.
func described(t *testing.T, job *childJob, file string) self {
	t.Helper()
	wantDelivered(t, deliverIn(t, testWorker(), job))
	var s self
	if err := json.Unmarshal([]byte(read(t, file)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCommandHasAnEnvironmentOfItsOwn(t *testing.T) {
	t.Setenv("FILBERT_TEST_SECRET", "x")
	file := filepath.Join(t.TempDir(), "self")
	job := testJob(settings.Transport{
		Driver: "pipe", Command: []string{exe(t), commandFlag, "describe", file},
		Environment: []string{"FLAVOUR=nut"},
	}, testMessage)
	job.Actor.Home = filepath.Dir(file)
	job.Job.Recipient.Address = mailaddr.MustParse("bob+tea@local.example")
	job.Job.Detail = "tea"
	got := described(t, job, file)
	want := []string{
		"PATH=" + commandPath, "HOME=" + job.Actor.Home, "USER=bob", "LOGNAME=bob", "SENDER=ada@far.example",
		"RECIPIENT=bob+tea@local.example", "LOCAL_PART=bob", "DOMAIN=local.example", "DETAIL=tea",
		"MESSAGE_ID=" + testID.String(), "FLAVOUR=nut",
	}
	if !slices.Equal(got.Env, want) {
		t.Fatalf("environment %q", got.Env)
	}
	if got.Dir != job.Actor.Home {
		t.Fatalf("runs in %s", got.Dir)
	}
}

func TestPlaceholdersAreArgumentsOfTheirOwn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "self")
	job := pipeJob(t, "describe", file, "{sender}", "-f{sender}", "to={recipient}", "{user}", "{domain}", "$(id)", "{id}")
	job.Job.Sender = mailaddr.MustParse(`"$(touch x);a b"@far.example`)
	got := described(t, job, file)
	want := []string{
		`"$(touch x);a b"@far.example`, `-f"$(touch x);a b"@far.example`, "to=bob@local.example", "bob",
		"local.example", "$(id)", testID.String(),
	}
	if !slices.Equal(got.Args, want) {
		t.Fatalf("arguments %q", got.Args)
	}
}

func TestNullSenderIsAnEmptyArgument(t *testing.T) {
	file := filepath.Join(t.TempDir(), "self")
	job := pipeJob(t, "describe", file, "-f", "{sender}", "end")
	job.Job.Sender = mailaddr.Address{}
	got := described(t, job, file)
	if !slices.Equal(got.Args, []string{"-f", "", "end"}) || !slices.Contains(got.Env, "SENDER=") {
		t.Fatalf("%q %q", got.Args, got.Env)
	}
}

func TestValuesThatBecomeOptionsOrFunctionsAreRefused(t *testing.T) {
	for _, sender := range []string{"-oQ/tmp@far.example", "--help@far.example"} {
		job := pipeJob(t, "exit", "0", "{sender}")
		job.Job.Sender = mailaddr.MustParse(sender)
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Failed, outcome.Content, "5.1.3")
	}
	job := pipeJob(t, "exit", "0")
	job.Job.Recipient.Address = mailaddr.MustParse(`"() { :; }"@local.example`)
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Failed, outcome.Content, "5.1.3")
}

func TestAProgramIsNeverChosenByTheMessage(t *testing.T) {
	for _, command := range [][]string{{}, {"cat"}, {"{user}"}, {"{home}/run"}, {"/bin/cat", "{nothing}"}} {
		job := testJob(settings.Transport{Driver: "pipe", Command: command}, testMessage)
		done := deliverIn(t, testWorker(), job)
		if done.Outcome.Class != outcome.Deferred || done.Outcome.Status.String() != "4.3.5" {
			t.Errorf("%q: %s", command, show(done))
		}
	}
}

func TestAliasCommandIsSplitWithoutAShell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "self")
	job := testJob(settings.Transport{Driver: "pipe"}, testMessage)
	job.Job.Recipient.Kind = envelope.TargetPipe
	job.Job.Recipient.Target = `|` + exe(t) + ` ` + commandFlag + ` describe ` + file + ` 'a b' "c \"d\" $HOME" e\ f {user} ''`
	got := described(t, job, file)
	if want := []string{"a b", `c "d" $HOME`, "e f", "{user}", ""}; !slices.Equal(got.Args, want) {
		t.Fatalf("arguments %q", got.Args)
	}
}

func TestAliasCommandThatWantsAShellIsDeferred(t *testing.T) {
	for _, target := range []string{
		"", "|", "| ", "|cat", "|/bin/cat > /tmp/x", "|/bin/cat; id", "|/bin/cat $HOME", "|/bin/cat `id`",
		"|/bin/cat 'x", `|/bin/cat "x`, `|/bin/cat \`, "|/bin/cat *", "|/bin/cat\nid", "|/bin/cat && id",
	} {
		job := testJob(settings.Transport{Driver: "pipe"}, testMessage)
		job.Job.Recipient.Kind, job.Job.Recipient.Target = envelope.TargetPipe, target
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Internal, "4.3.5")
	}
}

func FuzzSplitCommand(f *testing.F) {
	for _, s := range []string{`|/bin/x 'a' "b\"" c\ d`, `/x`, `'`, `"\`, "\x00", `a''b""c`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words, err := argv.Split(s)
		if err != nil {
			return
		}
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		again, err := argv.Split(strings.Join(quoted, " "))
		if err != nil || !slices.Equal(words, again) {
			t.Fatalf("%q became %q, %v", words, again, err)
		}
	})
}

func TestSignalsOfTheTerminalHaveTheirUsualMeaningInChildren(t *testing.T) {
	// The parent ignores SIGHUP, as all daemons do; its commands must not.
	resetSignals()
	file := filepath.Join(t.TempDir(), "self")
	got := described(t, pipeJob(t, "describe", file), file)
	for line := range strings.Lines(got.Status) {
		mask, found := strings.CutPrefix(line, "SigIgn:")
		if !found {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
		if err != nil || bits&(1<<(uint(syscall.SIGHUP)-1)) != 0 {
			t.Fatalf("ignored: %s", mask)
		}
	}
}
