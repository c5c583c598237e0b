package root

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

// frame is an octet-exact frame of pkg/ipc.
func frame(role byte, id uint64, kind uint16, files byte, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint16(b, kind)
	return append(append(b, role, files), payload...)
}

// The roles of frames.
const (
	hello, callRole, replyRole, noticeRole = 1, 2, 3, 5
)

// greeting is a hello as it should be: version, credits, largest frame.
var greeting = frame(hello, 0, 0, 0, []byte{1, 0, 0, 0, 10, 0, 16, 0, 0})

// malformed are openings of a connection that no program of ours makes. After
// each the connection has to be closed.
var malformed = [][]byte{
	[]byte("GET / HTTP/1.0\r\n\r\n"),
	[]byte("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n"),
	bytes.Repeat([]byte{0xff}, 64),
	bytes.Repeat([]byte{0}, 64),
	{0x00},
	frame(hello, 0, 0, 0, []byte{9, 0, 0, 0, 10, 0, 16, 0, 0}),                     // a version to come
	frame(hello, 7, 0, 0, []byte{1, 0, 0, 0, 10, 0, 16, 0, 0}),                     // a hello with an id
	frame(hello, 0, 0, 0, []byte{1, 0, 0, 0}),                                      // cut off
	frame(hello, 0, 0, 0, bytes.Repeat([]byte{1}, 100)),                            // bytes left over
	frame(callRole, 1, proto.KindSubmission, 0, nil),                               // a call before the hello
	append(clone(greeting), greeting...),                                           // twice
	append(clone(greeting), frame(99, 1, 1, 0, nil)...),                            // no such role
	append(clone(greeting), frame(callRole, 0, 1, 0, nil)...),                      // a call without an id
	append(clone(greeting), frame(callRole, 1, 999, 0, nil)...),                    // no such kind
	append(clone(greeting), frame(replyRole, 5, proto.KindAcceptance, 0, nil)...),  // an answer to nothing
	append(clone(greeting), frame(noticeRole, 3, 1, 0, nil)...),                    // a notice with an id
	append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 255, nil)...), // more descriptors than may be
	append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 1, nil)...),   // a descriptor that does not come
	append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 0, []byte{1})...),
	append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 0, bytes.Repeat([]byte{0xff}, 1000))...), // lengths beyond the end
	append(clone(greeting), frame(callRole, 1, proto.KindSubmission, 0, bytes.Repeat([]byte{0}, 1000))...),
	append(clone(greeting), 0x7f, 0xff, 0xff, 0xff), // a frame of 2 GiB, announced
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// closes tells whether the other side closes a connection after what was said.
func closes(c *net.UnixConn) error {
	if err := c.CloseWrite(); err != nil && !errors.Is(err, syscall.ENOTCONN) {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil // the end of the stream, or a reset
}

// TestLocalSocketsAreClosedToOtherUsers: paths, modes and groups, as the kernel
// applies them.
func TestLocalSocketsAreClosedToOtherUsers(t *testing.T) {
	s := started(t)
	adm, err := lookupGroup("filbert-adm")
	if err != nil {
		t.Fatal(err)
	}
	submit, control := []string{s.run("submit/cleanup")}, []string{s.run("control/master"), s.run("control/qmgr"), s.run("control/mtadb")}
	mine := []string{s.run("mine/qmgr"), s.run("mine/mtadb")}
	all := append(append(clone2(submit), control...), mine...)
	for _, c := range []struct {
		user  string
		group int // 0 = none
		may   []string
	}{
		{"nobody", 0, nil}, {"fbtest1", 0, nil},
		{"filbert-in", 0, nil}, {"filbert-out", 0, nil}, {"filbert-route", 0, nil}, {"filbert-db", 0, nil},
		{"filbert", 0, nil},
		{"nobody", s.drop, submit},
		{"nobody", adm, control},
	} {
		var groups []int
		if c.group != 0 {
			groups = []int{c.group}
		}
		_, out := output(t, as(exec.Command(s.helper(), append([]string{helperFlag, "dial"}, all...)...), s.users[c.user], groups...))
		want := append(clone2(c.may), mine...) // which everybody may
		if got := strings.Fields(out); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s with group %d reaches %v, want %v", c.user, c.group, got, want)
		}
	}
}

