package smtpd

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

func TestDeclaredSizeOverTheLimitIs552AtMail(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.cmd(552, "MAIL FROM:<a@client.example> SIZE=1001")
	c.cmd(552, "MAIL FROM:<a@client.example> SIZE=99999999999999999999")
	c.cmd(501, "MAIL FROM:<a@client.example> SIZE=-1")
	c.cmd(501, "MAIL FROM:<a@client.example> SIZE=+1")
	c.cmd(501, "MAIL FROM:<a@client.example> SIZE=1e3")
	c.cmd(250, "MAIL FROM:<a@client.example> SIZE=1000")
}

func TestLyingSizeIs552AtTheEndAndTheSessionIsUsable(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example> SIZE=10")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(354, "DATA")
	c.send(strings.Repeat("0123456789\r\n", 100) + ".\r\n")
	if text := c.expect(552); !strings.HasPrefix(text, "5.3.4 ") {
		t.Errorf("got %q", text)
	}
	c.mail(250, "small\r\n")
	if got := r.cleanup.only(t).content; got != "small\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestMessageOfExactlyTheLimitIsTaken(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.mail(250, strings.Repeat("x", 998)+"\r\n")
	c.mail(552, strings.Repeat("x", 999)+"\r\n")
}

func TestOversizeIsReadWithinABoundAndThenClosed(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	go func() {
		line := strings.Repeat("x", 60_000) + "\r\n"
		for {
			if _, err := io.WriteString(c.conn, line); err != nil {
				return
			}
		}
	}()
	c.expect(552)
	c.closed()
}

func TestTooManyErrorsAre421(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Errors = 5 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	for range 4 {
		c.cmd(550, "RCPT TO:<x@elsewhere.example>")
	}
	c.cmd(421, "RCPT TO:<x@elsewhere.example>")
	c.closed()
}

func TestFruitlessCommandsAre421(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Commands = 10 })
	c := r.hello()
	for range 9 {
		c.cmd(250, "NOOP")
	}
	c.cmd(421, "RSET")
	c.closed()
}

func TestAMessageClearsTheCounters(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Commands, s.Limits.Errors = 10, 5 })
	c := r.hello()
	for range 5 {
		for range 8 {
			c.cmd(250, "NOOP")
		}
		for range 4 {
			c.cmd(500, "FROB")
		}
		c.mail(250, "x\r\n")
	}
}

func TestEndlessRecipientsAre421(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Recipients = 100 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	for range 100 {
		c.cmd(250, "RCPT TO:<user@example.edu>")
	}
	for range 100 {
		c.cmd(452, "RCPT TO:<user@example.edu>")
	}
	c.cmd(421, "RCPT TO:<user@example.edu>")
	c.closed()
}

func TestEndlessCommandLineIsRefusedAndClosed(t *testing.T) {
	c := newRig(t, nil).hello()
	go func() {
		block := strings.Repeat("x", 64<<10)
		for {
			if _, err := io.WriteString(c.conn, block); err != nil {
				return
			}
		}
	}()
	c.expect(500)
	c.closed()
}

func TestTooManyConnectionsFromOneClientAre421(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.MaxPerClient = 2 })
	a := r.connect()
	b := r.connect()
	c := r.dial()
	c.expect(421)
	c.closed()
	a.cmd(221, "QUIT")
	a.closed()
	r.waitUntil("the place is free", func() bool { return r.server.board.Len() == 1 })
	r.connect().cmd(250, "NOOP")
	b.cmd(250, "NOOP")
}

func TestFullListenerIs421(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.MaxConnections = 2 })
	r.connect()
	r.connect()
	c := r.dial()
	if text := c.expect(421); !strings.HasPrefix(text, "4.7.0 ") {
		t.Errorf("got %q", text)
	}
	c.closed()
}

func TestSilentClientIs421AfterTheCommandTimeout(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.CommandTimeout = settings.Duration(20 * time.Millisecond)
	})
	c := r.connect()
	if text := c.expect(421); !strings.HasPrefix(text, "4.4.2 ") {
		t.Errorf("got %q", text)
	}
	c.closed()
}

// drip sends one octet after the other until the server has enough.
func drip(c *client) {
	for {
		if _, err := io.WriteString(c.conn, "x"); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDrippingACommandDoesNotMoveItsDeadline(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.CommandTimeout = settings.Duration(50 * time.Millisecond)
	})
	c := r.connect()
	go drip(c)
	c.expect(421)
}

func TestDrippingContentDoesNotMoveItsDeadline(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.DataTimeout = settings.Duration(50 * time.Millisecond)
	})
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	go drip(c)
	c.expect(421)
	if len(r.cleanup.messages()) > 0 {
		t.Error("half a message was taken")
	}
}

