package root

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
)

// ownedBy checks owner and rights of a file that mail was delivered to.
func ownedBy(t *testing.T, path string, a account) {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	if int(st.Uid) != a.uid || int(st.Gid) != a.gid || st.Mode&0o077 != 0 {
		t.Errorf("%s: owner %d:%d, mode %o; want %d:%d and nothing for others", path, st.Uid, st.Gid, st.Mode, a.uid, a.gid)
	}
}

func TestSMTPReachesTheUsersMaildir(t *testing.T) {
	s := started(t)
	subject := unique(t, "x")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	file := s.delivered(t, "fbtest1", subject)
	for _, path := range []string{file, filepath.Dir(file), s.maildir("fbtest1"), s.maildir("fbtest1") + "/tmp"} {
		ownedBy(t, path, s.users["fbtest1"])
	}
}

// TestAMailboxIsWrittenByAChildThatIsTheUser catches the child in the act: it
// waits a moment for more mail before it ends.
func TestAMailboxIsWrittenByAChildThatIsTheUser(t *testing.T) {
	s := started(t)
	parent := s.pid(t, proto.LocalDeliver)
	u := s.users["fbtest2"]
	subject := unique(t, "x")
	s.send(t, "fbtest1@root.test", "fbtest2@root.test", subject)
	eventually(t, func() (bool, string) {
		for _, pid := range childrenOf(parent) {
			if procStatus(pid, "Uid") == fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", u.uid) {
				checkChild(t, s, pid, u)
				return true, ""
			}
		}
		return false, "a child of local-deliver with the user's uid"
	})
	ownedBy(t, s.delivered(t, "fbtest2", subject), u)
}

// checkChild: a child of local-deliver has the user's rights and no other.
func checkChild(t *testing.T, s *site, pid int, u account) {
	t.Helper()
	for key, want := range map[string]string{
		"Gid":    fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", u.gid),
		"Groups": fmt.Sprint(u.gid),
		"CapEff": noCaps, "CapPrm": noCaps, "CapInh": noCaps, "CapAmb": noCaps,
		"NoNewPrivs": "1",
	} {
		if got := procStatus(pid, key); got != want && alive(pid) {
			t.Errorf("child %d: %s is %q, want %q", pid, key, got, want)
		}
	}
	for fd, to := range descriptors(t, pid) {
		switch {
		case to == "/dev/null" && fd <= 2, strings.HasPrefix(to, "socket:"), strings.HasPrefix(to, "anon_inode:"):
		case strings.HasPrefix(to, s.maildir(u.name)): // the delivery itself
		case regexp.MustCompile(`^` + runtimeFiles + `$`).MatchString(to):
		default:
			t.Errorf("child %d holds descriptor %d, %s", pid, fd, to)
		}
	}
}

