package root

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/proto"
)

// mailq runs it as a user.
func (s *site) mailq(t *testing.T, u account, args ...string) (int, string) {
	t.Helper()
	return output(t, as(exec.Command(s.path("usr/bin/mailq"), args...), u))
}

// waiting hands a message in for a server that is not there, and gives its id.
func (s *site) waiting(t *testing.T, u account, recipients ...string) string {
	t.Helper()
	known := s.own(t, u)
	if code, out := s.submit(t, u, unique(t, "x"), append([]string{"-i", "--"}, recipients...)...); code != 0 {
		t.Fatalf("sendmail: %d, %s", code, out)
	}
	var id string
	eventually(t, func() (bool, string) {
		for have := range s.own(t, u) {
			if !known[have] {
				id = have
			}
		}
		return id != "", "a message of " + u.name + " in the queue"
	})
	return id
}

// own is the messages that a user sees.
func (s *site) own(t *testing.T, u account) map[string]bool {
	t.Helper()
	code, out := s.mailq(t, u, "--json")
	if code != 0 {
		t.Fatalf("mailq --json of %s: %d, %s", u.name, code, out)
	}
	ids := map[string]bool{}
	for line := range strings.Lines(out) {
		var item proto.MineItem
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		ids[item.ID] = true
	}
	return ids
}

// TestUsersSeeAndCancelTheirOwnMailAlone: two users of the machine with no group
// but their own, as the kernel tells them apart.
func TestUsersSeeAndCancelTheirOwnMailAlone(t *testing.T) {
	s := started(t)
	defer s.emptyQueue(t)
	ann, bob := s.users["fbtest1"], s.users["fbtest2"]
	id := s.waiting(t, ann, "friend@far.test", "other@far.test")
	bobs := s.waiting(t, bob, "bobs@far.test")

	if code, out := s.mailq(t, ann); code != 0 || !strings.Contains(out, "to friend@far.test, other@far.test\n") ||
		!strings.Contains(out, "has refused connections since ") || strings.Contains(out, "bobs@") {
		t.Errorf("mailq of the sender: %d\n%s", code, out)
	}
	if code, out := s.mailq(t, bob); code != 0 || !strings.Contains(out, "bobs@far.test") || strings.Contains(out, "friend@") {
		t.Errorf("mailq of another: %d\n%s", code, out)
	}
	if code, out := s.mailq(t, s.users["nobody"]); code != 0 || out != "No mail of yours is waiting.\n" {
		t.Errorf("mailq of a third: %d\n%s", code, out)
	}

	// What is somebody else's is answered as what is not there.
	const none = "00000000001"
	for _, args := range [][]string{{"--trace"}, {"--cancel"}} {
		wantCode, want := s.mailq(t, bob, append(args, none)...)
		code, out := s.mailq(t, bob, append(args, id)...)
		if wantCode != 66 || code != wantCode || out != want {
			t.Errorf("%v: %d %q of another's, %d %q of none", args, code, out, wantCode, want)
		}
	}
	if code, out := s.mailq(t, bob, "--cancel", id, "friend@far.test"); code != 66 {
		t.Errorf("a recipient of another's: %d %s", code, out)
	}
	if code, out := s.mailq(t, bob, "--all"); code != 77 || strings.Contains(out, "friend@") {
		t.Errorf("--all of a user: %d %s", code, out)
	}
	// Nor does the group of pickup make a difference, or the name of another.
	cmd := as(exec.Command(s.path("usr/libexec/filbert/pickup"), "-bp"), bob, s.drop)
	cmd.Env = []string{"LOGNAME=fbtest1", "USER=fbtest1", "SUDO_UID=0", "FILBERT_INSTANCE=/"}
	if code, out := output(t, cmd); strings.Contains(out, "friend@") {
		t.Errorf("with the group of pickup: %d %s", code, out)
	}

	if code, out := s.mailq(t, ann, "--cancel", id, "other@far.test"); code != 0 || !strings.Contains(out, "Cancelled for 1 recipient") {
		t.Errorf("--cancel of one's own: %d %s", code, out)
	}
	s.inLog(t, id+" cancelled", fmt.Sprintf("uid %d", ann.uid))
	if !s.own(t, ann)[id] || !s.own(t, bob)[bobs] {
		t.Error("a message went that nobody cancelled")
	}

	// Root sees both in the classic list, and cancels for everybody.
	root := account{name: "root"}
	if code, out := s.mailq(t, root); code != 0 || !strings.HasPrefix(out, "-Queue ID-") || !strings.Contains(out, "friend@far.test") || !strings.Contains(out, "bobs@far.test") {
		t.Errorf("mailq of root: %d\n%s", code, out)
	}
	for _, one := range []string{id, bobs} {
		if code, out := s.mailq(t, root, "--cancel", one); code != 0 {
			t.Errorf("root cancels: %d %s", code, out)
		}
	}
	if len(s.own(t, ann))+len(s.own(t, bob)) != 0 {
		t.Error("what root cancelled still waits")
	}
}

