package localdeliver

import (
	"path/filepath"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// reporting is a transport whose command writes a part of the report.
func reporting(t *testing.T, args ...string) settings.Transport {
	t.Helper()
	return settings.Transport{Driver: "pipe", Returns: "report", Command: append([]string{exe(t), commandFlag}, args...)}
}

func TestACommandThatWritesAReportReturnsTheMailWithItsWords(t *testing.T) {
	done := deliverIn(t, testWorker(), testJob(reporting(t, "report"), testMessage))
	wantOutcome(t, done, outcome.Failed, outcome.UnknownUser, "5.1.1")
	if !done.Output.Equal("Bob has gone to far.example.\n") {
		t.Errorf("%q", done.Output.ForWire())
	}
}

func TestTheWordsOfAReportAreBounded(t *testing.T) {
	tr := reporting(t, "flood", "100000")
	tr.MaxOutput = 10
	if done := deliverIn(t, testWorker(), testJob(tr, testMessage)); done.Outcome.Class != outcome.Failed || done.Output.Len() != 10 {
		t.Errorf("%s, %d octets", show(done), done.Output.Len())
	}
}

// Whatever the status is, 67 ("no such user") too: the words are missing.
func TestACommandThatFailsToWriteAReportDefers(t *testing.T) {
	for _, args := range [][]string{{"exit", "67"}, {"exit", "75"}, {"say", "half"}, {"signal"}} {
		done := deliverIn(t, testWorker(), testJob(reporting(t, args...), testMessage))
		if done.Outcome.Class != outcome.Deferred || done.Outcome.Status.Class != 4 || !done.Output.IsEmpty() {
			t.Errorf("%q: %s %q", args, show(done), done.Output.ForWire())
		}
	}
	tr := reporting(t, "hang", filepath.Join(t.TempDir(), "pid"))
	tr.Timeout = settings.Duration(time.Second)
	wantOutcome(t, deliverIn(t, testWorker(), testJob(tr, testMessage)), outcome.Deferred, outcome.Command, "4.3.0")
}
