package localdeliver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// homeJob is a delivery to {home}/Maildir of a home that is there.
func homeJob(t *testing.T, text string) (job *childJob, home string) {
	t.Helper()
	home = mkdir(t, t.TempDir(), "bob")
	job = testJob(settings.Transport{Driver: "maildir", Path: "{home}/Maildir"}, text)
	job.Job.User.Home = home
	return job, home
}

func TestMaildirHoldsTheMessageWithItsTraceFields(t *testing.T) {
	job, home := homeJob(t, testMessage)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := onlyMessage(t, filepath.Join(home, "Maildir")); got != stored(testMessage) {
		t.Fatalf("got %q", got)
	}
}

func TestMaildirNameIsUniqueAndHoldsTheHost(t *testing.T) {
	job, home := homeJob(t, testMessage)
	job.Hostname = "odd/na:me"
	w := testWorker() // its clock stands still
	for range 3 {
		wantDelivered(t, deliverIn(t, w, job))
	}
	list := names(t, filepath.Join(home, "Maildir", "new"))
	form := regexp.MustCompile(`^1791194401\.M2P[0-9]+Q[123]\.odd\\057na\\072me,S=[0-9]+$`)
	if len(list) != 3 || !form.MatchString(list[0]) {
		t.Fatalf("names %q", list)
	}
}

func TestMaildirFilesFollowTheUmask(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	job, home := homeJob(t, testMessage)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	dir := filepath.Join(home, "Maildir")
	for path, want := range map[string]fs.FileMode{
		dir: 0o700, dir + "/new": 0o700, dir + "/new/" + names(t, dir+"/new")[0]: 0o600,
	} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestMissingHomeIsDeferredAndNotMade(t *testing.T) {
	job, home := homeJob(t, testMessage)
	if err := os.Remove(home); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.HomeMissing, "4.2.1")
	if _, err := os.Stat(home); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("the home was made")
	}
}

func TestHomeThatOthersMayWriteIsRefusedUnlessAllowed(t *testing.T) {
	for _, mode := range []fs.FileMode{0o770, 0o707, 0o1777} {
		job, home := homeJob(t, testMessage)
		if err := os.Chmod(home, mode); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
		if left := names(t, home); len(left) != 0 {
			t.Fatalf("written: %v", left)
		}
		allowed := testJob(settings.Transport{Driver: "maildir", Path: "{home}/Maildir", WritableHome: "allow"}, testMessage)
		allowed.Job.User.Home = home
		wantDelivered(t, deliverIn(t, testWorker(), allowed))
	}
}

func TestMissingMailDirectoryIsNotMadeButWhatLiesBelowIs(t *testing.T) {
	mail := filepath.Join(t.TempDir(), "mail")
	job := testJob(settings.Transport{Driver: "maildir", Path: "{mail}/{domain}/{local_part}"}, testMessage)
	job.Mail = mail
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.HomeMissing, "4.2.1")
	mkdir(t, mail)
	wantDelivered(t, deliverIn(t, testWorker(), job))
	onlyMessage(t, filepath.Join(mail, "local.example", "bob"))
}

func TestOldFilesInTmpAreLeftAlone(t *testing.T) {
	job, home := homeJob(t, testMessage)
	tmp := mkdir(t, home, "Maildir", "tmp")
	mkdir(t, home, "Maildir", "new")
	write(t, filepath.Join(tmp, "1.M1P1Q1.other"), "half")
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := names(t, tmp); len(got) != 1 || got[0] != "1.M1P1Q1.other" {
		t.Fatalf("tmp holds %v", got)
	}
}

func TestMaildirWithTmpAloneIsCompleted(t *testing.T) {
	job, home := homeJob(t, testMessage)
	mkdir(t, home, "Maildir", "tmp")
	wantDelivered(t, deliverIn(t, testWorker(), job))
	onlyMessage(t, filepath.Join(home, "Maildir"))
}

func TestSecondDeliveryToTheSameAddressIsALoop(t *testing.T) {
	for _, field := range []string{
		"Delivered-To: bob@local.example\r\n",
		"DELIVERED-TO:   <Bob@LOCAL.example>  \r\n",
	} {
		job, home := homeJob(t, field+testMessage)
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Failed, outcome.Loop, "5.4.6")
		if left := names(t, home); len(left) != 0 {
			t.Fatalf("written: %v", left)
		}
	}
}

