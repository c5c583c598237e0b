package localdeliver

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/settings"
)

// Users that need no entry in the password file.
const (
	bobUID, bobGID = 61001, 61001
	eveUID         = 61002
	extraGID       = 61010
)

// separated is a root parent with two users whose homes lie below home.
func separated(t *testing.T) (srv *server, s *settings.Settings, home string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: starts children as other users (make test-root)")
	}
	base, err := os.MkdirTemp("", "filbert")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	s = settings.Default()
	s.Hostname = "mail.local.example"
	s.Instance.Separate = true
	s.Users.DropGroup = "" // what this machine has is none of our business
	s.Instance.Mail = filepath.Join(base, "mail")
	s.Transports = map[string]settings.Transport{
		"maildir":  {Driver: "maildir", Path: "{home}/Maildir"},
		"mbox":     {Driver: "mbox", Path: s.Instance.Mail + "/{user}"},
		"describe": {Driver: "pipe", Command: []string{"/proc/self/exe", commandFlag, "describe", base + "/bob/self"}},
	}
	users := map[string]privsep.User{}
	for name, id := range map[string]privsep.Identity{
		"bob": {UID: bobUID, GID: bobGID, Groups: []int{bobGID, extraGID}}, "eve": {UID: eveUID, GID: eveUID},
	} {
		home := mkdir(t, base, name)
		own(t, home, id.UID)
		users[name] = privsep.User{Name: name, Home: home, Identity: id}
	}
	mkdir(t, s.Instance.Mail)
	for path, mode := range map[string]os.FileMode{base: 0o755, s.Instance.Mail: 0o777 | os.ModeSticky} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	srv = newServer(s, (&launcher{}).start, func(name string) (privsep.User, error) {
		u, ok := users[name]
		if !ok {
			return u, privsep.ErrNoUser
		}
		return u, nil
	})
	t.Cleanup(func() { srv.drain(t.Context()) })
	return srv, s, base
}

func own(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

func TestRootDeliversAsTheUser(t *testing.T) {
	srv, _, base := separated(t)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
	dir := filepath.Join(base, "bob", "Maildir")
	onlyMessage(t, dir)
	for _, path := range []string{dir, dir + "/new", filepath.Join(dir, "new", names(t, dir+"/new")[0])} {
		info, err := os.Stat(path)
		if err != nil || ownerOf(info) != bobUID || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: uid %d, %v, %v", path, ownerOf(info), info.Mode(), err)
		}
	}
}

func TestACommandOfRootsParentIsTheUserAndNothingMore(t *testing.T) {
	srv, _, base := separated(t)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "describe", testMessage), nil))
	var got self
	if err := json.Unmarshal([]byte(read(t, base+"/bob/self")), &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Groups)
	if got.UID != bobUID || got.GID != bobGID || !slices.Equal(got.Groups, []int{bobGID, extraGID}) {
		t.Errorf("is %d:%d %v", got.UID, got.GID, got.Groups)
	}
	if !strings.Contains(got.Status, "CapEff:\t0000000000000000") || !strings.Contains(got.Status, "CapPrm:\t0000000000000000") {
		t.Errorf("capabilities in %s", got.Status)
	}
	if !slices.Equal(got.FDs, []string{"0", "1", "2"}) {
		t.Errorf("descriptors %v", got.FDs)
	}
	if !slices.Contains(got.Env, "HOME="+base+"/bob") || got.Dir != base+"/bob" {
		t.Errorf("%q in %s", got.Env, got.Dir)
	}
}

// TestOnlyCommandsHaveTheGroupThatHandsInMail: with no_new_privs a command's
// sendmail gets nothing from its set-group-id bit.
func TestOnlyCommandsHaveTheGroupThatHandsInMail(t *testing.T) {
	srv, _, base := separated(t)
	srv.planner.submitters.Store(61020)
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "describe", testMessage), nil))
	var got self
	if err := json.Unmarshal([]byte(read(t, base+"/bob/self")), &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Groups)
	if !slices.Equal(got.Groups, []int{bobGID, extraGID, 61020}) {
		t.Errorf("the command's groups: %v", got.Groups)
	}
	pl, o := srv.planner.plan(jobFor("bob", "maildir", testMessage))
	if o != nil || slices.Contains(pl.identity.Groups, 61020) {
		t.Errorf("a mailbox's groups: %v, %v", pl.identity, o)
	}
}

