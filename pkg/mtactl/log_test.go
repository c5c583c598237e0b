package mtactl

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

func writeLog(t *testing.T, inst settings.Instance, lines ...string) {
	t.Helper()
	f, err := os.OpenFile(inst.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, l := range lines {
		if _, err := fmt.Fprintln(f, l); err != nil {
			t.Fatal(err)
		}
	}
}

func line(id, verb, rest string) string {
	return "2026-01-02T03:04:05.678Z " + id + " " + verb + " " + rest
}

func TestTailShowsTheLastLinesWithAllWords(t *testing.T) {
	dir, inst := mustInit(t)
	for i := range 50 {
		writeLog(t, inst, line(anID, "deferred", fmt.Sprintf("n=%d x", i)), line("-", "other", "y"))
	}
	_, out, _ := run(t, dir, "tail", "-n", "2", "deferred", "x")
	if want := line(anID, "deferred", "n=48 x") + "\n" + line(anID, "deferred", "n=49 x") + "\n"; out != want {
		t.Errorf("got %q", out)
	}
}

func TestTailCannotSteerATerminal(t *testing.T) {
	dir, inst := mustInit(t)
	writeLog(t, inst, "a b c \x1b[2J")
	if _, out, _ := run(t, dir, "tail"); strings.Contains(out, "\x1b") {
		t.Errorf("got %q", out)
	}
}

func TestTailWithoutALogSaysWhatToDo(t *testing.T) {
	dir, _ := mustInit(t)
	if code, _, errs := run(t, dir, "tail"); code != exNoInput || !strings.Contains(errs, "start") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestFollowSurvivesRotation: the log is renamed and made anew while it is
// followed; no line is lost or shown twice.
func TestFollowSurvivesRotation(t *testing.T) {
	dir, inst := mustInit(t)
	writeLog(t, inst, "one")
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		code := Main(ctx, []string{"-C", dir, "tail", "-f"}, Stdio{Out: w, Err: io.Discard})
		w.Close()
		done <- code
	}()
	in := bufio.NewScanner(r)
	expect := func(want string) {
		t.Helper()
		if !in.Scan() || in.Text() != want {
			t.Fatalf("got %q, want %q", in.Text(), want)
		}
	}
	expect("one")
	writeLog(t, inst, "two")
	expect("two")
	if err := os.Rename(inst.LogFile(), inst.LogFile()+".1"); err != nil {
		t.Fatal(err)
	}
	writeLog(t, inst, "three")
	expect("three")
	writeLog(t, inst, "four")
	expect("four")
	cancel()
	go io.Copy(io.Discard, r)
	if code := <-done; code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestTraceFindsAllLinesOfAMessage(t *testing.T) {
	dir, inst := mustInit(t)
	writeLog(t, inst, line(anID, "received", "from=<a@b.test>"))
	if err := os.Rename(inst.LogFile(), inst.LogFile()+".1"); err != nil {
		t.Fatal(err)
	}
	writeLog(t, inst, line("1HT0E1F3R99", "received", "x"), line(anID, "delivered", "to=<c@d.test>"), line("1HT0E1F3R98", "received", "about="+anID))
	code, out, errs := run(t, dir, "trace", anID)
	if code != 0 || strings.Count(out, "\n") != 3 || strings.Contains(out, "R99") || !strings.HasPrefix(out, line(anID, "received", "")) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := run(t, dir, "trace", "1HT0E1F3R77"); code != exDataErr || errs == "" {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestTraceIsInTheOrderOfTime(t *testing.T) {
	dir, inst := mustInit(t)
	writeLog(t, inst,
		"2026-01-02T03:04:05.002Z "+anID+" delivered x",
		"2026-01-02T03:04:05.001Z "+anID+" received x",
	)
	if _, out, _ := run(t, dir, "trace", anID); !strings.HasPrefix(out, "2026-01-02T03:04:05.001Z") {
		t.Errorf("got:\n%s", out)
	}
}