func clone2(list []string) []string { return append([]string(nil), list...) }

// TestMalformedFramesEndTheirConnectionAlone: an honest connection that was
// there before goes on, and the daemon is the same process afterwards.
func TestMalformedFramesEndTheirConnectionAlone(t *testing.T) {
	s := started(t)
	path := s.run("submit/cleanup")
	pid := s.pid(t, proto.Cleanup)
	honest := dialIPC(t, path)
	for i, opening := range malformed {
		c := dialUnix(t, path)
		if _, err := c.Write(opening); err != nil && !errors.Is(err, syscall.EPIPE) {
			t.Fatal(err)
		}
		if err := closes(c); err != nil {
			t.Errorf("opening %d (%.40q): the connection stays open: %v", i, opening, err)
		}
		c.Close()
	}
	// The same with descriptors on top.
	for _, opening := range malformed {
		c := dialUnix(t, path)
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		rights := syscall.UnixRights(repeatFD(int(null.Fd()), 40)...)
		_, _, _ = c.WriteMsgUnix(opening, rights, nil)
		null.Close()
		if err := closes(c); err != nil {
			t.Errorf("%.40q with descriptors: the connection stays open: %v", opening, err)
		}
		c.Close()
	}
	// A crowd of them as a member of the group.
	if code, out := output(t, as(exec.Command(s.helper(), helperFlag, "flood", path, "500"), s.users["nobody"], s.drop)); code != 0 || out != "closed: 500\n" {
		t.Errorf("the flood: %d, %s", code, out)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	letter := &proto.Submission{
		Envelope: envelope.Envelope{
			Source:     envelope.FromLocal,
			Sender:     mailaddr.MustParse("fbtest2@root.test"),
			Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("fbtest1@root.test")}},
		},
		Content: proto.Content{Inline: []byte("Subject: honest\r\n\r\nHello.\r\n")},
	}
	var a proto.Acceptance
	if err := honest.Call(ctx, letter, &a); err != nil || a.Code != 250 {
		t.Errorf("the honest connection: %d %s, %v\n%s", a.Code, a.Text, err, s.tail())
	}
	s.sameAndWell(t, proto.Cleanup, pid)
	if held := len(descriptors(t, pid)); held > 64 {
		t.Errorf("cleanup holds %d descriptors after all this", held)
	}
}

func repeatFD(fd, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = fd
	}
	return out
}

