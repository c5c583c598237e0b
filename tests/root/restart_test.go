package root

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
)

// TestMailWaitsInMaildropWhileTheSuiteIsDown: every user can leave mail, none
// can look at another's, and all of it is handed in with the uid of its owner.
func TestMailWaitsInMaildropWhileTheSuiteIsDown(t *testing.T) {
	s := started(t)
	s.mtactl(t, "stop")
	up := false
	defer func() {
		if !up {
			s.mtactl(t, "start")
		}
	}()
	if left := s.processes(); len(left) > 0 {
		t.Errorf("after the stop the processes %v are left", left)
	}
	subject := unique(t, "x")
	// One from a user's shell, one from a command without the set-group-id bit.
	if code, out := s.submit(t, s.users["fbtest2"], subject, "-i", "fbtest1"); code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	cmd := as(exec.Command("setpriv", "--no-new-privs", s.program("sendmail"), "-i", "fbtest1"), s.users["nobody"], s.drop)
	cmd.Stdin = strings.NewReader("Subject: " + subject + "-command\n\nHello.\n")
	if code, out := output(t, cmd); code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	files, _ := filepath.Glob(s.spool("maildrop/*"))
	if len(files) != 2 {
		t.Fatalf("maildrop has %v", files)
	}
	for _, f := range files {
		var st syscall.Stat_t
		if err := syscall.Lstat(f, &st); err != nil {
			t.Fatal(err)
		}
		owner := int(st.Uid) == s.users["fbtest2"].uid || int(st.Uid) == s.users["nobody"].uid
		if !owner || int(st.Gid) != s.drop || st.Mode&0o777 != 0o640 {
			t.Errorf("%s: owner %d:%d, mode %o", f, st.Uid, st.Gid, st.Mode)
		}
		for _, u := range []string{"fbtest1", "fbtest2"} {
			for _, command := range [][]string{{"cat", f}, {"ls", filepath.Dir(f)}, {"rm", "-f", f}} {
				if code, _ := output(t, as(exec.Command(command[0], command[1:]...), s.users[u])); code == 0 {
					t.Errorf("%s could %v", u, command)
				}
			}
		}
	}
	s.mtactl(t, "start")
	up = true
	for suffix, who := range map[string]string{"": "fbtest2", "-command": "nobody"} {
		b, err := os.ReadFile(s.delivered(t, "fbtest1", subject+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("(Filbert, from user %s, uid %d)", who, s.users[who].uid); !strings.Contains(string(b), want) {
			t.Errorf("no %q in\n%s", want, b)
		}
	}
	eventually(t, func() (bool, string) {
		left, _ := filepath.Glob(s.spool("maildrop/*"))
		return len(left) == 0, fmt.Sprintf("an empty maildrop (it has %v)", left)
	})
}

func TestReloadPutsANewConfigurationInForceForAll(t *testing.T) {
	s := started(t)
	// A session that is open meanwhile goes on in the replaced process.
	conn, err := textproto.Dial("tcp", s.mx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	say := func(code int, line string) {
		t.Helper()
		if line != "" {
			if err := conn.PrintfLine("%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if _, msg, err := conn.ReadResponse(code); err != nil {
			t.Fatalf("%q: %v %s", line, err, msg)
		}
	}
	say(220, "")
	say(250, "EHLO client.test")
	extra := s.etc("conf.d/more.toml")
	before, err := os.ReadFile(s.etc("filbert.toml"))
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Replace(before, []byte(`"forward.test"]`), []byte(`"forward.test", "more.test"]`), 1)
	if bytes.Equal(text, before) {
		t.Fatal("the configuration has no list of local domains that ends as it should")
	}
	if err := os.WriteFile(s.etc("filbert.toml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = os.Remove(extra)
		if err := os.WriteFile(s.etc("filbert.toml"), before, 0o644); err != nil {
			t.Error(err)
		}
		s.mtactl(t, "reload")
	}()
	s.mtactl(t, "reload")
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@more.test", subject)
	s.delivered(t, "fbtest1", subject)
	say(250, "MAIL FROM:<fbtest2@root.test>")
	say(250, "RCPT TO:<fbtest1@root.test>")
	say(354, "DATA")
	say(250, "Subject: "+subject+"-old\r\n\r\nHello.\r\n.")
	say(221, "QUIT")
	s.delivered(t, "fbtest1", subject+"-old")
}

func TestEveryDaemonComesBackConfinedAfterKill9(t *testing.T) {
	s := started(t)
	for _, d := range daemons() {
		t.Run(string(d.name), func(t *testing.T) {
			before := s.pid(t, d.name)
			if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			s.inLog(t, "did=ended", "name="+string(d.name), fmt.Sprintf("pid=%d ", before), "killed")
			after := s.pid(t, d.name)
			if after == before {
				t.Fatal("it was not started again")
			}
			if got, want := procStatus(after, "Uid"), fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", s.users[d.user].uid); got != want {
				t.Errorf("the new one's Uid is %q, want %q", got, want)
			}
			subject := unique(t, "x")
			s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
			s.delivered(t, "fbtest1", subject)
			if code, out := s.submit(t, s.users["fbtest2"], subject+"-local", "fbtest1"); code != 0 {
				t.Fatalf("sendmail: %d, %s", code, out)
			}
			s.delivered(t, "fbtest1", subject+"-local")
		})
	}
	s.running(t)
}

func TestAllEndWithMasterAndItCanStartAgain(t *testing.T) {
	s := started(t)
	s.running(t)
	master := s.pid(t, proto.Master)
	all := s.processes()
	if len(all) < 7 {
		t.Fatalf("only processes %v run", all)
	}
	if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() (bool, string) {
		left := s.processes()
		return len(left) == 0, fmt.Sprintf("the end of the processes %v", left)
	})
	s.mtactl(t, "start")
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	s.delivered(t, "fbtest1", subject)
}

// TestLogIsForAdministratorsAndRotates: the log tells who writes to whom.
func TestLogIsForAdministratorsAndRotates(t *testing.T) {
	s := started(t)
	if code, _ := output(t, as(exec.Command("cat", s.logFile()), s.users["fbtest1"])); code == 0 {
		t.Error("every user can read the log")
	}
	group, err := lookupGroup("filbert-adm")
	if err != nil {
		t.Fatal(err)
	}
	if code, out := output(t, as(exec.Command("tail", "-1", s.logFile()), s.users["fbtest1"], group)); code != 0 {
		t.Errorf("a member of filbert-adm cannot read the log: %s", out)
	}
	old := s.logFile() + ".1"
	if err := os.Rename(s.logFile(), old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.pid(t, proto.Master), syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	s.inLog(t, "log reopened")
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	s.delivered(t, "fbtest1", subject)
	s.inLog(t, " received ", "nrcpt=1")
	var st syscall.Stat_t
	if err := syscall.Stat(s.logFile(), &st); err != nil || st.Uid != 0 || int(st.Gid) != group || st.Mode&0o777 != 0o640 {
		t.Errorf("the new log: owner %d:%d, mode %o (%v)", st.Uid, st.Gid, st.Mode, err)
	}
}

// TestAdministratorsMayAskAndStop: a member of filbert-adm is root's deputy for
// the suite, and another user is nobody.
func TestAdministratorsMayAsk(t *testing.T) {
	s := started(t)
	group, err := lookupGroup("filbert-adm")
	if err != nil {
		t.Fatal(err)
	}
	u := s.users["fbtest1"]
	for _, args := range [][]string{{"status"}, {"queue", "list"}, {"explain", "fbtest1@root.test"}} {
		if code, out := output(t, as(exec.Command(s.program("mtactl"), args...), u, group)); code != 0 {
			t.Errorf("an administrator: mtactl %v: %d, %s", args, code, out)
		}
		if code, out := output(t, as(exec.Command(s.program("mtactl"), args...), u)); code == 0 || !strings.Contains(out, "filbert-adm") && !strings.Contains(out, "root") {
			t.Errorf("any user: mtactl %v: %d, %s", args, code, out)
		}
	}
	if code, out := output(t, as(exec.Command(s.path("usr/bin/mailq")), u, group)); code != 0 {
		t.Errorf("an administrator: mailq: %d, %s", code, out)
	}
}

func TestASecondMasterIsRefused(t *testing.T) {
	s := started(t)
	code, out := output(t, exec.Command(s.path("usr/libexec/filbert/master")))
	if code != 75 || !strings.Contains(out, "running already") {
		t.Errorf("exit status %d: %s", code, out)
	}
	c, err := net.Dial("tcp", s.mx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
		t.Errorf("the first one says %q (%v)", line, err)
	}
}

// TestAReloadReachesWhatTheOldConfinementDidNot: an alias file in a directory that
// router has never heard of, a socket that an empty root has no way to. Those who
// would need it are replaced, and no mail waits for that.
func TestAReloadReachesWhatTheOldConfinementDidNot(t *testing.T) {
	s := started(t)
	dir := s.path("lists")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"aliases": "everybody: fbtest1, fbtest2\n", "users": "ann fbtest1\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "lmtp"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "lmtp"), 0o666); err != nil {
		t.Fatal(err)
	}
	sink := smtptest.Drink(t, smtptest.Options{LMTP: true, Listener: l})
	router, client, cleanup := s.pid(t, proto.Router), s.pid(t, proto.SMTPClient), s.pid(t, proto.Cleanup)
	extra := s.etc("conf.d/lists.toml")
	text := fmt.Sprintf(`[[director]]
name = "lists"
driver = "aliasfile"
file = "%[1]s/aliases"

[[director]]
name = "dovecot"
driver = "user"
users = "table"
file = "%[1]s/users"
transport = "dovecot"

[transport.dovecot]
driver = "lmtp"
socket = "%[1]s/lmtp"
`, dir)
	defer func() {
		_ = os.Remove(extra)
		s.mtactl(t, "reload")
	}()
	if err := os.WriteFile(extra, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := s.mtactl(t, "reload"); !strings.Contains(out, "router") || !strings.Contains(out, "smtp-client") {
		t.Errorf("mtactl reload says %q", out)
	}
	if s.pid(t, proto.Router) == router || s.pid(t, proto.SMTPClient) == client || s.pid(t, proto.Cleanup) != cleanup {
		t.Errorf("router, smtp-client and cleanup were %d %d %d and are %d %d %d",
			router, client, cleanup, s.pid(t, proto.Router), s.pid(t, proto.SMTPClient), s.pid(t, proto.Cleanup))
	}
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "everybody@root.test", subject)
	s.delivered(t, "fbtest1", subject)
	s.delivered(t, "fbtest2", subject)
	s.send(t, "fbtest2@root.test", "ann@root.test", subject)
	arrived(t, sink, subject)
	// Where the configuration asks for nothing new, all but smtpd stay.
	router = s.pid(t, proto.Router)
	s.mtactl(t, "reload")
	if now := s.pid(t, proto.Router); now != router {
		t.Errorf("router was replaced for nothing: %d, %d", router, now)
	}
}