// TestOneUserCannotKeepTheOthersFromTheirMail: one holds as many connections as he
// can get, and another instance of him asks nonsense as fast as he can.
func TestOneUserCannotKeepTheOthersFromTheirMail(t *testing.T) {
	s := started(t)
	defer s.emptyQueue(t)
	eve, bob := s.users["fbtest1"], s.users["fbtest2"]
	pid := s.pid(t, proto.QMgr)
	bobs := s.waiting(t, bob, "bobs@far.test")
	socket := s.run("mine/qmgr")

	hold := as(exec.Command(s.helper(), helperFlag, "hold", socket, "200"), eve)
	in, err := hold.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := hold.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hold.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != fmt.Sprintf("%d of 200 stay open\n", proto.MinePerUser) {
		t.Errorf("of 200 connections: %q, %v", line, err)
	}
	besiege := as(exec.Command(s.helper(), helperFlag, "besiege", socket, "3s", bobs), eve)
	var said strings.Builder
	besiege.Stdout, besiege.Stderr = &said, &said
	if err := besiege.Start(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if !s.own(t, bob)[bobs] {
			t.Error("another user does not see his mail")
		}
		subject := unique(t, "x")
		s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
		s.delivered(t, "fbtest1", subject)
	}
	_ = in.Close()
	if err := errors.Join(hold.Wait(), besiege.Wait()); err != nil || strings.Contains(said.String(), "status 200") {
		t.Errorf("the siege: %v, %s", err, said.String())
	}
	s.sameAndWell(t, proto.QMgr, pid)
	if !s.own(t, bob)[bobs] {
		t.Error("the message of another went")
	}
}

// helpHold SOCKET N opens N connections to a users' socket, says half a request on
// each, and holds them until standard input ends. It prints how many the other side
// left open.
func helpHold(args []string) error {
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		return err
	}
	var open []net.Conn
	for range n {
		c, err := net.Dial("unix", args[0])
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = io.WriteString(c, "GET /v1/mine HTTP/1.1\r\nHost: x\r\n")
		if err != nil && !errors.Is(err, syscall.EPIPE) {
			return err
		}
		open = append(open, c)
	}
	left := 0
	for _, c := range open {
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			left++
		}
	}
	fmt.Printf("%d of %d stay open\n", left, n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// helpBesiege SOCKET FOR ID asks for what is somebody else's, and for nonsense, as
// fast as it can. It prints what it was told, by status.
func helpBesiege(args []string) error {
	d, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	huge := strings.Repeat("x", 4<<20)
	requests := []string{
		"GET /v1/mine/" + args[2] + " HTTP/1.1\r\nHost: x\r\n\r\n",
		post(`{"id":"` + args[2] + `"}`),
		post(`{"id":"` + args[2] + `","uid":0}`),
		post(`{"id":"` + huge + `"}`),
		"GET /v1/mine?all=1 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/mine/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /" + huge + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x00\xff\r\n\r\n",
	}
	told := map[string]int{}
	for until := time.Now().Add(d); time.Now().Before(until); {
		for _, req := range requests {
			told[demand(args[0], req)]++
		}
	}
	for status, n := range told {
		fmt.Println(status, n)
	}
	return nil
}

func post(body string) string {
	return fmt.Sprintf("POST /v1/mine/cancel HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// demand makes one request and gives the status of its answer.
func demand(socket, req string) string {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return "none"
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, req)
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return "none"
	}
	defer r.Body.Close()
	return fmt.Sprint("status ", r.StatusCode)
}