func TestOtherDeliveredToIsNoLoop(t *testing.T) {
	for _, text := range []string{
		"Delivered-To: bobby@local.example\r\n" + testMessage,
		"X-Delivered-To: bob@local.example\r\n" + testMessage,
		testMessage + "Delivered-To: bob@local.example\r\n", // in the body
	} {
		job, _ := homeJob(t, text)
		wantDelivered(t, deliverIn(t, testWorker(), job))
	}
}

func TestNullSenderIsAnEmptyReturnPath(t *testing.T) {
	job, home := homeJob(t, testMessage)
	job.Job.Sender = mailaddr.Address{}
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := onlyMessage(t, filepath.Join(home, "Maildir")); !strings.HasPrefix(got, "Return-Path: <>\n") {
		t.Fatalf("got %q", got)
	}
}

func TestOnlyLineEndsAreConverted(t *testing.T) {
	for name, text := range map[string]string{
		"lone CR and LF":     "A: b\r\n\r\nx\ry\nz\r\r\n\x00\xff\r\n",
		"no body":            "A: b\r\n",
		"empty":              "",
		"no final newline":   "A: b\r\n\r\nend",
		"ends in CR":         "A: b\r\n\r\nend\r",
		"CRLF at chunk edge": "A: b\r\n\r\n" + strings.Repeat("x", chunk-1) + "\r\n" + strings.Repeat("y", chunk-9) + "\r\nz\r\n",
		"long line":          "A: b\r\n\r\n" + strings.Repeat("x", 3*chunk) + "\r\n",
		"CRs over the edge":  "A: b\r\n\r\n" + strings.Repeat("\r", 2*chunk) + "\n",
		"endless header":     strings.Repeat("A: bcdefg\r\n", headerScan/5),
		"big":                bigMessage(),
	} {
		t.Run(name, func(t *testing.T) {
			job, home := homeJob(t, text)
			wantDelivered(t, deliverIn(t, testWorker(), job))
			if got := onlyMessage(t, filepath.Join(home, "Maildir")); got != stored(text) {
				t.Fatalf("differs: %d bytes, want %d", len(got), len(stored(text)))
			}
		})
	}
}

func TestShortContentLeavesNothing(t *testing.T) {
	job, home := homeJob(t, testMessage)
	job.Job.Content = proto.Content{Size: int64(len(testMessage)) + 1}
	done := testWorker().deliver(t.Context(), job, strings.NewReader(testMessage))
	wantOutcome(t, done, outcome.Deferred, outcome.Internal, "4.3.0")
	dir := filepath.Join(home, "Maildir")
	if n := len(names(t, dir+"/new")) + len(names(t, dir+"/tmp")); n != 0 {
		t.Fatalf("%d files left", n)
	}
}

func TestMaildirPathIsOneComponentOfEachValue(t *testing.T) {
	for _, local := range []string{`"../../etc"`, `"a/b"`, `".."`} {
		job := testJob(settings.Transport{Driver: "maildir", Path: "{mail}/{local_part}"}, testMessage)
		job.Mail = mkdir(t, t.TempDir(), "mail")
		job.Job.Recipient.Address = mailaddr.MustParse(local + "@local.example")
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Failed, outcome.UnknownUser, "5.1.1")
		if left := names(t, job.Mail); len(left) != 0 {
			t.Fatalf("made %v", left)
		}
	}
}

func TestDetailIsTakenOffTheLocalPart(t *testing.T) {
	job := testJob(settings.Transport{Driver: "maildir", Path: "{mail}/{local_part}.{detail}"}, testMessage)
	job.Mail = mkdir(t, t.TempDir(), "mail")
	job.Job.Recipient.Address = mailaddr.MustParse("bob+lists@local.example")
	job.Job.Detail = "lists"
	wantDelivered(t, deliverIn(t, testWorker(), job))
	if got := names(t, job.Mail); len(got) != 1 || got[0] != "bob.lists" {
		t.Fatalf("made %v", got)
	}
}

func TestBadTemplatesDeferAsConfiguration(t *testing.T) {
	for _, path := range []string{"", "Maildir", "{home", "{nothing}/x", "/a/{sender_ip}"} {
		job, _ := homeJob(t, testMessage)
		broken := testJob(settings.Transport{Driver: "maildir", Path: path}, testMessage)
		broken.Job.User = job.Job.User
		wantOutcome(t, deliverIn(t, testWorker(), broken), outcome.Deferred, outcome.Internal, "4.3.5")
	}
}

func TestMaildirThatEverybodyMayWriteIsRefused(t *testing.T) {
	job, home := homeJob(t, testMessage)
	if err := os.Chmod(mkdir(t, home, "Maildir"), 0o777); err != nil {
		t.Fatal(err)
	}
	wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
}

