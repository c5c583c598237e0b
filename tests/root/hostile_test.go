package root

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/proto"
)

// canaryText must turn up nowhere else.
const canaryText = "the canary sings a song that nobody else knows\n"

// hostileTime is how long each hostile loop runs.
const hostileTime = 5 * time.Second

// canary makes a file that a hostile user aims at: root's, so that a delivery
// that followed his link would need only one mistake to write or read it.
func (s *site) canary(t *testing.T, owner, group int, mode os.FileMode) (path string, unchanged func()) {
	t.Helper()
	f, err := os.CreateTemp(s.base, "canary-")
	if err != nil {
		t.Fatal(err)
	}
	path = f.Name()
	_, err = f.WriteString(canaryText)
	if err := errors.Join(err, f.Close(), os.Chown(path, owner, group), os.Chmod(path, mode)); err != nil {
		t.Fatal(err)
	}
	before := stat(t, path)
	return path, func() {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || string(b) != canaryText {
			t.Errorf("the canary %s says %.200q (%v)", path, b, err)
		}
		after := stat(t, path)
		if after.Uid != before.Uid || after.Gid != before.Gid || after.Mode != before.Mode || after.Ino != before.Ino || after.Mtim != before.Mtim {
			t.Errorf("the canary %s was %+v and is %+v", path, before, after)
		}
	}
}

func stat(t *testing.T, path string) syscall.Stat_t {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// swap has a user replace what lies at a place by links and other things, for
// hostileTime, while work is done over and over.
func (s *site) swap(t *testing.T, u account, groups []int, place string, targets []string, work func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hostileTime+patience)
	defer cancel()
	args := append([]string{helperFlag, "swap", hostileTime.String(), place}, targets...)
	cmd := as(exec.CommandContext(ctx, s.helper(), args...), u, groups...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	n := 0
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("the swapping program: %v\n%s", err, said.Bytes())
			}
			t.Logf("%d rounds against: %s", n, bytes.TrimSpace(said.Bytes()))
			if n < 5 {
				t.Errorf("only %d rounds were tried in %v", n, hostileTime)
			}
			return
		default:
			work()
			n++
		}
	}
}

// trySend hands in a message and does not mind a refusal: the mailbox of a
// hostile user may well be unusable.
func (s *site) trySend(from, to, subject string) {
	_ = smtp.SendMail(s.mx, nil, from, []string{to}, fmt.Appendf(nil, "Subject: %s\r\n\r\nHello.\r\n", subject))
}

// TestSwappingMailboxesReachesNoOthersFile: a user owns his mailbox and the
// directories around it, and replaces them under deliveries. The canaries are
// root's, one of them open to his own group, so that only the check of the owner
// stands before it; and another user's mailbox.
func TestSwappingMailboxesReachesNoOthersFile(t *testing.T) {
	s := started(t)
	eve, victim := s.users["fbtest1"], s.users["fbtest2"]
	secret, secretSame := s.canary(t, 0, 0, 0o600)
	open, openSame := s.canary(t, 0, eve.gid, 0o660)
	others := s.path("var/mail/fbtest2")
	if err := errors.Join(os.WriteFile(others, []byte(canaryText), 0o660), os.Chown(others, victim.uid, eve.gid), os.Chmod(others, 0o660)); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(others)
	targets := []string{secret, open, others, "/etc/passwd"}
	passwd := stat(t, "/etc/passwd")

	// The directory is his: where it were root's and sticky, his first hard link to
	// a file of root's would be his last.
	if err := os.Chown(s.path("var/mail"), eve.uid, eve.gid); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chown(s.path("var/mail"), 0, 0) }()
	first := unique(t, "first")
	s.send(t, "fbtest1@root.test", "fbtest2@root.test", first)
	s.delivered(t, "fbtest2", first) // there is a Maildir to aim at
	mbox := s.path("var/mail/fbtest1")
	s.swap(t, eve, nil, mbox, targets, func() { s.trySend("fbtest2@root.test", "fbtest1@mbox.test", "swap") })
	_ = os.RemoveAll(mbox)

	// A Maildir whose parts become links to places where he may not write.
	maildir := s.maildir("fbtest1")
	dirs := []string{s.base, s.maildir("fbtest2"), s.maildir("fbtest2") + "/new", s.spool("incoming"), "/etc"}
	theirs := s.listing(t, dirs)
	s.swap(t, eve, nil, maildir+"/new", dirs, func() { s.trySend("fbtest2@root.test", "fbtest1@root.test", "swap") })
	s.swap(t, eve, nil, maildir, dirs, func() { s.trySend("fbtest2@root.test", "fbtest1@root.test", "swap") })
	_ = os.RemoveAll(maildir)

	secretSame()
	openSame()
	if b, err := os.ReadFile(others); err != nil || string(b) != canaryText {
		t.Errorf("the other user's mailbox says %.200q (%v)", b, err)
	}
	if now := stat(t, "/etc/passwd"); now.Mtim != passwd.Mtim || now.Ino != passwd.Ino || now.Uid != 0 {
		t.Errorf("/etc/passwd was %+v and is %+v", passwd, now)
	}
	s.onlyMailOf(t, theirs, dirs)
	// What is deferred of all this goes with it.
	s.emptyQueue(t)
}

