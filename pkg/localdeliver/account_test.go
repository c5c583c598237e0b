package localdeliver

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// limitedJob is homeJob with limits.
func limitedJob(t *testing.T, tr settings.Transport, text string) (job *childJob, box string) {
	t.Helper()
	home := mkdir(t, t.TempDir(), "bob")
	tr.Driver, tr.Path = "maildir", "{home}/Maildir"
	job = testJob(tr, text)
	job.Job.User.Home = home
	return job, filepath.Join(home, "Maildir")
}

// percent is a setting of mailbox_warn.
func percent(n int) *int { return &n }

// mail and warnings are the names in new, apart.
func mailAndWarnings(t *testing.T, box string) (mail, warnings []string) {
	t.Helper()
	for _, name := range names(t, filepath.Join(box, "new")) {
		if strings.Contains(name, warningMark) {
			warnings = append(warnings, name)
		} else {
			mail = append(mail, name)
		}
	}
	return mail, warnings
}

// atPresent is a worker whose clock is that of the file system.
func atPresent() *worker {
	w := testWorker()
	w.now = time.Now
	return w
}

func TestAFullMailboxTakesNothingUntilThereIsRoom(t *testing.T) {
	for name, w := range map[string]*worker{"with a tally": atPresent(), "with a stale one": testWorker()} {
		t.Run(name, func(t *testing.T) {
			job, box := limitedJob(t, settings.Transport{MailboxMessages: 2, MailboxWarn: percent(0)}, testMessage)
			wantDelivered(t, deliverIn(t, w, job))
			wantDelivered(t, deliverIn(t, w, job))
			wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Quota, "4.2.2")
			wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Quota, "4.2.2")
			mail, _ := mailAndWarnings(t, box)
			if len(mail) != 2 || len(names(t, filepath.Join(box, "tmp"))) != 0 {
				t.Fatalf("%v", mail)
			}
			// A reader that knows nothing of tallies.
			if err := os.Remove(filepath.Join(box, "new", mail[0])); err != nil {
				t.Fatal(err)
			}
			wantDelivered(t, deliverIn(t, w, job))
			wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Quota, "4.2.2")
		})
	}
}

func TestTheTallyIsThatOfMaildirPlusPlus(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{MailboxLimit: 1 << 20, MailboxMessages: 10}, testMessage)
	w := atPresent()
	for range 3 {
		wantDelivered(t, deliverIn(t, w, job))
	}
	mail, _ := mailAndWarnings(t, box)
	size, ok := sizeInName(mail[0])
	if info, err := os.Stat(filepath.Join(box, "new", mail[0])); !ok || err != nil || info.Size() != size {
		t.Fatalf("%s: %v", mail[0], err)
	}
	text := read(t, filepath.Join(box, tallyName))
	got, err := parseTally([]byte(text), "1048576S,10C")
	if err != nil || got.usage != (usage{3 * size, 3}) || got.lines != 3 {
		t.Fatalf("%q: %+v, %v", text, got, err)
	}
}

func TestAMessageLargerThanTheMailboxIsReturned(t *testing.T) {
	job, _ := limitedJob(t, settings.Transport{MailboxLimit: 1000}, bigMessage())
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Failed, outcome.Quota, "5.2.3")
}

func TestLimitsThatOnlyWarnKeepNothingOut(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{MailboxMessages: 1, MailboxLimit: 10, WhenFull: "deliver"}, testMessage)
	for range 3 {
		wantDelivered(t, deliverIn(t, atPresent(), job))
	}
	if mail, warnings := mailAndWarnings(t, box); len(mail) != 3 || len(warnings) != 1 {
		t.Fatalf("%v %v", mail, warnings)
	}
}

func TestMailThatIsNotReadIsReturnedAndOtherMailWaits(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{
		MailboxMessages: 1, MailboxWarn: percent(0), WhenFull: "defer-if-read", ReadWithin: settings.Duration(180 * 24 * time.Hour),
	}, testMessage)
	w := atPresent()
	wantDelivered(t, deliverIn(t, w, job))
	wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Quota, "4.2.2")
	chtimes(t, filepath.Join(box, "cur"), time.Now().Add(-181*24*time.Hour))
	done := deliverIn(t, w, job)
	wantOutcome(t, done, outcome.Failed, outcome.Quota, "5.2.2")
	if containsText(done, box) || containsText(done, "20") {
		t.Errorf("a stranger reads %s", show(done))
	}
}

// Whatever lies there in place of a tally: mail is counted, delivered and
// refused as if it were not there, and nothing outside is touched.
func TestAHostileTallyCostsACount(t *testing.T) {
	precious := filepath.Join(t.TempDir(), "precious")
	write(t, precious, "precious")
	for name, put := range map[string]func(path string) error{
		"nonsense":       func(p string) error { return os.WriteFile(p, []byte("\x00\xff\n\n"), 0o600) },
		"over the limit": func(p string) error { return os.WriteFile(p, []byte("2C\n9223372036854775807 999999\n"), 0o600) },
		"very long":      func(p string) error { return os.WriteFile(p, []byte("2C\n"+strings.Repeat("0 0\n", 1<<18)), 0o600) },
		"a link":         func(p string) error { return os.Symlink(precious, p) },
		"a dead link":    func(p string) error { return os.Symlink("/nonexistent/x", p) },
		"a second name":  func(p string) error { return os.Link(precious, p) },
		"a fifo":         func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a directory":    func(p string) error { return os.MkdirAll(filepath.Join(p, "full"), 0o700) },
		"not readable":   func(p string) error { return os.WriteFile(p, []byte("2C\n"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			job, box := limitedJob(t, settings.Transport{MailboxMessages: 2, MailboxWarn: percent(0)}, testMessage)
			for _, sub := range []string{"tmp", "new", "cur"} {
				mkdir(t, box, sub)
			}
			if err := put(filepath.Join(box, tallyName)); err != nil {
				t.Fatal(err)
			}
			w := atPresent()
			wantDelivered(t, deliverIn(t, w, job))
			wantDelivered(t, deliverIn(t, w, job))
			wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Quota, "4.2.2")
			if got := read(t, precious); got != "precious" {
				t.Fatalf("written to another file: %q", got)
			}
			if left := names(t, filepath.Join(box, "tmp")); len(left) != 0 {
				t.Errorf("left in tmp: %v", left)
			}
		})
	}
}