func TestOneUserCannotHaveAnothersMailboxWritten(t *testing.T) {
	srv, s, base := separated(t)
	canary := filepath.Join(base, "canary")
	write(t, canary, "chirp") // root's
	for name, link := range map[string]func(a, b string) error{"symbolic": os.Symlink, "hard": os.Link} {
		path := filepath.Join(s.Instance.Mail, "eve")
		if err := link(canary, path); err != nil {
			t.Fatal(err)
		}
		done := srv.deliver(t.Context(), jobFor("eve", "mbox", testMessage), nil)
		wantOutcome(t, done, outcome.Deferred, outcome.Permission, "4.2.0")
		if got := read(t, canary); got != "chirp" {
			t.Errorf("%s link: the canary says %q", name, got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMailboxOfSomebodyElseIsRefusedThoughItCouldBeWritten(t *testing.T) {
	srv, s, _ := separated(t)
	path := filepath.Join(s.Instance.Mail, "eve")
	write(t, path, "chirp")
	if err := errors.Join(os.Chown(path, 0, eveUID), os.Chmod(path, 0o660)); err != nil {
		t.Fatal(err)
	}
	done := srv.deliver(t.Context(), jobFor("eve", "mbox", testMessage), nil)
	wantOutcome(t, done, outcome.Deferred, outcome.Permission, "4.2.0")
	if got := read(t, path); got != "chirp" {
		t.Fatalf("it says %q", got)
	}
}

// TestSwappingTheMailboxNeverReachesTheCanary lets a hostile user swap his
// mailbox between a plain file, a symbolic and a hard link while mail is
// delivered to it. The file that he aims at is root's, and writable for his
// group, so that only our own check of the owner stands before it.
func TestSwappingTheMailboxNeverReachesTheCanary(t *testing.T) {
	srv, s, base := separated(t)
	canary := filepath.Join(base, "canary")
	write(t, canary, "chirp")
	if err := errors.Join(os.Chown(canary, 0, eveUID), os.Chmod(canary, 0o660)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Instance.Mail, "eve")
	var stop atomic.Bool
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; !stop.Load(); i++ {
			tmp := path + ".tmp"
			switch i % 3 {
			case 0:
				_ = os.Symlink(canary, tmp)
			case 1:
				_ = os.Link(canary, tmp)
			case 2:
				_ = os.WriteFile(tmp, nil, 0o600)
				_ = os.Chown(tmp, eveUID, eveUID)
			}
			_ = os.Rename(tmp, path)
			// rename of two names of one file does nothing and leaves both.
			_ = os.Remove(tmp)
		}
	}()
	deadline := time.Now().Add(2 * time.Second)
	for n := 0; n < 300 && time.Now().Before(deadline); n++ {
		_ = srv.deliver(t.Context(), jobFor("eve", "mbox", testMessage), nil)
	}
	stop.Store(true)
	<-swapped
	if got := read(t, canary); got != "chirp" {
		t.Fatalf("the canary says %.80q", got)
	}
}

func TestAMaildirOfSomebodyElseIsRefused(t *testing.T) {
	srv, _, base := separated(t)
	theirs := mkdir(t, base, "bob", "Maildir")
	own(t, theirs, bobUID)
	// Open to everybody, so that only the check of the owner stands before it.
	for _, path := range []string{theirs, filepath.Dir(theirs)} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(theirs, filepath.Join(base, "eve", "Maildir")); err != nil {
		t.Fatal(err)
	}
	done := srv.deliver(t.Context(), jobFor("eve", "maildir", testMessage), nil)
	wantOutcome(t, done, outcome.Deferred, outcome.Permission, "4.2.0")
	if left := names(t, theirs); len(left) != 0 {
		t.Fatalf("written: %v", left)
	}
}

func TestMboxInADirectoryWithoutRightsNeedsNoDotLock(t *testing.T) {
	srv, s, _ := separated(t)
	path := filepath.Join(s.Instance.Mail, "bob")
	write(t, path, "")
	own(t, path, bobUID)
	if err := os.Chmod(s.Instance.Mail, 0o755); err != nil {
		t.Fatal(err)
	}
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "mbox", testMessage), nil))
	if done := srv.deliver(t.Context(), jobFor("eve", "mbox", testMessage), nil); done.Outcome.Kind != outcome.Permission {
		t.Fatalf("a mailbox that cannot be made: %s", show(done))
	}
}

func TestUsersHaveChildrenOfTheirOwn(t *testing.T) {
	srv, _, base := separated(t)
	for _, name := range []string{"bob", "eve"} {
		wantDelivered(t, srv.deliver(t.Context(), jobFor(name, "maildir", testMessage), nil))
	}
	for name, uid := range map[string]uint32{"bob": bobUID, "eve": eveUID} {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(base, name, "Maildir", "new"), &st); err != nil || st.Uid != uid {
			t.Errorf("%s: uid %d, %v", name, st.Uid, err)
		}
	}
}

func TestRootIsRefusedByName(t *testing.T) {
	srv, _, _ := separated(t)
	srv.planner.lookup = privsep.LookupUser
	done := srv.deliver(t.Context(), jobFor("root", "maildir", testMessage), nil)
	wantOutcome(t, done, outcome.Deferred, outcome.Permission, "4.3.5")
}
