package smtpd

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"filbert/pkg/settings"
)

func TestPipelinedCommandsAreAnsweredInOrder(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<user@example.edu>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<b@example.edu>\r\nDATA\r\n")
	for _, code := range []int{250, 250, 550, 250, 354} {
		c.expect(code)
	}
	c.send("x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<user@example.edu>\r\nDATA\r\n")
	for _, code := range []int{250, 250, 250, 354} {
		c.expect(code)
	}
	c.send("y\r\n.\r\nQUIT\r\n")
	c.expect(250)
	c.expect(221)
	c.closed()
	if n := len(r.cleanup.messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// RFC 2920, section 3.2: replies to a group leave together.
func TestRepliesToAGroupLeaveTogether(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.send("MAIL FROM:<>\r\nRCPT TO:<user@example.edu>\r\nNOOP\r\n")
	buf := make([]byte, 4096)
	n, err := c.conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(buf[:n]), "\r\n"); lines != 3 {
		t.Errorf("%d lines in the first segment: %q", lines, buf[:n])
	}
}

func TestRepliesDoNotWaitForHalfACommand(t *testing.T) {
	c := newRig(t, nil).hello()
	c.send("NOOP\r\nNO")
	c.expect(250)
	c.send("OP\r\n")
	c.expect(250)
}

// RFC 2920, section 3.1: DATA, EHLO and HELO end a group. What stands behind
// them was sent by somebody who does not wait for us: it may be meant as
// content, and must not become commands, or the other way round.
func TestNothingIsExecutedAcrossAPhaseChange(t *testing.T) {
	r := newRig(t, nil)
	for _, text := range []string{
		"MAIL FROM:<>\r\nRCPT TO:<user@example.edu>\r\nDATA\r\nx\r\n.\r\n",
		"DATA\r\nMAIL FROM:<>\r\n",
		"EHLO again.example\r\nMAIL FROM:<>\r\n",
		"HELO again.example\r\nNOOP\r\n",
		"EHLO \r\nNOOP\r\n",
	} {
		c := r.hello()
		c.send(text)
		for code := 250; code == 250; {
			var err error
			if code, _, err = c.reply(); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if code != 250 && code != 554 {
				t.Errorf("%q: got %d", text, code)
			}
		}
		c.closed()
	}
	if n := len(r.cleanup.messages()); n != 0 {
		t.Errorf("%d messages taken", n)
	}
}

// RFC 5321, section 3.1: the client waits for the greeting.
func TestEarlyTalkerIsTurnedAway(t *testing.T) {
	r := newRig(t, nil)
	ours, theirs := tcpPair(t)
	c := &client{t, theirs, bufio.NewReader(theirs)}
	c.send("EHLO client.example\r\n")
	// The octets are here before the dialogue begins.
	r.waitUntil("the octets are here", func() bool {
		var in input
		in.open(ours)
		return !in.quiet()
	})
	r.server.greet(r.door, ours)
	c.expect(554)
	c.closed()
}

// tcpPair is a connection that no server has accepted.
func tcpPair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return b.(*net.TCPConn), a.(*net.TCPConn)
}

func TestBytesBehindQuitAreIgnored(t *testing.T) {
	c := newRig(t, nil).hello()
	c.send("QUIT\r\nMAIL FROM:<>\r\n")
	c.expect(221)
	c.closed()
}

func TestClientThatReadsNothingIsClosedInTheEnd(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.CommandTimeout = settings.Duration(100 * time.Millisecond)
		s.Limits.Commands = 1 << 30
	})
	c := r.hello()
	_ = c.conn.SetReadBuffer(4096)
	batch := strings.Repeat("NOOP\r\n", 10_000)
	for {
		if _, err := io.WriteString(c.conn, batch); err != nil {
			break // the server has given us up
		}
	}
	r.waitUntil("the session has ended", func() bool { return r.server.board.Len() == 0 })
}

func TestHalfClosedClientGetsItsReplies(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.send("MAIL FROM:<>\r\nRCPT TO:<user@example.edu>\r\nBDAT 3 LAST\r\nx\r\nQUIT\r\n")
	_ = c.conn.CloseWrite()
	for _, code := range []int{250, 250, 250, 221} {
		c.expect(code)
	}
}

func TestMessageCutShortIsNotTaken(t *testing.T) {
	r := newRig(t, nil)
	for _, text := range []string{"DATA", "BDAT 100", "BDAT 100 LAST", "BDAT 3"} {
		c := r.hello()
		c.envelope()
		c.send(text + "\r\n")
		if text == "DATA" {
			c.expect(354)
		}
		c.send("x\r\n")
		_ = c.conn.CloseWrite()
		_, _ = io.ReadAll(c.r)
	}
	r.waitUntil("the sessions have ended", func() bool { return r.server.board.Len() == 0 })
	if r.cleanup.calls != 0 {
		t.Errorf("cleanup was called %d times", r.cleanup.calls)
	}
}
