package localdeliver

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// spoolJob is a delivery to an mbox in a directory of mailboxes.
func spoolJob(t *testing.T, tr settings.Transport) (job *childJob, box string) {
	t.Helper()
	dir := t.TempDir()
	tr.Driver, tr.Path = "mbox", dir+"/{user}"
	return testJob(tr, testMessage), filepath.Join(dir, "bob")
}

func TestAnMboxHasALimit(t *testing.T) {
	job, box := spoolJob(t, settings.Transport{MailboxLimit: 1000, MailboxWarn: percent(0)})
	write(t, box, "From x\n\n"+strings.Repeat("x", 900)+"\n\n")
	before := read(t, box)
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Quota, "4.2.2")
	if read(t, box) != before {
		t.Error("it was written to")
	}
	if left := names(t, filepath.Dir(box)); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	write(t, box, "")
	wantDelivered(t, deliverIn(t, testWorker(), job))
}

func TestTheWarningInAnMboxStandsBehindTheMail(t *testing.T) {
	job, box := spoolJob(t, settings.Transport{MailboxLimit: 10000, MailboxWarn: percent(1)})
	for range 2 {
		wantDelivered(t, deliverIn(t, testWorker(), job))
	}
	text := read(t, box)
	if n := strings.Count(text, "\n\nFrom MAILER-DAEMON "); n != 1 || strings.Count(text, "\nFrom ada@far.example ") != 1 || !strings.HasPrefix(text, "From ada@far.example ") {
		t.Fatalf("%d warnings in\n%s", n, text)
	}
	if got := names(t, filepath.Dir(box)); len(got) != 2 || got[0] != ".bob.filbert-warned" {
		t.Errorf("%v", got)
	}
}

func TestFilesOfAliasesAreNotWarned(t *testing.T) {
	file := filepath.Join(t.TempDir(), "archive")
	job := testJob(settings.Transport{Driver: "mbox", MailboxLimit: 10000, MailboxWarn: percent(1)}, testMessage)
	job.Job.Recipient.Kind, job.Job.Recipient.Target = envelope.TargetFile, file
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if text := read(t, file); strings.Contains(text, "MAILER-DAEMON") {
		t.Error(text)
	}
	job.Job.Recipient.Target = file + ".d/"
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if _, warnings := mailAndWarnings(t, file+".d"); len(warnings) != 0 {
		t.Error(warnings)
	}
}

func TestDeliveringIsNoReadingOfAnMbox(t *testing.T) {
	job, box := spoolJob(t, settings.Transport{
		MailboxLimit: 1000, MailboxWarn: percent(0), WhenFull: "defer-if-read", ReadWithin: settings.Duration(180 * 24 * time.Hour),
	})
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(box), &st); err != nil || st.Flags&noATime != 0 {
		t.Skipf("the file system of %s keeps no times of access", box)
	}
	write(t, box, "From x\n\nx\n\n")
	chtimes(t, box, time.Now().Add(-181*24*time.Hour))
	wantDelivered(t, deliverIn(t, atPresent(), job))
	info, err := os.Stat(box)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(accessed(info)); age < 180*24*time.Hour {
		t.Fatalf("our own delivery set the time of access: %v ago", age)
	}
	// Full now, and not read for longer than that.
	if err := os.Truncate(box, 990); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, atPresent(), job), outcome.Failed, outcome.Quota, "5.2.2")
	chtimes(t, box, time.Now().Add(-179*24*time.Hour))
	wantOutcome(t, deliverIn(t, atPresent(), job), outcome.Deferred, outcome.Quota, "4.2.2")
}