// listing is what lies in some directories.
func (s *site) listing(t *testing.T, dirs []string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, d := range dirs {
		entries, err := os.ReadDir(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			out[filepath.Join(d, e.Name())] = true
		}
	}
	return out
}

// onlyMailOf: in another's directories nothing appeared that fbtest1 owns.
func (s *site) onlyMailOf(t *testing.T, before map[string]bool, dirs []string) {
	t.Helper()
	for path := range s.listing(t, dirs) {
		if !before[path] {
			if st := stat(t, path); int(st.Uid) == s.users["fbtest1"].uid {
				t.Errorf("%s appeared, and belongs to fbtest1", path)
			}
		}
	}
}

// emptyQueue removes what is deferred.
func (s *site) emptyQueue(t *testing.T) {
	t.Helper()
	eventually(t, func() (bool, string) {
		_, _ = output(t, exec.Command(s.program("mtactl"), "queue", "delete", "--all", "--yes"))
		files, _ := filepath.Glob(s.spool("deferred/*/*"))
		return len(files) == 0, fmt.Sprintf("an empty queue (it has %d files)", len(files))
	})
}

// TestSwappingInMaildropGivesNothingAway: somebody has got hold of the drop group,
// as only pickup should have it, and lets the drain, which can read the whole
// spool, run into links. What it must not do is send out what they lead to, or
// write there, or stop.
func TestSwappingInMaildropGivesNothingAway(t *testing.T) {
	s := started(t)
	eve, owner := s.users["fbtest1"], s.users["filbert"]
	secret, secretSame := s.canary(t, owner.uid, owner.gid, 0o600)
	// And what another user has left there, in the right format.
	s.mtactl(t, "stop")
	subject := unique(t, "letter")
	if code, out := s.submit(t, s.users["fbtest2"], subject, "fbtest2"); code != 0 {
		t.Fatalf("sendmail: %d, %s", code, out)
	}
	left, _ := filepath.Glob(s.spool("maildrop/*"))
	if len(left) != 1 {
		t.Fatalf("maildrop has %v", left)
	}
	victim := filepath.Join(s.path("out"), "letter")
	if err := os.Link(left[0], victim); err != nil { // it stays readable for the drain
		t.Fatal(err)
	}
	defer os.Remove(victim)
	if err := os.Remove(left[0]); err != nil {
		t.Fatal(err)
	}
	s.mtactl(t, "start")

	place := s.spool("maildrop/00000000001")
	drain := func() {
		cmd := as(exec.Command(s.path("usr/libexec/filbert/pickup"), "--drain"), account{"filbert", owner.uid, s.drop})
		_, _ = output(t, cmd)
	}
	s.swap(t, eve, []int{s.drop}, place, []string{secret, victim, s.spool("incoming"), "/etc/shadow"}, drain)
	secretSame()
	if b, err := os.ReadFile(victim); err != nil || !strings.Contains(string(b), subject) {
		t.Errorf("the other user's letter: %v", err)
	}
	// Under his name nothing of it may have been sent, nor to anyone.
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", unique(t, "after"))
	for _, user := range endUsers {
		if f := s.find(user, "the canary sings"); f != "" {
			t.Errorf("%s has the canary", f)
		}
		if f := s.find(user, "Subject: "+subject+"\n"); f != "" {
			b, _ := os.ReadFile(f)
			if !strings.Contains(string(b), "from user fbtest2,") {
				t.Errorf("the letter of fbtest2 was sent as another's:\n%s", b)
			}
		}
	}
	_ = os.RemoveAll(place)
	// What he could do with the drain's attention is waste it: honest mail goes on.
	if code, out := s.submit(t, s.users["fbtest2"], subject+"-honest", "fbtest2"); code != 0 {
		t.Fatalf("sendmail: %d, %s", code, out)
	}
	s.delivered(t, "fbtest2", subject+"-honest")
}

