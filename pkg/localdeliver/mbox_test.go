package localdeliver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// mboxJob is a delivery to an mbox that is not there yet.
func mboxJob(t *testing.T, text string) (job *childJob, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bob")
	return testJob(settings.Transport{Driver: "mbox", Path: path}, text), path
}

const fromLineOfAda = "From ada@far.example Mon Oct  5 10:00:01 2026\n"

func TestMboxMessagesAreSeparatedByFromLinesAndEmptyLines(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	w := testWorker()
	wantDelivered(t, deliverIn(t, w, job))
	wantDelivered(t, deliverIn(t, w, job))
	one := fromLineOfAda + strings.Replace(stored(testMessage), "\nFrom the", "\n>From the", 1) + "\n"
	if got := read(t, path); got != one+one {
		t.Fatalf("got %q\nwant %q twice", got, one)
	}
	if left := names(t, filepath.Dir(path)); len(left) != 1 {
		t.Fatalf("left beside it: %v", left)
	}
}

func TestMboxQuotingCanBeTakenBack(t *testing.T) {
	text := "A: b\r\n\r\nFrom x\r\n>From x\r\n>>From x\r\n> From x\r\nFromage\r\n From x\r\nend From x"
	job, path := mboxJob(t, text)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	want := "\n>From x\n>>From x\n>>>From x\n> From x\nFromage\n From x\nend From x\n\n"
	if got := read(t, path); !strings.HasSuffix(got, want) {
		t.Fatalf("got %q", got)
	}
}

func TestMboxNeverHoldsAFromLineThatAMessageWrote(t *testing.T) {
	text := "A: b\r\n\r\n" + strings.Repeat("x", chunk-8) + "\r\nFrom a\r\n" +
		strings.Repeat("y", 2*chunk) + "From b\r\nFrom c"
	job, path := mboxJob(t, text)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if n := strings.Count("\n"+read(t, path), "\nFrom "); n != 1 {
		t.Fatalf("%d From lines", n)
	}
}

func TestMboxWithAnUnfinishedLineGetsANewOne(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path, "From x\n\nhalf a mess")
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := read(t, path); !strings.HasPrefix(got, "From x\n\nhalf a mess\n\n"+fromLineOfAda) {
		t.Fatalf("got %q", got)
	}
}

func TestMboxFromLineOfTheNullSender(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	job.Job.Sender = mailaddr.Address{}
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := read(t, path); !strings.HasPrefix(got, "From MAILER-DAEMON Mon Oct ") {
		t.Fatalf("got %q", got)
	}
}

func TestMboxFromLineHasNoSpaceOfTheSender(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	job.Job.Sender = mailaddr.MustParse(`"a b"@far.example`)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := read(t, path); !strings.HasPrefix(got, `From "a_b"@far.example Mon `) {
		t.Fatalf("got %q", got)
	}
}

func TestMboxUnderAnFcntlLockIsDeferredAndThenDelivered(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path, "")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK}
	if err := syscall.FcntlFlock(f.Fd(), ofdSetLock, &lock); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, hasty(), job), outcome.Deferred, outcome.Locked, "4.2.0")
	if got := names(t, filepath.Dir(path)); len(got) != 1 || read(t, path) != "" {
		t.Fatalf("left: %v %q", got, read(t, path))
	}
	lock.Type = syscall.F_UNLCK
	if err := syscall.FcntlFlock(f.Fd(), ofdSetLock, &lock); err != nil {
		t.Fatal(err)
	}
	wantDelivered(t, deliverIn(t, testWorker(), job))
}

func TestMboxUnderADotLockIsDeferred(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path+".lock", "1\n")
	w := hasty()
	w.now = time.Now
	wantOutcome(t, deliverIn(t, w, job), outcome.Deferred, outcome.Locked, "4.2.0")
	if _, err := os.Stat(path); err == nil {
		t.Fatal("the mailbox was touched")
	}
	if read(t, path+".lock") != "1\n" {
		t.Fatal("somebody else's lock was touched")
	}
}

func TestStaleDotLockIsRemoved(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path+".lock", "1\n")
	w := testWorker()
	w.lockWait = time.Minute // it is there at the second try, whenever a busy machine comes to that
	w.wall = func() time.Time { return time.Now().Add(staleLock + time.Minute) }
	wantDelivered(t, deliverIn(t, w, job))
	if left := names(t, filepath.Dir(path)); len(left) != 1 {
		t.Fatalf("left: %v", left)
	}
}