func dialUnix(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dialIPC(t *testing.T, path string) *ipc.Conn {
	t.Helper()
	conn, err := ipc.NewConn(dialUnix(t, path), ipc.Options{OnNotice: func(uint16, []byte) {}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = conn.Serve(context.Background()) }()
	t.Cleanup(func() { conn.Close() })
	return conn
}

// sameAndWell: the daemon is the process that it was, and mail flows.
func (s *site) sameAndWell(t *testing.T, name proto.Service, pid int) {
	t.Helper()
	subject := unique(t, "well")
	s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
	s.delivered(t, "fbtest1", subject)
	if code, out := s.submit(t, s.users["fbtest2"], subject+"-local", "fbtest1"); code != 0 {
		t.Fatalf("sendmail: %d, %s", code, out)
	}
	s.delivered(t, "fbtest1", subject+"-local")
	if now := s.pid(t, name); now != pid {
		t.Errorf("%s was process %d and is %d now", name, pid, now)
	}
}

// TestMalformedRequestsEndTheirConnectionAlone is the same for the two sockets
// that speak HTTP.
func TestMalformedRequestsEndTheirConnectionAlone(t *testing.T) {
	s := started(t)
	for socket, name := range map[string]proto.Service{"control/master": proto.Master, "control/qmgr": proto.QMgr, "mine/qmgr": proto.QMgr,
		"control/mtadb": proto.MTADB, "mine/mtadb": proto.MTADB} {
		pid := s.pid(t, name)
		path := s.run(socket)
		for _, opening := range [][]byte{
			[]byte("\x00\x01\x02\x03\r\n\r\n"), bytes.Repeat([]byte{0xff}, 1<<16), greeting,
			[]byte("GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"),
			[]byte("POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n"),
			[]byte("POST /v1/explain HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{\"a\""),
			[]byte("POST /v1/explain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
			append([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "), bytes.Repeat([]byte("y"), 1<<20)...),
		} {
			c := dialUnix(t, path)
			_, _ = c.Write(opening)
			if err := closes(c); err != nil {
				t.Errorf("%s, %.40q: %v", socket, opening, err)
			}
			c.Close()
		}
		for _, target := range []string{"/v1/queue/../../../etc/passwd", "/v1/messages/%2e%2e%2f%2e%2e", "/nothing"} {
			c := dialUnix(t, path)
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", target)
			r, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || r.StatusCode < 300 {
				t.Errorf("%s %s: %v, %v", socket, target, r, err)
			}
			c.Close()
		}
		s.sameAndWell(t, name, pid)
	}
}

// TestADaemonThatIsTakenOverCannotTakeItsNeighboursAlong writes malformed frames
// into the connections that daemons have among themselves and with master, with
// the sender's own descriptor, as its new owner would: whoever reads them goes on.
func TestADaemonThatIsTakenOverCannotTakeItsNeighboursAlong(t *testing.T) {
	s := started(t)
	for _, d := range daemons() {
		t.Run(string(d.name), func(t *testing.T) {
			for _, junk := range [][]byte{bytes.Repeat([]byte{0xff}, 64), frame(callRole, 1<<40, 999, 0, []byte("x")), tooLong} {
				before := map[proto.Service]int{proto.Master: s.pid(t, proto.Master)}
				for _, other := range daemons() {
					before[other.name] = s.pid(t, other.name)
				}
				n := s.spoil(t, before[d.name], junk)
				if n == 0 {
					t.Fatalf("%s has no connection to spoil", d.name)
				}
				// It may end of it: its own channel to master is broken. Nobody else may.
				s.running(t)
				for name, pid := range before {
					if now := s.pid(t, name); now != pid && name != d.name {
						t.Errorf("after %.8q in %d connections of %s: %s was process %d and is %d", junk, n, d.name, name, pid, now)
					}
				}
				subject := unique(t, "x")
				s.send(t, "fbtest2@root.test", "fbtest1@root.test", subject)
				s.delivered(t, "fbtest1", subject)
			}
		})
	}
}

// tooLong is the header of a frame of 2 GiB.
var tooLong = append([]byte{0x7f, 0xff, 0xff, 0xff}, make([]byte, 12)...)

// spoil writes junk into every connected Unix socket of a process and tells how
// many there were.
func (s *site) spoil(t *testing.T, pid int, junk []byte) int {
	t.Helper()
	const sysPidfdOpen, sysPidfdGetfd = 434, 438 // the same on all architectures
	pidfd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno != 0 {
		t.Fatalf("pidfd_open: %v", errno)
	}
	defer syscall.Close(int(pidfd))
	n := 0
	for fd, to := range descriptors(t, pid) {
		if !strings.HasPrefix(to, "socket:") {
			continue
		}
		dup, _, errno := syscall.Syscall(sysPidfdGetfd, pidfd, uintptr(fd), 0)
		if errors.Is(errno, syscall.EBADF) || errors.Is(errno, syscall.ESRCH) {
			continue // closed meanwhile; or it has ended of what it got already
		}
		if errno != 0 {
			t.Fatalf("pidfd_getfd: %v", errno)
		}
		f := os.NewFile(dup, to)
		if addr, err := syscall.Getpeername(int(dup)); err == nil {
			if _, local := addr.(*syscall.SockaddrUnix); local {
				if err := syscall.Sendto(int(dup), junk, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil); err == nil {
					n++
				}
			}
		}
		if err := f.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
			t.Fatal(err)
		}
	}
	return n
}