// TestAUserWhoKillsHisDeliveriesHarmsHimselfAlone: the child that writes a mailbox
// is the user's own process. What he kills comes again.
func TestAUserWhoKillsHisDeliveriesHarmsHimselfAlone(t *testing.T) {
	s := started(t)
	eve := s.users["fbtest1"]
	if eve.uid == 0 {
		t.Fatal("the user is root") // kill(-1) as root would be the end of the machine
	}
	pid := s.pid(t, proto.LocalDeliver)
	cmd := as(exec.Command(s.helper(), helperFlag, "murder", hostileTime.String()), eve)
	var said bytes.Buffer
	cmd.Stdout = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var sent []string
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
			subject := unique(t, fmt.Sprint(len(sent)))
			s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
			sent = append(sent, subject)
			// His neighbour's mail does not wait for his.
			s.send(t, "fbtest1@root.test", "fbtest2@root.test", subject)
			s.delivered(t, "fbtest2", subject)
		}
	}
	t.Logf("%d messages; %s", len(sent), bytes.TrimSpace(said.Bytes()))
	if said.String() == "killed: 0\n" {
		t.Error("nothing was killed: the test proves nothing")
	}
	for _, subject := range sent {
		s.delivered(t, "fbtest1", subject)
	}
	if now := s.pid(t, proto.LocalDeliver); now != pid {
		t.Errorf("local-deliver was process %d and is %d", pid, now)
	}
}

// TestACrowdOfOneUserKeepsNobodyOut: a process of the drop group holds as many
// connections to cleanup as it gets, each with most of a long frame.
func TestACrowdOfOneUserKeepsNobodyOut(t *testing.T) {
	s := started(t)
	pid := s.pid(t, proto.Cleanup)
	cmd := as(exec.Command(s.helper(), helperFlag, "crowd", s.run("submit/cleanup"), "300", fmt.Sprint(4<<20)), s.users["fbtest1"], s.drop)
	hold, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = hold.Close()
		_ = cmd.Wait()
	}()
	var held int
	if _, err := fmt.Fscan(said, &held); err != nil || held == 0 || held > 64 {
		t.Errorf("it holds %d connections (%v)", held, err)
	}
	t.Logf("%d connections are held; VmRSS of cleanup is %s", held, procStatus(pid, "VmRSS"))
	s.sameAndWell(t, proto.Cleanup, pid)
	// Who starts now gets a connection too.
	smtpd := s.pid(t, proto.SMTPD)
	if err := syscall.Kill(smtpd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) { return s.pid(t, proto.SMTPD) != smtpd, "another smtpd" })
	s.sameAndWell(t, proto.Cleanup, pid)
}
