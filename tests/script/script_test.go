package script

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReplyIsReadStrictly(t *testing.T) {
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{"250 ok\r\n", true},
		{"250\r\n", true},
		{"250-one\r\n250-two\r\n250 three\r\n", true},
		{"250-one\r\n550 two\r\n", false},
		{"250 ok\n", false},
		{"hello\r\n", false},
		{"1000 ok\r\n", false},
		{"250-one\r\n", false},
		{"250 " + strings.Repeat("x", 600) + "\r\n", false},
	} {
		_, err := readReply(bufio.NewReader(strings.NewReader(c.text)))
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func TestStarInAPatternIsAnyText(t *testing.T) {
	for _, c := range []struct {
		text, want string
		ok         bool
	}{
		{"250 2.0.0 Ok: queued as X", "250 2.0.0 *queued as", true},
		{"250 2.0.0 Ok", "250 2.0.0", true},
		{"250 2.0.0 Ok", "250 2.1.0", false},
		{"250 2x0.0 Ok", "250 2.0.0", false},
		{"x250", "250", false},
	} {
		if got := begins(c.text, c.want); got != c.ok {
			t.Errorf("%q, %q: %v", c.text, c.want, got)
		}
	}
}

func TestDotsAreDoubled(t *testing.T) {
	for text, want := range map[string]string{
		"":             ".\r\n",
		"a\r\n":        "a\r\n.\r\n",
		"a":            "a\r\n.\r\n",
		".\r\n":        "..\r\n.\r\n",
		"a\r\n..b\r\n": "a\r\n...b\r\n.\r\n",
	} {
		if got := stuff(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestRulesOfASinkAreUsedUp(t *testing.T) {
	rules, err := parseRules("# comment\n2x rcpt *<bob@* 451 4.2.1 later\nrcpt *<bob@* 550 no\ndot drop\nmail raw 250 x\\r\\n\n")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{rules: rules}
	for i, want := range []string{"451 4.2.1 later", "451 4.2.1 later", "550 no"} {
		if got := s.decide("rcpt", "TO:<bob@x>", "250 ok"); got != want {
			t.Errorf("time %d: %q", i+1, got)
		}
	}
	if got := s.decide("rcpt", "TO:<ann@x>", "250 ok"); got != "250 ok" {
		t.Errorf("for ann: %q", got)
	}
	for _, bad := range []string{"rcpt", "rcpt *", "0.5x dot drop", "dot explode"} {
		if _, err := parseRules(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

const goodStatus = "Reporting-MTA: dns; mail.test\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\nStatus: 5.1.1\r\n"

func TestStatusPartIsHeldAgainstItsRFC(t *testing.T) {
	if err := checkStatus(goodStatus); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"Reporting-MTA: dns; mail.test\r\n",
		strings.Replace(goodStatus, "dns; ", "", 1),
		strings.Replace(goodStatus, "rfc822; ", "", 1),
		strings.Replace(goodStatus, "failed", "lost", 1),
		strings.Replace(goodStatus, "5.1.1", "2.0.0", 1),
		strings.Replace(goodStatus, "5.1.1", "550", 1),
	} {
		if checkStatus(bad) == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// childVar makes this program one with threads that run.
const childVar = "SCRIPT_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		for range 3 {
			go func() {
				for {
				}
			}()
		}
		select {}
	}
	os.Exit(m.Run())
}

func TestAProcessStandsWhenAllItsThreadsDo(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childVar+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if stands(cmd.Process.Pid) {
			t.Error("one that has ended stands")
		}
	}()
	if stands(cmd.Process.Pid) {
		t.Error("one that runs stands")
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); !stands(cmd.Process.Pid); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			t.Fatal("one that was stopped does not stand")
		}
	}
}

func TestAPortIsHeldWhileNoServerListens(t *testing.T) {
	port, hold, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	// Others look whether a port is free in this way.
	if l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port)); err == nil {
		l.Close()
		t.Error("another process can take it")
	}
	for range 2 { // a sink that is stopped and started
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.11:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}
