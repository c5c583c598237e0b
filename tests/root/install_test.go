package root

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
)

func TestAnInstallationPassesItsOwnCheck(t *testing.T) {
	s := started(t)
	if out := s.mtactl(t, "check"); !strings.Contains(out, "All is well") {
		t.Errorf("mtactl check says %q", out)
	}
	// What the manifest does not name is not set-id either.
	err := filepath.WalkDir(s.path("usr"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		st := stat(t, path)
		if st.Uid != 0 || st.Mode&0o022 != 0 {
			t.Errorf("%s: owner %d, mode %o", path, st.Uid, st.Mode)
		}
		pickup := path == s.path("usr/libexec/filbert/pickup")
		if special := st.Mode & 0o6000; pickup && (special != 0o2000 || int(st.Gid) != s.drop) || !pickup && special != 0 {
			t.Errorf("%s: group %d, mode %o", path, st.Gid, st.Mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"mailq", "newaliases", "rmail"} {
		if to, err := os.Readlink(s.path("usr/bin", name)); err != nil || to != s.program("sendmail") {
			t.Errorf("%s leads to %q (%v)", name, to, err)
		}
	}
}

// TestCheckFindsWhatWasSpoiledAndMendsIt: each finding names the place and what
// to do; --fix does it.
func TestCheckFindsWhatWasSpoiledAndMendsIt(t *testing.T) {
	s := started(t)
	filbert, eve := s.users["filbert"], s.users["fbtest1"]
	pickup := s.path("usr/libexec/filbert/pickup")
	for name, c := range map[string]struct {
		path  string
		spoil func(path string) error
		says  string
	}{
		"a queue open to all":      {s.spool("incoming"), func(p string) error { return os.Chmod(p, 0o755) }, "chmod 0700"},
		"a queue of another":       {s.spool("deferred"), func(p string) error { return os.Chown(p, eve.uid, eve.gid) }, "chown filbert:filbert"},
		"the wrong group":          {s.spool("maildrop"), func(p string) error { return os.Chown(p, filbert.uid, filbert.gid) }, "chown filbert:filbert-drop"},
		"a queue that is missing":  {s.spool("hold"), removeTree, "--fix"},
		"pickup without its group": {pickup, func(p string) error { return os.Chown(p, 0, 0) }, "chown root:filbert-drop"},
		"pickup set-user-id":       {pickup, func(p string) error { return os.Chmod(p, 0o755|os.ModeSetuid) }, "chmod 2755"},
		"a program of a user":      {s.path("usr/libexec/filbert/smtpd"), func(p string) error { return os.Chown(p, eve.uid, 0) }, "chown root:root"},
		"a program others write":   {s.path("usr/sbin/sendmail"), func(p string) error { return os.Chmod(p, 0o777) }, "chmod 0755"},
		"a log open to all":        {s.path("var/log/filbert"), func(p string) error { return os.Chmod(p, 0o755) }, "chmod 0750"},
		"a configuration of users": {s.etc("filbert.toml"), func(p string) error { return os.Chown(p, eve.uid, eve.gid) }, "chown root:root"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.spoil(c.path); err != nil {
				t.Fatal(err)
			}
			code, out := output(t, exec.Command(s.program("mtactl"), "check"))
			if code != 1 || !strings.Contains(out, c.path+": ") || !strings.Contains(out, c.says) {
				t.Errorf("check: exit status %d; it should name %s and say %q:\n%s", code, c.path, c.says, out)
			}
			if code, out := output(t, exec.Command(s.program("mtactl"), "check", "--fix")); code != 0 {
				t.Errorf("check --fix: exit status %d\n%s", code, out)
			}
			s.mtactl(t, "check")
		})
	}
	s.restart(t) // hold/ is another directory now
}

func removeTree(path string) error {
	if !strings.Contains(path, "/fb-") {
		return errors.New("not below the site")
	}
	return os.RemoveAll(path)
}

func (s *site) restart(t *testing.T) {
	t.Helper()
	s.mtactl(t, "stop")
	s.mtactl(t, "start")
}

func TestCheckNamesMissingUsersAndHowToMakeThem(t *testing.T) {
	s := started(t)
	extra := s.etc("conf.d/users.toml")
	defer os.Remove(extra)
	if err := os.WriteFile(extra, []byte("[users]\nin = \"fb-nosuch\"\ndrop_group = \"fb-nogroup\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out := output(t, exec.Command(s.program("mtactl"), "check"))
	for _, want := range []string{"user fb-nosuch: does not exist", "useradd --system", "group fb-nogroup: does not exist", "groupadd --system fb-nogroup"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in (exit status %d)\n%s", want, code, out)
		}
	}
	if code != 1 {
		t.Errorf("exit status %d", code)
	}
}

// TestAnUpgradeKeepsConfigurationAndMail: `make install` over a running suite.
func TestAnUpgradeKeepsConfigurationAndMail(t *testing.T) {
	s := started(t)
	before, err := os.ReadFile(s.etc("filbert.toml"))
	if err != nil {
		t.Fatal(err)
	}
	pid := s.pid(t, proto.Cleanup)
	subject := unique(t, "x")
	s.send(t, "fbtest1@root.test", "upgrade@far.test", subject) // it waits: nobody listens there
	if err := s.install(); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(s.etc("filbert.toml"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the configuration was replaced (%v)", err)
	}
	s.sameAndWell(t, proto.Cleanup, pid)
	s.mtactl(t, "check")
	s.restart(t)
	arrived(t, s.sink(t), subject)
}

// TestAPackageBuilderNeedsNoRoot installs below DESTDIR as nobody, as the tool
// that builds a package does.
func TestAPackageBuilderNeedsNoRoot(t *testing.T) {
	s := started(t)
	tree, dest := s.path("out/tree"), s.path("out/package")
	for _, dir := range []string{"etc", "tools", "doc/man", "contrib/systemd"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join("../..", dir, "*"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
				if err := copyFile(f, filepath.Join(tree, dir, filepath.Base(f))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cmd := exec.Command(filepath.Join(tree, "tools/install.sh"))
	cmd.Env = append(os.Environ(), "DESTDIR="+dest, "objdir="+s.path("obj"), "etc=/etc/filbert", "spool=/var/spool/filbert",
		"db=/var/lib/filbert", "log=/var/log/filbert", "run=/run/filbert", "mail=/var/mail", "libexec=/usr/lib/filbert",
		"sbin=/usr/sbin", "bin=/usr/bin", "man=/usr/share/man", "unit=/usr/lib/systemd/system")
	code, out := output(t, as(cmd, s.users["nobody"]))
	if code != 0 {
		t.Fatalf("exit status %d\n%s", code, out)
	}
	for _, want := range []string{"chown root:filbert-drop /usr/lib/filbert/pickup; chmod 2755", "/usr/sbin/mtactl check --fix"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	for path, mode := range map[string]uint32{
		"usr/lib/filbert/pickup": 0o755, "usr/sbin/mtactl": 0o755, "etc/filbert/filbert.toml": 0o644,
		"var/spool/filbert/incoming": 0o700, "usr/lib/systemd/system/filbert.service": 0o644,
	} {
		if st := stat(t, filepath.Join(dest, path)); st.Mode&0o7777 != mode {
			t.Errorf("%s has mode %o, want %o", path, st.Mode&0o7777, mode)
		}
	}
	if to, err := os.Readlink(filepath.Join(dest, "usr/bin/mailq")); err != nil || to != "/usr/sbin/sendmail" {
		t.Errorf("mailq leads to %q (%v)", to, err)
	}
	unit, err := os.ReadFile(filepath.Join(dest, "usr/lib/systemd/system/filbert.service"))
	if err != nil || !strings.Contains(string(unit), "\nExecStart=/usr/lib/filbert/master\n") || strings.Contains(string(unit), "/usr/local") {
		t.Errorf("the unit does not have the paths of this installation (%v):\n%s", err, unit)
	}
}

// unitValue is a setting of the systemd unit.
func unitValue(t *testing.T, key string) string {
	t.Helper()
	b, err := os.ReadFile("../../contrib/systemd/filbert.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("the unit has no %s", key)
	}
	return string(m[1])
}

// TestTheSuiteLivesWithWhatTheUnitLeavesIt starts master with the capabilities and
// limits of the systemd unit and no others: mail comes in both ways, and reaches
// a mailbox, a command and a server.
func TestTheSuiteLivesWithWhatTheUnitLeavesIt(t *testing.T) {
	s := started(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("no setpriv (util-linux) to start master with")
	}
	s.mtactl(t, "stop")
	defer func() { _, _ = output(t, exec.Command(s.program("mtactl"), "start")) }()
	caps := "-all"
	for _, c := range strings.Fields(unitValue(t, "CapabilityBoundingSet")) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
	}
	args := []string{"--bounding-set=" + caps, "--inh-caps=-all"}
	if unitValue(t, "NoNewPrivileges") == "yes" {
		args = append(args, "--no-new-privs")
	}
	cmd := exec.Command("setpriv", append(args, s.path("usr/libexec/filbert/master"))...)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/bin:/bin"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	eventually(t, func() (bool, string) {
		select {
		case err := <-ended:
			t.Fatalf("master ended: %v\n%s\n%s", err, said.String(), s.tail())
		default:
		}
		st, err := s.status()
		return err == nil && st.State == "running", fmt.Sprintf("a running suite (%v)", err)
	})
	sink, subject := s.sink(t), unique(t, "x")
	s.send(t, "fbtest1@root.test", "answer@root.test", subject)
	s.delivered(t, "fbtest1", "answer to "+subject)
	s.send(t, "fbtest1@root.test", "bob@far.test", subject)
	arrived(t, sink, subject)
	if code, out := s.submit(t, s.users["fbtest1"], subject+"-local", "fbtest2"); code != 0 {
		t.Fatalf("sendmail: %d, %s", code, out)
	}
	s.delivered(t, "fbtest2", subject+"-local")
	s.mtactl(t, "reload")
	s.mtactl(t, "stop")
	if err := <-ended; err != nil {
		t.Errorf("master: %v\n%s", err, said.String())
	}
}

// TestSystemdUnderstandsTheUnit asks systemd, where there is one.
func TestSystemdUnderstandsTheUnit(t *testing.T) {
	needRoot(t)
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	b, err := os.ReadFile("../../contrib/systemd/filbert.service")
	if err != nil {
		t.Fatal(err)
	}
	// The programs need not be installed where the unit says.
	text := regexp.MustCompile(`(?m)^(Exec\w+=-?)\S+`).ReplaceAllString(string(b), "${1}/bin/true")
	unit := filepath.Join(t.TempDir(), "filbert.service")
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", unit)
	code, out := output(t, cmd)
	var about []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "filbert.service") {
			about = append(about, strings.TrimSpace(line))
		}
	}
	if len(about) > 0 {
		t.Errorf("systemd-analyze verify: exit status %d\n%s", code, strings.Join(about, "\n"))
	}
}
