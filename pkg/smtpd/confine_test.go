package smtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
)

// confinedEnv makes the test binary the confined server of
// TestServesUnderItsConfinement.
const confinedEnv = "FILBERT_TEST_CONFINED_SMTPD"

func TestMain(m *testing.M) {
	if os.Getenv(confinedEnv) != "" {
		if err := serveConfined(); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveConfined does what service.Main does, with a cleanup of its own.
func serveConfined() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := service.New(service.Wiring{
		Settings:  testSettings(),
		Log:       event.Stderr("smtpd"),
		Listeners: []service.NamedListener{{Kind: proto.ListenSMTP, Name: "mx", Listener: l}},
	})
	d := new(daemon)
	if err := d.Open(p); err != nil {
		return err
	}
	spec := d.Confinement(p)
	if _, err := privsep.Confine(spec); err != nil {
		return err
	}
	if err := privsep.Assert(spec); err != nil {
		return err
	}
	d.server.ctx, d.server.cleanup = context.Background(), &fakeCleanup{}
	d.server.start()
	fmt.Println(l.Addr())
	_, err = io.Copy(io.Discard, os.Stdin) // until the test is done
	stopping := make(chan struct{})
	close(stopping)
	d.server.drain(stopping)
	return err
}

// What the confinement takes away must not be what serving needs: each kind of
// wait, a pipe, a peek, a time-out, an end.
func TestServesUnderItsConfinement(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), confinedEnv+"=1")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if strings.Contains(addr, "CGO_ENABLED") {
		t.Skip("built with cgo: run with CGO_ENABLED=0")
	}
	if err != nil || strings.HasPrefix(addr, "error") {
		t.Fatalf("the confined server said %q, %v", addr, err)
	}
	conn, err := net.Dial("tcp", strings.TrimSpace(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	c := &client{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
	c.expect(220)
	c.cmd(250, "EHLO client.example")
	c.mail(250, "x\r\n")
	c.mail(250, text(3<<20))
	c.envelope()
	c.chunk(250, " LAST", "y\r\n")
	c.cmd(421, "GET / HTTP/1.1")
	c.closed()
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the confined server: %v", err)
	}
}
