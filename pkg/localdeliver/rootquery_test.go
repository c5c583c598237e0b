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

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// separatedQueries is a root parent that answers router about bob and eve.
func separatedQueries(t *testing.T) (srv *server, s *settings.Settings, base string) {
	t.Helper()
	srv, s, base = separated(t)
	s.Directors = []settings.Director{
		{Name: "forward", Driver: "forwardfile", AllowIncludes: true},
		{Name: "ask", Driver: "command", User: "bob", Command: []string{"/proc/self/exe", commandFlag, "describe", base + "/bob/self"}},
	}
	return srv, s, base
}

// give makes a file of a user.
func give(t *testing.T, path, text string, uid int) {
	t.Helper()
	write(t, path, text)
	own(t, path, uid)
}

func forwardOf(t *testing.T, srv *server, user string) *proto.ForwardAnswer {
	t.Helper()
	return srv.forward(t.Context(), &proto.ForwardQuery{Director: "forward", User: user, Home: "/root"})
}

// TestRootsParentReadsAForwardFileAsItsUser: bob's file is for nobody else to
// read, and is in a home that nobody else can enter.
func TestRootsParentReadsAForwardFileAsItsUser(t *testing.T) {
	srv, _, base := separatedQueries(t)
	give(t, base+"/bob/.forward", ":include:list\n", bobUID)
	give(t, base+"/bob/list", "ada@far.example\n", bobUID)
	a := forwardOf(t, srv, "bob")
	wantText(t, a, ":include:list\n")
	if len(a.Includes) != 1 || !a.Includes[0].Text.Equal("ada@far.example\n") {
		t.Errorf("%+v", a.Includes)
	}
	wantNone(t, forwardOf(t, srv, "eve"), "")
	wantNone(t, forwardOf(t, srv, "mallory"), "no user")
}

