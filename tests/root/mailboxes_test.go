package root

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAFullFileSystemIsToldFromAFullMailbox: mail for a user whose file system is
// full waits as the machine's trouble, leaves nothing behind, and comes when there is
// room.
func TestAFullFileSystemIsToldFromAFullMailbox(t *testing.T) {
	s := started(t)
	u := s.users["fbtest1"]
	s.wakeUser(t, u)
	box := s.maildir(u.name)
	if err := syscall.Mount("tmpfs", box, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=64k,mode=0700,uid=%d,gid=%d", u.uid, u.gid)); err != nil {
		t.Skipf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(box, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(box, "filler")
	if err := os.WriteFile(filler, make([]byte, 128<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the file system is not full: %v", err)
	}
	subject := unique(t, "full")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	s.inLog(t, " deferred to=<fbtest1@root.test>", "status=4.3.1 kind=disk-full", "the file system is full")
	if left, _ := filepath.Glob(box + "/tmp/*"); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	s.delivered(t, "fbtest1", subject)
}

// wakeUser makes sure that a user has a Maildir.
func (s *site) wakeUser(t *testing.T, u account) {
	t.Helper()
	subject := unique(t, "first")
	s.send(t, "fbtest2@root.test", u.name+"@root.test", subject)
	s.delivered(t, u.name, subject)
}

// listedMailbox is what mtactl says of a Maildir of a user, nil for nothing.
func (s *site) listedMailbox(t *testing.T, path string) map[string]any {
	t.Helper()
	for line := range strings.Lines(s.mtactl(t, "mailboxes", "--json")) {
		var row map[string]any
		if !strings.HasPrefix(line, "{") {
			continue // a note on standard error
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if row["path"] == path {
			return row
		}
	}
	return nil
}

func TestMailboxesAreMeasuredAsTheirUsers(t *testing.T) {
	s := started(t)
	u := s.users["fbtest2"]
	s.wakeUser(t, u)
	box := s.maildir(u.name)
	row := s.listedMailbox(t, box)
	if row == nil || row["user"] != u.name || row["messages"].(float64) < 1 || row["last_read"] == nil {
		t.Fatalf("%v", row)
	}
	// What root may look at and the user may not.
	secret := s.path("secret")
	for _, dir := range []string{secret, secret + "/cur", secret + "/new"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(secret+"/cur/1.a", make([]byte, 4711), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(box, box+".away"), os.Symlink(secret, box)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(os.Remove(box), os.Rename(box+".away", box), os.RemoveAll(secret)); err != nil {
			t.Error(err)
		}
	})
	if row := s.listedMailbox(t, box); row == nil || row["trouble"] == nil || row["bytes"].(float64) != 0 {
		t.Errorf("through a link of the user's root sees %v", row)
	}
}

func TestUsersListTheirOwnMailboxesAlone(t *testing.T) {
	s := started(t)
	for _, name := range []string{"fbtest1", "fbtest2"} {
		s.wakeUser(t, s.users[name])
	}
	code, out := output(t, as(exec.Command(s.program("mtactl"), "mailboxes"), s.users["fbtest1"]))
	if code != 0 || !strings.Contains(out, s.maildir("fbtest1")) || strings.Contains(out, "fbtest2") {
		t.Errorf("exit status %d: %s", code, out)
	}
}