// childrenOf are the processes whose parent is pid.
func childrenOf(pid int) []int {
	var out []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(b)) {
			var child int
			if _, err := fmt.Sscan(word, &child); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// submit runs sendmail as a user, with no group but his own.
func (s *site) submit(t *testing.T, from account, subject string, args ...string) (int, string) {
	t.Helper()
	cmd := as(exec.Command(s.program("sendmail"), args...), from)
	cmd.Stdin = strings.NewReader("Subject: " + subject + "\n\nHello.\n")
	return output(t, cmd)
}

func TestSendmailOfAUserIsRecordedWithTheKernelsUID(t *testing.T) {
	s := started(t)
	u := s.users["fbtest2"]
	subject := unique(t, "x")
	// -f is his word; the rest is not.
	if code, out := s.submit(t, u, subject, "-i", "-f", "boss@elsewhere.test", "fbtest1@root.test"); code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	b, err := os.ReadFile(s.delivered(t, "fbtest1", subject))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("(Filbert, from user fbtest2, uid %d)", u.uid); !strings.Contains(string(b), want) {
		t.Errorf("no %q in\n%s", want, b)
	}
	s.inLog(t, " received ", "from=<boss@elsewhere.test>", "login=fbtest2", fmt.Sprintf("uid=%d ", u.uid))
}

func TestACommandOfAnAliasIsNobodyAndHoldsNothing(t *testing.T) {
	s := started(t)
	out := s.path("out/describe")
	_ = os.Remove(out)
	s.send(t, "fbtest2@root.test", "describe@root.test", "x")
	eventually(t, func() (bool, string) {
		_, err := os.Stat(out)
		return err == nil, "what the command wrote"
	})
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	nobody := s.users["nobody"]
	for _, want := range []string{
		fmt.Sprintf(`(?m)^Uid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, nobody.uid),
		fmt.Sprintf(`(?m)^Gid:\s+%[1]d\s+%[1]d\s+%[1]d\s+%[1]d$`, nobody.gid),
		fmt.Sprintf(`(?m)^Groups:\s+(%[1]d %[2]d|%[2]d %[1]d) *$`, nobody.gid, s.drop), // it may call sendmail
		`(?m)^CapEff:\s+0+$`, `(?m)^CapPrm:\s+0+$`, `(?m)^CapInh:\s+0+$`, `(?m)^CapAmb:\s+0+$`,
		`(?m)^NoNewPrivs:\s+1$`,
		`(?m)^Max core file size\s+0\s+0\s`,
		`(?m)^fds: 0=pipe:\S+ 1=pipe:\S+ 2=pipe:\S+$`,
		`(?m)^env: [^\n]*SENDER=fbtest2@root\.test`,
	} {
		if !regexp.MustCompile(want).Match(b) {
			t.Errorf("no %s", want)
		}
	}
	for _, secret := range []string{"FILBERT_INSTANCE", asked, "GOCACHE", "SUDO"} {
		if bytes.Contains(b, []byte(secret)) {
			t.Errorf("the command's environment has %s", secret)
		}
	}
	if t.Failed() {
		t.Logf("%s", b)
	}
}

// TestACommandMayCallSendmail: vacation programs and list managers do, and the
// set-group-id bit of pickup means nothing under no_new_privs.
func TestACommandMayCallSendmail(t *testing.T) {
	s := started(t)
	subject := unique(t, "x")
	s.send(t, "fbtest1@root.test", "answer@root.test", subject)
	file := s.delivered(t, "fbtest1", "answer to "+subject)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("from user nobody, uid %d)", s.users["nobody"].uid); !strings.Contains(string(b), want) {
		t.Errorf("no %q in\n%s", want, b)
	}
}

// sink takes the mail for far.test until the test ends.
func (s *site) sink(t *testing.T) *smtptest.Sink {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.sinkPort))
	if err != nil {
		t.Fatal(err)
	}
	return smtptest.Drink(t, smtptest.Options{Listener: l})
}

func arrived(t *testing.T, sink *smtptest.Sink, subject string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		n := 0
		for _, m := range sink.Mails() {
			if strings.Contains(m.Content, "Subject: "+subject+"\r\n") {
				n++
			}
		}
		return n == 1, fmt.Sprintf("mail %q at the sink, once (it has it %d times)", subject, n)
	})
}

func TestMailIsRelayed(t *testing.T) {
	s := started(t)
	sink, subject := s.sink(t), unique(t, "x")
	s.send(t, "fbtest1@root.test", "bob@far.test", subject)
	arrived(t, sink, subject)
}

func TestWhatIsDeferredIsTriedAgain(t *testing.T) {
	s := started(t)
	subject := unique(t, "x")
	s.send(t, "fbtest1@root.test", "waiting@far.test", subject)
	s.inLog(t, " deferred ", "to=<waiting@far.test>")
	eventually(t, func() (bool, string) {
		files, _ := filepath.Glob(s.spool("deferred/*/*"))
		return len(files) > 0, "a file in deferred/"
	})
	files, _ := filepath.Glob(s.spool("deferred/*/*"))
	for _, f := range files {
		if !strings.HasSuffix(f, ".log") {
			ownedBy(t, f, s.users["filbert"])
		}
	}
	if out := s.mtactl(t, "queue", "list"); !strings.Contains(out, "waiting@far.test") {
		t.Errorf("mtactl queue list says %q", out)
	}
	arrived(t, s.sink(t), subject)
}

func TestWhatFailsIsReturned(t *testing.T) {
	s := started(t)
	to := fmt.Sprintf("nobody-%d@root.test", os.Getpid())
	s.send(t, "fbtest2@root.test", to, "x")
	eventually(t, func() (bool, string) {
		return s.find("fbtest2", "Final-Recipient: rfc822; "+to) != "", "a report about " + to
	})
	ownedBy(t, s.find("fbtest2", "Final-Recipient: rfc822; "+to), s.users["fbtest2"])
}

// TestALargeMessageTravelsAsADescriptor: its bytes cross every boundary between
// users in another way than those of a small one.
func TestALargeMessageTravelsAsADescriptor(t *testing.T) {
	s := started(t)
	for _, from := range []string{"smtp", "sendmail"} {
		subject := unique(t, from)
		body := strings.Repeat("All work and no play makes Jack a dull boy.\r\n", 20_000)
		if from == "smtp" {
			s.sendText(t, "fbtest1@root.test", "fbtest2@root.test", "Subject: "+subject+"\r\n\r\n"+body)
		} else {
			cmd := as(exec.Command(s.program("sendmail"), "-i", "fbtest2@root.test"), s.users["fbtest1"])
			cmd.Stdin = strings.NewReader("Subject: " + subject + "\r\n\r\n" + body)
			if code, out := output(t, cmd); code != 0 {
				t.Fatalf("sendmail: %d, %s", code, out)
			}
		}
		b, err := os.ReadFile(s.delivered(t, "fbtest2", subject))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(string(b), "\n\n"+strings.ReplaceAll(body, "\r\n", "\n")) {
			t.Errorf("%s: %d bytes arrived, not what was sent", from, len(b))
		}
	}
}
