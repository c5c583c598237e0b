package router_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"filbert/pkg/event"
	"filbert/pkg/privsep"
	"filbert/pkg/router"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

// confinedEnv makes the test binary the confined router of
// TestAnswersUnderItsConfinement; its value is the settings.
const confinedEnv = "FILBERT_TEST_CONFINED_ROUTER"

func TestMain(m *testing.M) {
	if s := os.Getenv(confinedEnv); s != "" {
		if err := answerConfined(s); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// answerConfined does what service.Main does, and then answers the address on
// each line of standard input with a line.
func answerConfined(text string) error {
	var s settings.Settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	p := service.New(service.Wiring{Settings: &s, Log: event.Stderr("router")})
	// An hour ahead, so that each question looks at the files.
	now := time.Now().Add(time.Hour)
	d := router.New(router.World{
		Passwd: filepath.Join(s.Instance.Etc, "passwd"),
		Addrs:  []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Now: func() time.Time {
			now = now.Add(time.Minute)
			return now
		},
	})
	if err := d.Open(p); err != nil {
		return err
	}
	spec := d.Confinement(p)
	report, err := privsep.Confine(spec)
	if err != nil {
		return err
	}
	if err := privsep.Assert(spec); err != nil {
		return err
	}
	fmt.Println("ready, landlock", report.LandlockABI > 0)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if path, ok := strings.CutPrefix(in.Text(), "open "); ok {
			_, err := os.ReadFile(path)
			fmt.Println(err == nil)
			continue
		}
		a := d.Answer(context.Background(), to(in.Text()))
		fmt.Println(strings.ReplaceAll(shows(a), "\n", "; "))
	}
	return nil
}

// What the confinement takes away must not be what answering needs: UDP, TCP,
// files that were replaced since, lists that lie elsewhere.
func TestAnswersUnderItsConfinement(t *testing.T) {
	elsewhere, secret := t.TempDir(), t.TempDir()
	l := newLab(t, "u.example. MX 10 mx.u.example.\nmx.u.example. A 192.0.2.1\nt.example. A 192.0.2.2\n!truncate t.example.\n", map[string]string{
		"aliases": "a: alice\nlist: :include:" + elsewhere + "/members\n",
	})
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(elsewhere+"/members", "bob\n")
	write(secret+"/x", "x")
	l.set.DNS.Timeout = settings.Duration(5 * time.Second)
	l.set.DNS.Deadline = settings.Duration(10 * time.Second)
	text, err := json.Marshal(l.set)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), confinedEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	line := func() string {
		s, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("the confined router ended: %v", err)
		}
		return strings.TrimSpace(s)
	}
	ready := line()
	if strings.Contains(ready, "CGO_ENABLED") {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	if !strings.HasPrefix(ready, "ready") {
		t.Fatalf("the confined router said %q", ready)
	}
	ask := func(question, want string) {
		t.Helper()
		fmt.Fprintln(stdin, question)
		if got := line(); got != want {
			t.Errorf("%s: got %s, want %s", question, got, want)
		}
	}
	ask("x@u.example", "x@u.example smtp via u.example: mx.u.example/192.0.2.1:25")
	ask("x@t.example", "x@t.example smtp via t.example: t.example/192.0.2.2:25")
	ask("a@example.org", "alice@example.org maildir alice")
	ask("list@example.org", "bob@example.org maildir bob")
	l.write("aliases", "a: erin\nlist: :include:"+elsewhere+"/members\n")
	l.write("passwd", passwd+"erin:x:1009:100::/home/erin:/bin/sh\n")
	ask("a@example.org", "erin@example.org maildir erin")
	if strings.HasSuffix(ready, "true") {
		ask("open "+secret+"/x", "false")
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the confined router: %v", err)
	}
}
