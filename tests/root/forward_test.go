package root

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// forwardFile gives a user a forward file for the time of a test.
func (s *site) forwardFile(t *testing.T, u account, text string) string {
	t.Helper()
	path := s.path("home", u.name, ".forward")
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chown(path, u.uid, u.gid)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(path) })
	return path
}

// TestAForwardFileIsReadAndRunAsItsUser: nobody but the user may read it, and its
// command is he.
func TestAForwardFileIsReadAndRunAsItsUser(t *testing.T) {
	s := started(t)
	u := s.users["fbtest1"]
	out := s.path("home/fbtest1/described")
	_ = os.Remove(out)
	s.forwardFile(t, u, fmt.Sprintf("\\fbtest1, fbtest2@root.test\n\"|%s %s describe %s\"\n", s.helper(), helperFlag, out))
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@forward.test", subject)
	s.delivered(t, "fbtest1", subject)
	s.delivered(t, "fbtest2", subject)
	eventually(t, func() (bool, string) {
		_, err := os.Stat(out)
		return err == nil, "what the command of the forward file wrote"
	})
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`(?m)^Uid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, u.uid),
		fmt.Sprintf(`(?m)^Gid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, u.gid),
		`(?m)^CapEff:\s+0+$`, `(?m)^NoNewPrivs:\s+1$`,
	} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
}

// TestAForwardFileThatIsNotSafeHoldsUpItsUsersMailAlone: with each of these the
// mail waits, and comes when the file is repaired.
func TestAForwardFileThatIsNotSafeHoldsUpItsUsersMailAlone(t *testing.T) {
	s := started(t)
	u := s.users["fbtest1"]
	canary, same := s.canary(t, 0, u.gid, 0o640)
	for name, make := range map[string]func(path string) error{
		"link":            func(p string) error { return os.Symlink(canary, p) },
		"second name":     func(p string) error { return os.Link(canary, p) },
		"fifo":            func(p string) error { return errors.Join(syscall.Mkfifo(p, 0o600), os.Chown(p, u.uid, u.gid)) },
		"somebody else's": func(p string) error { return os.WriteFile(p, []byte("fbtest2@root.test\n"), 0o644) },
		"include": func(p string) error {
			return errors.Join(os.WriteFile(p, []byte(":include:/etc/shadow\n"), 0o600), os.Chown(p, u.uid, u.gid))
		},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			path := s.forwardFile(t, u, "")
			if err := errors.Join(os.Remove(path), make(path)); err != nil {
				t.Fatal(err)
			}
			subject := unique(t, "x")
			s.send(t, "fbtest2@root.test", "fbtest1@forward.test", subject)
			s.inLog(t, "fbtest1@forward.test", "forward file of fbtest1")
			other := unique(t, "other")
			s.send(t, "fbtest1@root.test", "fbtest2@forward.test", other)
			s.delivered(t, "fbtest2", other)
			if s.find("fbtest1", "Subject: "+subject+"\n") != "" {
				t.Error("delivered past the forward file")
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			s.delivered(t, "fbtest1", subject)
		})
	}
	same()
	if log := s.log(); strings.Contains(log, strings.TrimSpace(canaryText)) || strings.Contains(log, "root:") {
		t.Error("the log has what the user may not read")
	}
}

// TestSwappingForwardFilesReadsNoOthersFile: what the user aims at he may even read,
// but it is not his.
func TestSwappingForwardFilesReadsNoOthersFile(t *testing.T) {
	s := started(t)
	eve := s.users["fbtest1"]
	secret, secretSame := s.canary(t, 0, 0, 0o600)
	open, openSame := s.canary(t, 0, eve.gid, 0o660)
	place := s.path("home/fbtest1/.forward")
	t.Cleanup(func() { _ = os.RemoveAll(place) })
	s.swap(t, eve, []int{eve.gid}, place, []string{secret, open, "/etc/shadow"}, func() {
		s.trySend("fbtest2@root.test", "fbtest1@forward.test", "swap")
	})
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	secretSame()
	openSame()
	if strings.Contains(s.log(), strings.TrimSpace(canaryText)) {
		t.Error("the log has the text of the canary")
	}
	subject := unique(t, "after")
	s.send(t, "fbtest2@root.test", "fbtest1@forward.test", subject)
	s.delivered(t, "fbtest1", subject)
}