// TestAUserHasNothingReadThatHeCouldNotRead: whatever he makes of his forward
// file, and whatever it includes.
func TestAUserHasNothingReadThatHeCouldNotRead(t *testing.T) {
	srv, _, base := separatedQueries(t)
	secret, shared := base+"/secret", base+"/shared"
	give(t, secret, "s3cret@far.example\n", 0)
	write(t, shared, "shared@far.example\n")
	if err := errors.Join(os.Chown(shared, 0, eveUID), os.Chmod(shared, 0o640)); err != nil {
		t.Fatal(err)
	}
	file := base + "/eve/.forward"
	for name, make := range map[string]func() error{
		"link":          func() error { return os.Symlink(secret, file) },
		"second name":   func() error { return os.Link(secret, file) },
		"readable":      func() error { return os.Link(shared, file) },
		"readable link": func() error { return os.Symlink(shared, file) },
		"of the system": func() error { return os.Symlink("/etc/shadow", file) },
		"include":       func() error { return os.WriteFile(file, []byte(":include:"+secret+"\n"), 0o600) },
		"shadow":        func() error { return os.WriteFile(file, []byte(":include:/etc/shadow\n"), 0o600) },
		"somebody else's": func() error {
			return errors.Join(os.WriteFile(file, []byte("bob\n"), 0o644), os.Chown(file, bobUID, bobUID))
		},
		"root's": func() error { return os.WriteFile(file, []byte("bob\n"), 0o644) },
		"fifo":   func() error { return syscall.Mkfifo(file, 0o644) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if name == "include" || name == "shadow" || name == "fifo" {
			own(t, file, eveUID)
		}
		if a := forwardOf(t, srv, "eve"); a.Found || a.Trouble == "" || !a.Text.IsEmpty() || len(a.Includes) > 0 {
			t.Errorf("%s: %q %q", name, a.Text.ForWire(), a.Trouble)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	// What his group lets him read he may include.
	give(t, file, ":include:"+shared+"\n", eveUID)
	if a := forwardOf(t, srv, "eve"); !a.Found || len(a.Includes) != 1 {
		t.Errorf("%q", a.Trouble)
	}
}

func TestAHomeOfSomebodyElseOrAwayIsTrouble(t *testing.T) {
	srv, _, base := separatedQueries(t)
	give(t, base+"/eve/.forward", "ada@far.example\n", eveUID)
	for name, change := range map[string]func() error{
		"others may write": func() error { return os.Chmod(base+"/eve", 0o777) },
		"the group may":    func() error { return os.Chmod(base+"/eve", 0o770) },
		"bob's":            func() error { return errors.Join(os.Chown(base+"/eve", bobUID, bobUID), os.Chmod(base+"/eve", 0o755)) },
		"closed":           func() error { return os.Chmod(base+"/eve", 0) },
		"away":             func() error { return os.Rename(base+"/eve", base+"/elsewhere") },
	} {
		home := base + "/eve"
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if a := forwardOf(t, srv, "eve"); a.Found || a.Trouble == "" {
			t.Errorf("%s: %q", name, a.Text.ForWire())
		}
		if name == "away" {
			home = base + "/elsewhere"
			defer os.Rename(home, base+"/eve")
		}
		if err := errors.Join(os.Rename(home, base+"/x"), os.Rename(base+"/x", base+"/eve"), os.Chown(base+"/eve", eveUID, eveUID), os.Chmod(base+"/eve", 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	wantText(t, forwardOf(t, srv, "eve"), "ada@far.example\n")
}

// TestSwappingTheForwardFileReadsNothingOfOthers lets eve swap her forward file
// while it is read. She may read the file that she aims at, but it is not hers,
// so that only our check stands before it.
func TestSwappingTheForwardFileReadsNothingOfOthers(t *testing.T) {
	srv, _, base := separatedQueries(t)
	canary := base + "/canary"
	write(t, canary, "chirp@far.example\n")
	if err := errors.Join(os.Chown(canary, 0, eveUID), os.Chmod(canary, 0o640)); err != nil {
		t.Fatal(err)
	}
	path := base + "/eve/.forward"
	var stop atomic.Bool
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; !stop.Load(); i++ {
			tmp := path + ".tmp"
			switch i % 4 {
			case 0:
				_ = os.Symlink(canary, tmp)
			case 1:
				_ = os.Link(canary, tmp)
			case 2:
				_ = os.WriteFile(tmp, []byte("mine\n"), 0o600)
				_ = os.Chown(tmp, eveUID, eveUID)
			case 3:
				_ = syscall.Mkfifo(tmp, 0o600)
				_ = os.Chown(tmp, eveUID, eveUID)
			}
			_ = os.Rename(tmp, path)
			_ = os.Remove(tmp)
		}
	}()
	deadline := time.Now().Add(2 * time.Second)
	for n := 0; n < 300 && time.Now().Before(deadline); n++ {
		// Empty is eve's own file between its making and its writing.
		if a := forwardOf(t, srv, "eve"); strings.Contains(a.Text.ForWire(), "chirp") {
			t.Errorf("read %q", a.Text.ForWire())
			break
		}
	}
	stop.Store(true)
	<-swapped
}

func TestRootsForwardFileIsNotRead(t *testing.T) {
	srv, _, _ := separatedQueries(t)
	srv.planner.lookup = privsep.LookupUser
	wantNone(t, forwardOf(t, srv, "root"), "uid 0")
}

func TestAProgramOfADirectorIsItsUserAndGroupAndNothingMore(t *testing.T) {
	srv, s, base := separatedQueries(t)
	s.Directors[1].Group = "mail"
	srv.planner.group = func(string) (int, error) { return 61030, nil }
	if a := srv.consult(t.Context(), &proto.ConsultQuery{Director: "ask"}); a.Trouble != "" {
		t.Fatal(a.Trouble)
	}
	var got self
	if err := json.Unmarshal([]byte(read(t, base+"/bob/self")), &got); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got.Groups)
	if got.UID != bobUID || got.GID != 61030 || !slices.Equal(got.Groups, []int{bobGID, extraGID}) {
		t.Errorf("is %d:%d %v", got.UID, got.GID, got.Groups)
	}
	for _, line := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} {
		if !strings.Contains(got.Status, line) {
			t.Errorf("no %q", line)
		}
	}
	if !slices.Equal(got.FDs, []string{"0", "1", "2"}) || got.Dir != "/" || got.Umask != errandUmask {
		t.Errorf("descriptors %v, in %s, umask %03o", got.FDs, got.Dir, got.Umask)
	}
}

func TestAMailboxIsWrittenInTheGroupOfTheTransport(t *testing.T) {
	srv, s, base := separatedQueries(t)
	s.Transports["shared"] = settings.Transport{Driver: "maildir", Path: "{home}/Shared", Group: "mail", Umask: "007"}
	srv.planner.group = func(string) (int, error) { return 61030, nil }
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "shared", testMessage), nil))
	wantDelivered(t, srv.deliver(t.Context(), jobFor("bob", "maildir", testMessage), nil))
	for dir, gid := range map[string]uint32{"Shared": 61030, "Maildir": bobGID} {
		var st syscall.Stat_t
		list := names(t, filepath.Join(base, "bob", dir, "new"))
		if err := syscall.Stat(filepath.Join(base, "bob", dir, "new", list[0]), &st); err != nil || st.Uid != bobUID || st.Gid != gid {
			t.Errorf("%s: %d:%d, %v", dir, st.Uid, st.Gid, err)
		}
	}
}
