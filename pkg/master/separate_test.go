package master

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// separated starts a suite that separates users that every Debian has.
func separated(t *testing.T) *rig {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: starts daemons as other users (make test-root)")
	}
	for _, name := range []string{"daemon", "nobody", "mail"} {
		if _, err := user.Lookup(name); err != nil {
			t.Skipf("this machine has no user %s", name)
		}
	}
	return start(t, func(o *Options, s *settings.Settings) {
		s.Instance.Separate = true
		s.Users = settings.Users{Main: "daemon", In: "nobody", DropGroup: "mail", AdminGroup: "mail"}
		o.services[0].user = func(u *settings.Users) string { return u.In }
		o.services[1].user = mainUser
		o.services[2].user = mainUser
		if err := os.Chmod(s.Instance.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
	})
}

// statusField is a line of /proc/PID/status.
func statusField(t *testing.T, pid int, key string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.Join(strings.Fields(v), " ")
		}
	}
	return ""
}

func TestSeparatedDaemonsAreTheirUsersAndNothingElse(t *testing.T) {
	r := separated(t)
	st := r.status()
	for name, who := range map[proto.Service]string{proto.SMTPD: "nobody", proto.Cleanup: "daemon"} {
		id, err := privsep.LookupIdentity(who, "")
		if err != nil {
			t.Fatal(err)
		}
		sv := serviceOf(st, name)
		pid := sv.Processes[0].PID
		if sv.Processes[0].User != who {
			t.Errorf("%s: status says %q", name, sv.Processes[0].User)
		}
		for key, want := range map[string]string{
			"Uid":        strings.TrimSpace(strings.Repeat(fmt.Sprint(id.UID, " "), 4)),
			"Gid":        strings.TrimSpace(strings.Repeat(fmt.Sprint(id.GID, " "), 4)),
			"Groups":     "",
			"CapEff":     "0000000000000000",
			"CapPrm":     "0000000000000000",
			"CapBnd":     "0000000000000000",
			"NoNewPrivs": "1",
			"Seccomp":    "2",
		} {
			if got := statusField(t, pid, key); got != want {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
		if root, err := os.Readlink(fmt.Sprintf("/proc/%d/root", pid)); err != nil || !strings.HasSuffix(root, "/run/empty") {
			t.Errorf("%s: root is %q (%v)", name, root, err)
		}
	}
	// And they still talk to each other.
	if got := dialSession(t, st.Listeners[0].Address).ask("call cleanup"); !strings.HasSuffix(got, "answers smtpd") {
		t.Errorf("got %q", got)
	}
}

func TestControlSocketOfASeparatedSuiteIsForAdministrators(t *testing.T) {
	r := separated(t)
	r.status()
	path := r.settings.Instance.Control(proto.ControlMaster)
	for _, c := range []struct {
		user, group string
		want        int // 0: can't connect
	}{
		{"nobody", "nogroup", 0},
		{"nobody", "mail", http.StatusOK},
		{"root", "root", http.StatusOK},
	} {
		id, err := privsep.LookupIdentity(c.user, c.group)
		if err != nil {
			t.Skip(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"FILBERT_TEST_ASK=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
			Uid: uint32(id.UID), Gid: uint32(id.GID), Groups: []uint32{},
		}}
		out, _ := cmd.Output()
		if got := string(bytes.TrimSpace(out)); got != fmt.Sprint(c.want) {
			t.Errorf("%s of group %s: got %s, want %d", c.user, c.group, got, c.want)
		}
	}
}