// TestAHomeThatIsNotSafeOrNotThereHoldsUpMail: who may write to the home may write
// the forward file, and an absent home (a disk that is not mounted) is not the same
// as an absent file.
func TestAHomeThatIsNotSafeOrNotThereHoldsUpMail(t *testing.T) {
	s := started(t)
	home, away := s.path("home/fbtest1"), s.path("home/fbtest1.away")
	info, err := os.Stat(home)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ spoil, mend func() error }{
		"others": {func() error { return os.Chmod(home, 0o777) }, func() error { return os.Chmod(home, info.Mode().Perm()) }},
		"group":  {func() error { return os.Chmod(home, 0o770) }, func() error { return os.Chmod(home, info.Mode().Perm()) }},
		"absent": {func() error { return os.Rename(home, away) }, func() error { return os.Rename(away, home) }},
	} {
		t.Run(name, func(t *testing.T) {
			s.forwardFile(t, s.users["fbtest1"], "\\fbtest1, fbtest2@root.test\n")
			if err := c.spoil(); err != nil {
				t.Fatal(err)
			}
			before, subject := len(s.log()), unique(t, "x")
			s.send(t, "fbtest2@root.test", "fbtest1@forward.test", subject)
			eventually(t, func() (bool, string) {
				said := s.log()[before:]
				i := strings.Index(said, " deferred to=<fbtest1@forward.test>")
				if i < 0 {
					return false, "a line that it is deferred"
				}
				line, _, _ := strings.Cut(said[i:], "\n")
				return strings.Contains(line, "home"), "a word of the home in " + line
			})
			if err := c.mend(); err != nil {
				t.Fatal(err)
			}
			s.delivered(t, "fbtest1", subject)
			s.delivered(t, "fbtest2", subject)
		})
	}
}

// TestTheProgramOfADirectorIsItsUserAndGroup: who is neither the suite's nor root.
func TestTheProgramOfADirectorIsItsUserAndGroup(t *testing.T) {
	s := started(t)
	user, group := s.users["fbtest1"], s.users["fbtest2"]
	out := s.path("home/fbtest1/directed")
	_ = os.Remove(out)
	s.more(t, fmt.Sprintf(`[[director]]
name = "ask"
driver = "command"
local_parts = ["asks"]
command = ["%s", "%s", "direct", "%s", "{local_part}.x@forward.test"]
user = "fbtest1"
group = "fbtest2"
transport = "maildir"
[[director]]
name = "asked"
driver = "accept"
local_parts = ["asks.x"]
user = "fbtest2"
group = "fbtest1"
transport = "directed"
[transport.directed]
driver = "pipe"
command = ["%[1]s", "%[2]s", "describe", "%[4]s"]
`, s.helper(), helperFlag, out, s.path("home/fbtest2/piped")))
	s.send(t, "fbtest2@root.test", "asks@root.test", unique(t, "x"))
	described(t, out, user.uid, group.gid)
	described(t, s.path("home/fbtest2/piped"), group.uid, user.gid)
}

// described waits for what helpDescribe writes, and checks whose process it was.
func described(t *testing.T, file string, uid, gid int) {
	t.Helper()
	eventually(t, func() (bool, string) {
		_, err := os.Stat(file)
		return err == nil, "what the program writes to " + file
	})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf(`(?m)^Uid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, uid),
		fmt.Sprintf(`(?m)^Gid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, gid),
		`(?m)^CapEff:\s+0+$`, `(?m)^CapPrm:\s+0+$`, `(?m)^NoNewPrivs:\s+1$`,
	} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("no %s in\n%s", want, b)
		}
	}
	for _, secret := range []string{"FILBERT_INSTANCE", asked} {
		if strings.Contains(string(b), secret) {
			t.Errorf("its environment has %s", secret)
		}
	}
}
