package localdeliver

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/event"
	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// parentFlag makes the test program a parent that confines itself as the real
// one does and then delivers to bob, whose home is the argument.
const parentFlag = "--confined-parent"

func confinedParent(home string) error {
	s := settings.Default()
	s.Instance.Separate = os.Geteuid() == 0
	s.Transports = map[string]settings.Transport{
		"maildir":  {Driver: "maildir", Path: "{home}/Maildir"},
		"describe": {Driver: "pipe", Command: []string{"/proc/self/exe", commandFlag, "describe", home + "/self"}},
	}
	d := New()
	p := service.New(service.Wiring{Settings: s, Log: event.Discard()})
	if err := d.Open(p); err != nil {
		return err
	}
	d.server.planner.lookup = func(string) (privsep.User, error) {
		return privsep.User{Name: "bob", Home: home, Identity: privsep.Identity{UID: bobUID, GID: bobGID}}, nil
	}
	spec := d.Confinement(p)
	if _, err := privsep.Confine(spec); err != nil {
		return err
	}
	if err := privsep.Assert(spec); err != nil {
		return err
	}
	for _, transport := range []string{"maildir", "describe"} {
		job := jobFor("bob", transport, testMessage)
		job.User.Home = home
		done := d.server.deliver(context.Background(), job, nil)
		if done.Outcome.Class != outcome.Delivered {
			return fmt.Errorf("%s: %s", transport, show(done))
		}
	}
	d.server.drain(context.Background())
	return nil
}

func TestAConfinedParentStillDelivers(t *testing.T) {
	if _, _, errno := syscall.AllThreadsSyscall(syscall.SYS_GETPID, 0, 0, 0); errno == syscall.ENOTSUP {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	home := filepath.Join(t.TempDir(), "bob")
	if os.Geteuid() == 0 {
		_, _, base := separated(t)
		home = filepath.Join(base, "bob")
	}
	mkdir(t, home)
	out, err := exec.Command("/proc/self/exe", parentFlag, home).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	onlyMessage(t, filepath.Join(home, "Maildir"))
	var got self
	if err := json.Unmarshal([]byte(read(t, home+"/self")), &got); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"NoNewPrivs:\t1", "CapEff:\t0000000000000000"} {
		if !strings.Contains(got.Status, line) {
			t.Errorf("no %q in %s", line, got.Status)
		}
	}
	if os.Geteuid() == 0 && (got.UID != bobUID || !strings.Contains(got.Status, "CapBnd:\t00000000000000e0")) {
		t.Errorf("uid %d, status %s", got.UID, got.Status)
	}
}

// BenchmarkMaildirThroughAChild is what local-deliver adds to a delivery, its
// flushes included.
func BenchmarkMaildirThroughAChild(b *testing.B) {
	s := settings.Default()
	s.Hostname = "mail.local.example"
	s.Instance.Mail = b.TempDir()
	s.Transports = map[string]settings.Transport{"maildir": {Driver: "maildir", Path: "{mail}/{user}"}}
	srv := newServer(s, (&launcher{}).start, privsep.LookupUser)
	defer srv.drain(context.Background())
	text := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 70)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			done := srv.deliver(context.Background(), jobFor("bob", "maildir", text), nil)
			if done.Outcome.Class != outcome.Delivered {
				b.Error(show(done))
				return
			}
		}
	})
}