func TestTwoDeliveriesAtOnceDoNotBothTakeTheLastPlace(t *testing.T) {
	const at = 8
	job, box := limitedJob(t, settings.Transport{MailboxMessages: 3, MailboxWarn: percent(0)}, testMessage)
	w := atPresent()
	var all sync.WaitGroup
	done := make([]*proto.LocalDone, at)
	for i := range at {
		one := *job
		all.Go(func() { done[i] = deliverIn(t, w, &one) })
	}
	all.Wait()
	classes := map[outcome.Class]int{}
	for _, d := range done {
		classes[d.Outcome.Class]++
	}
	if mail, _ := mailAndWarnings(t, box); len(mail) != 3 || classes[outcome.Delivered] != 3 || classes[outcome.Deferred] != at-3 {
		t.Fatalf("%v, %v", mail, classes)
	}
}

func TestTheUserIsWarnedOnceInAWhile(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{MailboxMessages: 10, MailboxWarn: percent(30), WarnEvery: settings.Duration(7 * 24 * time.Hour)}, testMessage)
	w := testWorker()
	now := w.now()
	w.now = func() time.Time { return now }
	for i, want := range []int{0, 0, 1, 1, 1} {
		wantDelivered(t, deliverIn(t, w, job))
		if _, warnings := mailAndWarnings(t, box); len(warnings) != want {
			t.Fatalf("behind message %d there are warnings %v", i+1, warnings)
		}
	}
	now = now.Add(7*24*time.Hour - time.Second)
	wantDelivered(t, deliverIn(t, w, job))
	if _, warnings := mailAndWarnings(t, box); len(warnings) != 1 {
		t.Fatalf("too early: %v", warnings)
	}
	now = now.Add(time.Second)
	wantDelivered(t, deliverIn(t, w, job))
	mail, warnings := mailAndWarnings(t, box)
	if len(warnings) != 2 || len(mail) != 7 {
		t.Fatalf("%v %v", mail, warnings)
	}
	for _, want := range []string{
		"Return-Path: <>\n", "From: Postmaster <postmaster@local.example>\nTo: bob@local.example\nSubject: Your mailbox is 30 % full\n",
		"Auto-Submitted: auto-generated\n", "in 3 messages.\n", "may have 10 messages.\n",
	} {
		if text := read(t, filepath.Join(box, "new", warnings[0])); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestWarningsTakeNoPlace(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{MailboxMessages: 2, MailboxWarn: percent(50)}, testMessage)
	w := testWorker() // its clock makes every tally stale
	wantDelivered(t, deliverIn(t, w, job))
	wantDelivered(t, deliverIn(t, w, job))
	if mail, warnings := mailAndWarnings(t, box); len(mail) != 2 || len(warnings) != 1 {
		t.Fatalf("%v %v", mail, warnings)
	}
}

// A tally that nobody kept says 9 of 10; the user has removed them all.
func TestNobodyIsWarnedByAnOldTally(t *testing.T) {
	job, box := limitedJob(t, settings.Transport{MailboxMessages: 10}, testMessage)
	mkdir(t, box, "tmp")
	write(t, filepath.Join(box, tallyName), "10C\n1000 9\n")
	wantDelivered(t, deliverIn(t, atPresent(), job))
	if _, warnings := mailAndWarnings(t, box); len(warnings) != 0 {
		t.Fatalf("%v", warnings)
	}
}

func TestAStateOfWarningsThatCannotBeWrittenWarnsNobody(t *testing.T) {
	precious := filepath.Join(t.TempDir(), "precious")
	for name, put := range map[string]func(path string) error{
		"a link":        func(p string) error { return os.Symlink(precious, p) },
		"a second name": func(p string) error { return os.Link(precious, p) },
		"a fifo":        func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a directory":   func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		write(t, precious, "precious")
		job, box := limitedJob(t, settings.Transport{MailboxMessages: 1}, testMessage)
		mkdir(t, box, "tmp")
		if err := put(filepath.Join(box, warnedName)); err != nil {
			t.Fatal(err)
		}
		wantDelivered(t, deliverIn(t, atPresent(), job))
		if _, warnings := mailAndWarnings(t, box); len(warnings) != 0 || read(t, precious) != "precious" {
			t.Errorf("%s: %v", name, warnings)
		}
	}
}

func TestATimeOfWarningFromTheFutureIsNone(t *testing.T) {
	now := time.Date(2026, 10, 5, 10, 0, 0, 0, time.UTC)
	path, dir := aMaildir(t)
	for _, text := range []string{"", "soon", "2026-10-06T10:00:00Z", "2026-10-05T10:00:00Z and more", strings.Repeat("9", 1000)} {
		if err := os.WriteFile(filepath.Join(path, warnedName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if !warningDue(dir, warnedName, time.Hour, now) {
			t.Errorf("%.30q keeps a warning back", text)
		}
	}
	if !claimWarning(dir, warnedName, now) || warningDue(dir, warnedName, time.Hour, now.Add(time.Minute)) {
		t.Error("a claim does not hold")
	}
}