func TestMboxThatIsALinkIsRefusedAndItsTargetUntouched(t *testing.T) {
	for name, link := range map[string]func(target, path string) error{"symbolic": os.Symlink, "hard": os.Link} {
		t.Run(name, func(t *testing.T) {
			job, path := mboxJob(t, testMessage)
			canary := filepath.Join(t.TempDir(), "canary")
			write(t, canary, "chirp")
			if err := link(canary, path); err != nil {
				t.Fatal(err)
			}
			wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
			if got := read(t, canary); got != "chirp" {
				t.Fatalf("the canary says %q", got)
			}
		})
	}
}

func TestDanglingSymbolicLinkIsNotCreatedThrough(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	target := filepath.Join(t.TempDir(), "new")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
	if _, err := os.Stat(target); err == nil {
		t.Fatal("made through the link")
	}
}

func TestMboxThatIsNoRegularFileIsRefused(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	mkdir(t, path)
	if done := deliverIn(t, testWorker(), job); done.Outcome.Class != outcome.Deferred {
		t.Fatalf("a directory: %s", show(done))
	}
}

func TestMboxThatEverybodyMayWriteIsRefused(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path, "")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
}

func TestFailedAppendIsTakenBack(t *testing.T) {
	for name, fault := range map[string]faultyFS{
		"disk full": {write: syscall.ENOSPC}, "quota": {write: syscall.EDQUOT}, "flush": {sync: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			const before = "From x\n\nan older message\n\n"
			write(t, filepath.Join(dir, "bob"), before)
			root, err := durable.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			fault.FS = root
			f, err := fault.OpenFile("bob", os.O_RDWR|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			job := testJob(settings.Transport{Driver: "mbox"}, testMessage)
			d := &delivery{childJob: job, text: newText(&job.Job, nil)}
			if err := appendMessage(f, "ada@far.example", d.text.writeTo, time.Now()); err == nil {
				t.Fatal("no error")
			}
			if got := read(t, filepath.Join(dir, "bob")); got != before {
				t.Fatalf("got %q", got)
			}
		})
	}
}

func TestShortContentIsTakenBackFromAnMbox(t *testing.T) {
	job, path := mboxJob(t, testMessage)
	write(t, path, "From x\n\nold\n\n")
	job.Job.Content.Inline, job.Job.Content.Size = nil, 1<<20
	body := strings.NewReader("A: b\r\n\r\n" + strings.Repeat("x", 200<<10))
	done := testWorker().deliver(t.Context(), job, body)
	wantOutcome(t, done, outcome.Deferred, outcome.Internal, "4.3.0")
	if got := read(t, path); got != "From x\n\nold\n\n" {
		t.Fatalf("got %q", got)
	}
}

// fileJob is a delivery to the file that an alias names.
func fileJob(target string) *childJob {
	job := testJob(settings.Transport{Driver: "mbox"}, testMessage)
	job.Job.Recipient.Kind, job.Job.Recipient.Target = envelope.TargetFile, target
	return job
}

func TestAliasFileIsAnMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	wantDelivered(t, deliverIn(t, testWorker(), fileJob(path)))
	if !strings.HasPrefix(read(t, path), fromLineOfAda) {
		t.Fatalf("got %q", read(t, path))
	}
}

func TestAliasFileWithASlashIsAMaildir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	wantDelivered(t, deliverIn(t, testWorker(), fileJob(path+"/")))
	onlyMessage(t, path)
}

func TestAliasFileNeedsAnAbsolutePath(t *testing.T) {
	for _, target := range []string{"", "x", "../x", "/"} {
		if done := deliverIn(t, testWorker(), fileJob(target)); done.Outcome.Class != outcome.Deferred {
			t.Errorf("%q: %s", target, show(done))
		}
	}
}

func TestDevNullTakesEverything(t *testing.T) {
	wantDelivered(t, deliverIn(t, testWorker(), fileJob("/dev/null")))
}

func TestReplacedMboxIsNoticedAfterLocking(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bob"), "old")
	root, err := durable.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	f, err := openOrCreate(root, "bob")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := checkMailboxFile(f.OS())
	if err != nil {
		t.Fatal(err)
	}
	if same, err := stillNamed(root, "bob", info); !same || err != nil {
		t.Fatalf("the same file: %v %v", same, err)
	}
	if err := errors.Join(os.Rename(dir+"/bob", dir+"/bob.1")); err != nil {
		t.Fatal(err)
	}
	if same, err := stillNamed(root, "bob", info); same || err != nil {
		t.Fatalf("a renamed file: %v %v", same, err)
	}
	write(t, dir+"/bob", "")
	if same, err := stillNamed(root, "bob", info); same || err != nil {
		t.Fatalf("another file: %v %v", same, err)
	}
}