func TestSymbolicLinkToOnesOwnMaildirIsFollowed(t *testing.T) {
	job, home := homeJob(t, testMessage)
	elsewhere := mkdir(t, t.TempDir(), "disk2")
	if err := os.Symlink(elsewhere, filepath.Join(home, "Maildir")); err != nil {
		t.Fatal(err)
	}
	wantDelivered(t, deliverIn(t, testWorker(), job))
	onlyMessage(t, elsewhere)
}

func TestSymbolicLinkInsideAMaildirIsNotFollowed(t *testing.T) {
	for _, link := range []string{"tmp", "new"} {
		job, home := homeJob(t, testMessage)
		dir := mkdir(t, home, "Maildir")
		other := mkdir(t, t.TempDir(), "other")
		for _, sub := range []string{"tmp", "new", "cur"} {
			if sub != link {
				mkdir(t, dir, sub)
			}
		}
		if err := os.Symlink(other, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		wantOutcome(t, deliverIn(t, testWorker(), job), outcome.Deferred, outcome.Permission, "4.2.0")
		if left := names(t, other); len(left) != 0 {
			t.Fatalf("written through the link: %v", left)
		}
	}
}

// faultyFS fails where it is told to.
type faultyFS struct {
	durable.FS
	write, sync, rename, syncDir error
}

type faultyFile struct {
	durable.File
	fs *faultyFS
}

func (f *faultyFS) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	file, err := f.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.fs.write != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, f.fs.write
	}
	return f.File.Write(p)
}

func (f *faultyFile) Datasync() error {
	if f.fs.sync != nil {
		return f.fs.sync
	}
	return f.File.Datasync()
}

func (f *faultyFS) Rename(a, b string) error {
	if f.rename != nil {
		return f.rename
	}
	return f.FS.Rename(a, b)
}

func (f *faultyFS) SyncDir(name string) error {
	if f.syncDir != nil {
		return f.syncDir
	}
	return f.FS.SyncDir(name)
}

func TestFailedWritesAreDeferredAndLeaveNothing(t *testing.T) {
	for name, c := range map[string]struct {
		fault  faultyFS
		kind   outcome.Kind
		status string
	}{
		"disk full":        {faultyFS{write: syscall.ENOSPC}, outcome.DiskFull, "4.3.1"},
		"over quota":       {faultyFS{write: syscall.EDQUOT}, outcome.Quota, "4.2.2"},
		"quota at flush":   {faultyFS{sync: syscall.EDQUOT}, outcome.Quota, "4.2.2"},
		"disk dying":       {faultyFS{sync: syscall.EIO}, outcome.Internal, "4.2.0"},
		"no room for name": {faultyFS{rename: syscall.ENOSPC}, outcome.DiskFull, "4.3.1"},
		"name not durable": {faultyFS{syncDir: syscall.EIO}, outcome.Internal, "4.2.0"},
		"file too large":   {faultyFS{write: syscall.EFBIG}, outcome.Quota, "4.2.2"},
		"read-only":        {faultyFS{write: syscall.EROFS}, outcome.Permission, "4.2.0"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, sub := range []string{"tmp", "new", "cur"} {
				mkdir(t, dir, sub)
			}
			root, err := durable.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			c.fault.FS = root
			job := testJob(settings.Transport{Driver: "maildir"}, testMessage)
			d := &delivery{childJob: job, text: newText(&job.Job, nil)}
			_, err = testWorker().deposit(t.Context(), &c.fault, "host", d.text.writeTo)
			o := fileOutcome("write", err)
			wantOutcome(t, &proto.LocalDone{Outcome: *o}, outcome.Deferred, c.kind, c.status)
			if n := len(names(t, dir+"/tmp")) + len(names(t, dir+"/new")); n != 0 {
				t.Fatalf("%d files left", n)
			}
		})
	}
}

// When local-deliver dies, dispatch has the message delivered again. A child that
// went on would deliver it twice.
func TestMailboxIsLeftAloneWhenTheParentHasGone(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, driver := range []string{"maildir", "mbox"} {
		home := mkdir(t, t.TempDir(), "bob")
		job := testJob(settings.Transport{Driver: driver, Path: "{home}/box"}, testMessage)
		job.Job.User.Home = home
		if done := testWorker().deliver(gone, job, nil); done.Outcome.Class != outcome.Deferred {
			t.Errorf("%s: %v", driver, done.Outcome)
		}
		err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
			if info, _ := d.Info(); err == nil && d.Type().IsRegular() && info.Size() > 0 {
				t.Errorf("%s: %s was written", driver, path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