func TestAMessageHasADeadlineAsAWhole(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.MessageTimeout = settings.Duration(50 * time.Millisecond)
	})
	for _, begin := range []string{"DATA", "BDAT 1000000"} {
		c := r.hello()
		c.envelope()
		c.send(begin + "\r\n")
		if begin == "DATA" {
			c.expect(354)
		}
		go func() { // fast enough for every block
			for {
				if _, err := io.WriteString(c.conn, strings.Repeat("x", 100)); err != nil {
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		c.expect(421)
	}
}

func TestFullSpoolIs452AtMail(t *testing.T) {
	r := newRig(t, nil)
	r.server.capacity(&proto.Capacity{Accepting: true, Free: 1000})
	c := r.hello()
	c.cmd(452, "MAIL FROM:<a@client.example> SIZE=1001")
	c.cmd(250, "MAIL FROM:<a@client.example> SIZE=1000")
	c.cmd(250, "RSET")
	r.server.capacity(&proto.Capacity{Accepting: false})
	if text := c.cmd(452, "MAIL FROM:<a@client.example>"); !strings.HasPrefix(text, "4.3.1 ") {
		t.Errorf("got %q", text)
	}
	r.server.capacity(&proto.Capacity{Accepting: true, Free: 1 << 40})
	c.cmd(250, "MAIL FROM:<a@client.example>")
}

func TestClientOfAFullSpoolDoesNotTryForEver(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Commands = 10 })
	r.server.capacity(&proto.Capacity{Accepting: false})
	c := r.hello()
	for range 9 {
		c.cmd(452, "MAIL FROM:<a@client.example>")
	}
	c.cmd(421, "MAIL FROM:<a@client.example>")
}

func TestCleanupKnownToBeAwayIs451AtMail(t *testing.T) {
	r := newRig(t, nil)
	r.server.cleanupDown()
	c := r.hello()
	c.cmd(451, "MAIL FROM:<a@client.example>")
	r.server.cleanupUp()
	c.mail(250, "x\r\n")
}

func TestNoticeBeforeUpIsNotForgotten(t *testing.T) {
	r := newRig(t, nil)
	r.server.cleanupDown()
	r.server.capacity(&proto.Capacity{Accepting: false})
	r.server.cleanupUp()
	r.hello().cmd(452, "MAIL FROM:<>")
}

func TestCleanupLostIs451AtTheEnd(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	r.cleanup.err = errors.New("peer is gone")
	if text := c.mail(451, "x\r\n"); !strings.HasPrefix(text, "4.3.0 ") {
		t.Errorf("got %q", text)
	}
	r.cleanup.mu.Lock()
	r.cleanup.err = nil
	r.cleanup.mu.Unlock()
	c.cmd(503, "DATA") // nothing of the refused message is left
	c.mail(250, "y\r\n")
}

func TestCleanupsRefusalReachesTheClient(t *testing.T) {
	r := newRig(t, nil)
	var a proto.Acceptance
	r.cleanup.verdict = func(*taken) proto.Acceptance { return a }
	c := r.hello()
	for _, tt := range []struct {
		a    proto.Acceptance
		code int
		text string
	}{
		{proto.Acceptance{Code: 554, Status: smtp.Status{Class: 5, Subject: 4, Detail: 6}, Text: "Routing loop"}, 554, "5.4.6 Routing loop"},
		{proto.Acceptance{Code: 452, Status: smtp.Status{Class: 4, Subject: 3, Detail: 1}, Text: "Full"}, 452, "4.3.1 Full"},
		{proto.Acceptance{Code: 552, Status: smtp.Status{Class: 4, Subject: 3, Detail: 1}, Text: "Mixed up"}, 552, "5.0.0 Mixed up"},
		{proto.Acceptance{Code: 200, Text: "nonsense"}, 451, "4.3.0 " + errNoCleanup.Lines[0]},
		{proto.Acceptance{Code: 250}, 451, "4.3.0 " + errNoCleanup.Lines[0]}, // no id: not taken
		{proto.Acceptance{}, 451, "4.3.0 " + errNoCleanup.Lines[0]},
	} {
		a = tt.a
		if text := c.mail(tt.code, "x\r\n"); text != tt.text {
			t.Errorf("got %q, want %q", text, tt.text)
		}
	}
}

func TestMemoryBudgetIs452(t *testing.T) {
	r := newRig(t, nil)
	r.server.memory.most = 50_000
	c := r.hello()
	c.mail(452, strings.Repeat("x", 60_000)+"\r\n")
	c.mail(250, "small\r\n")
}
