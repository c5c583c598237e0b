package smtpd

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/wire"
)

// unixPair is a connection between two programs of the suite.
func unixPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = c.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// realCleanup puts the links of pkg/ipc between a rig and its fake cleanup.
func realCleanup(t *testing.T, r *rig) (kill func()) {
	t.Helper()
	handler := func(ctx context.Context, c *ipc.Call) {
		defer c.CloseFiles()
		var sub proto.Submission
		if c.Decode(&sub) != nil {
			return
		}
		var a proto.Acceptance
		if err := r.cleanup.Call(ctx, &sub, &a, c.Files...); err != nil {
			c.Refuse(err)
			return
		}
		c.Reply(&a)
	}
	srv := ipc.NewServer(ipc.Spawn(handler), ipc.ServerOptions{MaxFrame: proto.MaxFrame})
	ours, theirs := unixPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		_ = srv.ServeConn(ctx, theirs, "smtpd")
		close(served)
	}()
	first := true
	client := ipc.NewClient(func(context.Context) (*net.UnixConn, error) {
		if !first {
			return nil, errors.New("there was only one")
		}
		first = false
		return ours, nil
	}, ipc.ClientOptions{MaxFrame: proto.MaxFrame, Stay: ipc.Always, OnNotice: r.server.notice, OnDown: func(error) { r.server.cleanupDown() }})
	r.server.cleanup = client
	t.Cleanup(func() {
		cancel()
		client.Close()
		<-served
	})
	return cancel
}

func TestMessagesPassOverIPC(t *testing.T) {
	r := newRig(t, nil)
	realCleanup(t, r)
	c := r.hello()
	for _, size := range []int{200, proto.InlineMax, 5 << 20} {
		want := text(size)
		c.mail(250, want)
		all := r.cleanup.messages()
		if all[len(all)-1].content != want {
			t.Errorf("%d octets: not the same", size)
		}
	}
}

func TestCleanupKilledInALargeMessageIs451(t *testing.T) {
	r := newRig(t, nil)
	kill := realCleanup(t, r)
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	c.send(text(1 << 20))
	r.waitUntil("cleanup has its beginning", func() bool {
		r.cleanup.mu.Lock()
		defer r.cleanup.mu.Unlock()
		return r.cleanup.calls == 1
	})
	kill()
	c.send(text(1<<20) + ".\r\n")
	c.expect(451)
	r.waitUntil("its end is known", func() bool { return !r.server.roomNow().up })
	c.cmd(451, "MAIL FROM:<>")
}

func TestNoticesChangeTheRoom(t *testing.T) {
	r := newRig(t, nil)
	var e wire.Encoder
	(&proto.Capacity{Accepting: true, Free: 77}).EncodeTo(&e)
	r.server.notice(proto.KindCapacity, e.Buf)
	if got := r.server.roomNow(); !got.accepting || got.free != 77 {
		t.Errorf("room %+v", got)
	}
	r.server.notice(proto.KindCapacity, []byte{1, 2, 3})
	r.server.notice(9999, nil)
	if got := r.server.roomNow(); !got.accepting || got.free != 77 {
		t.Errorf("room %+v after nonsense", got)
	}
}
