package script

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

const pollEvery = 20 * time.Millisecond

// until asks again and again until done says yes. What it said last explains
// the failure.
func until(ts *testscript.TestScript, done func() (ok bool, now string)) {
	var now string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollEvery) {
		var ok bool
		if ok, now = done(); ok {
			return
		}
	}
	ts.Fatalf("not within %s: %s", patience, now)
}

// usage fails a command that is called wrongly.
func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

// options takes leading "-name value" pairs, and "-name" alone for flags, off
// args.
func options(ts *testscript.TestScript, args []string, flags ...string) (map[string]string, []string) {
	got := map[string]string{}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && len(args[0]) > 1 {
		name := args[0][1:]
		args = args[1:]
		if contains(flags, name) {
			got[name] = "yes"
			continue
		}
		usage(ts, len(args) > 0, "-"+name+" wants a value")
		got[name], args = args[0], args[1:]
	}
	return got, args
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func waitLog(ts *testscript.TestScript, neg bool, args []string) {
	o, args := options(ts, args)
	usage(ts, !neg && len(args) == 1, "wait-log [-n N] [-id VAR] REGEXP")
	w, re := worldOf(ts), pattern(ts, args[0])
	want := 1
	if o["n"] != "" {
		want = number(ts, o["n"])
	}
	var lines []string
	until(ts, func() (bool, string) {
		lines = matching(w.log(), re)
		return len(lines) >= want, fmt.Sprintf("%d lines of the log match %s, %d are wanted", len(lines), re, want)
	})
	if o["id"] != "" {
		f := strings.Fields(lines[want-1])
		usage(ts, len(f) > 1 && f[1] != "-", "-id: the line has no queue id")
		ts.Setenv(o["id"], f[1])
	}
}

func pattern(ts *testscript.TestScript, s string) *regexp.Regexp {
	re, err := regexp.Compile(s)
	ts.Check(err)
	return re
}

// matching are the whole lines that match: the last may be half written.
func matching(text string, re *regexp.Regexp) []string {
	var out []string
	for line := range strings.Lines(text) {
		if strings.HasSuffix(line, "\n") && re.MatchString(line) {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// logCommand looks for lines that must be there by now or must not. The log is a
// quarter of a second late, so what must be there is waited for.
func logCommand(ts *testscript.TestScript, neg bool, args []string) {
	o, args := options(ts, args)
	usage(ts, len(args) == 1 && (!neg || o["count"] == ""), "[!] log [-count N] REGEXP")
	w, re := worldOf(ts), pattern(ts, args[0])
	if neg {
		if lines := matching(w.log(), re); len(lines) > 0 {
			ts.Fatalf("the log has\n%s", strings.Join(lines, "\n"))
		}
		return
	}
	want := 1
	if o["count"] != "" {
		want = number(ts, o["count"])
	}
	var lines []string
	until(ts, func() (bool, string) {
		lines = matching(w.log(), re)
		return len(lines) >= want, fmt.Sprintf("%d lines of the log match %s, %d are wanted", len(lines), re, want)
	})
	if o["count"] != "" && len(lines) > want {
		ts.Fatalf("%d lines of the log match %s, not %d:\n%s", len(lines), re, want, strings.Join(lines, "\n"))
	}
}

var (
	receivedLine = regexp.MustCompile(`^\S+ (\S+) received `)
	endLine      = regexp.MustCompile(`^\S+ (\S+) (finished|filed|deleted)\b`)
)

// waitSettled waits until each message that the log says was received has also
// left its first attempt behind. The log is a little late, so what the script
// itself handed in must be there.
func waitSettled(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 0, "wait-settled")
	w := worldOf(ts)
	until(ts, func() (bool, string) {
		open := map[string]bool{}
		for _, id := range w.queued {
			open[id] = true
		}
		text := w.log()
		for line := range strings.Lines(text) {
			if m := receivedLine.FindStringSubmatch(line); m != nil {
				open[m[1]] = true
			}
		}
		for line := range strings.Lines(text) {
			if m := endLine.FindStringSubmatch(line); m != nil {
				delete(open, m[1])
			}
		}
		return len(open) == 0, fmt.Sprintf("%d messages have not come to an end: %v", len(open), keys(open))
	})
}

func keys(m map[string]bool) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

func waitQueue(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 0, "wait-queue N [FILTER]")
	w, want := worldOf(ts), number(ts, args[0])
	until(ts, func() (bool, string) {
		cmd := exec.Command(w.program("mtactl"), append([]string{"-C", w.inst, "queue", "list", "--json"}, args[1:]...)...)
		out, err := cmd.Output()
		if err != nil {
			return false, fmt.Sprintf("mtactl queue list: %v", err)
		}
		n := strings.Count(string(out), "\n")
		return n == want, fmt.Sprintf("%d messages are in the queue, not %d:\n%s", n, want, out)
	})
}

func waitFile(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) == 1, "wait-file PATH")
	until(ts, func() (bool, string) {
		found, err := filepath.Glob(ts.MkAbs(args[0]))
		if err == nil && len(found) > 0 {
			_, err = os.Stat(found[0])
			return err == nil, args[0]
		}
		return false, "there is no " + args[0]
	})
}

// untilOutput runs mtactl, once for each part between "--", again and again
// until the output of all together matches.
func untilOutput(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, !neg && len(args) > 2 && args[1] == "mtactl", "until REGEXP mtactl ARGS [-- ARGS ...]")
	w, re := worldOf(ts), pattern(ts, args[0])
	parts := strings.Split(strings.Join(args[2:], "\x00"), "\x00--\x00")
	until(ts, func() (bool, string) {
		var all []byte
		for _, part := range parts {
			out, _ := exec.Command(w.program("mtactl"), append([]string{"-C", w.inst}, strings.Split(part, "\x00")...)...).CombinedOutput()
			all = append(all, out...)
		}
		return re.Match(all), fmt.Sprintf("mtactl says nothing of %s:\n%s", re, all)
	})
}
