package smtpd

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

func (c *client) chunk(code int, last string, content string) string {
	c.t.Helper()
	c.send(fmt.Sprintf("BDAT %d%s\r\n%s", len(content), last, content))
	return c.expect(code)
}

func TestChunksMakeOneMessage(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.chunk(250, "", "Subject: x\r\n\r")
	c.chunk(250, "", "\n.\r\n")
	c.chunk(250, "", "")
	c.chunk(250, " LAST", "..\r\n")
	if got, want := r.cleanup.only(t).content, "Subject: x\r\n\r\n.\r\n..\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.cmd(503, "DATA")
	c.mail(250, "next\r\n")
}

func TestBdatZeroLastEndsTheMessage(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.chunk(250, "", "x\r\n")
	c.cmd(250, "BDAT 0 LAST")
	if got := r.cleanup.only(t).content; got != "x\r\n" {
		t.Errorf("got %q", got)
	}
	c.envelope()
	c.cmd(250, "BDAT 0 last")
	if got := r.cleanup.messages()[1].content; got != "" {
		t.Errorf("got %q", got)
	}
}

func TestLastLineOfBdatGetsItsCRLF(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.chunk(250, " LAST", "a\r\nb")
	if got := r.cleanup.only(t).content; got != "a\r\nb\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestBadBdatSizesCloseTheConnection(t *testing.T) {
	r := newRig(t, nil)
	for _, arg := range []string{
		"", "x", "-1", "+1", "0x10", "1e3", "1_0", "10 FIRST", "10 LAST LAST", "18446744073709551616", "9223372036854775808",
		"99999999999999999999999999", "1,0", "\xd9\xa1",
	} {
		c := r.hello()
		c.envelope()
		// Where the chunk ends nobody knows: QUIT could be content.
		c.send("BDAT " + arg + "\r\nQUIT\r\n")
		c.expect(501)
		c.closed()
	}
	if n := len(r.cleanup.messages()); n != 0 {
		t.Errorf("%d messages taken", n)
	}
}

func TestHugeChunkIs552AndCloses(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.send("BDAT 9223372036854775807 LAST\r\nQUIT\r\n")
	c.expect(552)
	c.closed()
}

func TestSizesDoNotOverflow(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1 << 20 })
	c := r.hello()
	c.envelope()
	c.chunk(250, "", "x\r\n")
	c.send("BDAT 9223372036854775807\r\nNOOP\r\n")
	c.expect(552)
	c.closed()
}

func TestRefusedChunkIsReadAndThrownAway(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.envelope()
	trap := strings.Repeat("RSET\r\n", 500)
	c.chunk(552, " LAST", trap)
	c.mail(250, "x\r\n") // a failed last chunk has ended the message
	c.envelope()
	c.chunk(552, "", trap)
	c.chunk(503, "", trap)
	c.chunk(503, " LAST", trap)
	c.cmd(250, "RSET")
	c.mail(250, "y\r\n")
}

func TestThrownAwayChunksHaveABound(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize, s.Limits.Errors = 1000, 1000 })
	c := r.hello()
	c.envelope()
	junk := strings.Repeat("x", 300_000)
	c.chunk(552, "", junk)
	c.chunk(503, "", junk)
	c.chunk(503, "", junk)
	c.send("BDAT 300000\r\n")
	c.expect(503)
	c.closed()
}

// Postfix once kept the recipients of a transaction that BDAT had ended.
func TestAfterAFailedBdatOnlyFewCommandsAreGood(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1000 })
	c := r.hello()
	c.envelope()
	c.chunk(552, "", strings.Repeat("x", 2000))
	for _, line := range []string{"MAIL FROM:<a@b.example>", "RCPT TO:<user@example.edu>", "DATA", "VRFY x", "HELP", "BDAT 0", "BDAT 0 LAST"} {
		c.cmd(503, line)
	}
	c.cmd(250, "NOOP")
	c.cmd(503, "MAIL FROM:<a@b.example>")
	c.cmd(250, "RSET")
	c.cmd(503, "DATA")
	c.cmd(503, "RCPT TO:<user@example.edu>")
	c.mail(250, "x\r\n")
	c.envelope()
	c.chunk(552, "", strings.Repeat("x", 2000))
	c.cmd(250, "EHLO client.example")
	c.mail(250, "x\r\n")
	c.envelope()
	c.chunk(552, "", strings.Repeat("x", 2000))
	c.cmd(221, "QUIT")
}

func TestDataAndBdatDoNotMix(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.chunk(250, "", "x\r\n")
	c.cmd(503, "DATA")
	c.cmd(503, "MAIL FROM:<a@b.example>")
	c.cmd(503, "RCPT TO:<user@example.edu>")
	c.chunk(250, " LAST", "y\r\n")
	if got := r.cleanup.only(t).content; got != "x\r\ny\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestBdatOutOfSequence(t *testing.T) {
	r := newRig(t, nil)
	c := r.connect()
	c.chunk(503, "", "RSET\r\n")
	c.cmd(250, "EHLO client.example")
	c.chunk(503, "", "QUIT\r\n")
	c.cmd(503, "MAIL FROM:<a@b.example>") // until RSET
	c.cmd(250, "RSET")
	c.cmd(250, "MAIL FROM:<a@b.example>")
	c.cmd(550, "RCPT TO:<user@elsewhere.example>")
	c.chunk(554, " LAST", "QUIT\r\n")
	c.cmd(250, "MAIL FROM:<a@b.example>")
	c.cmd(250, "HELO client.example")
	c.envelope()
	c.chunk(503, " LAST", "QUIT\r\n") // CHUNKING was not offered
	c.cmd(250, "NOOP")
}

func TestBareLineEndAcrossChunksIsRefused(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	for _, chunks := range [][]string{{"a\r", "b\r\n"}, {"a", "\nb\r\n"}, {"a\r\n", "\n"}, {"a\r", "\r\n"}, {"a\r"}} {
		c.envelope()
		for i, content := range chunks {
			if i == len(chunks)-1 {
				c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content))
				if text := c.expect(550); !strings.HasPrefix(text, "5.6.0 ") {
					t.Errorf("%q: %q", chunks, text)
				}
				break
			}
			c.chunk(250, "", content)
		}
	}
	c.mail(250, "fine\r\n")
	r.cleanup.only(t)
}

func TestBareLineEndInAChunkFailsThatChunk(t *testing.T) {
	c := newRig(t, nil).hello()
	c.envelope()
	c.chunk(550, "", "a\nb\r\n")
	c.cmd(503, "MAIL FROM:<>")
	c.cmd(250, "RSET")
}

// In 2026 a server was found to grow with each tiny chunk.
func TestTinyChunksKeepMemoryFlat(t *testing.T) {
	r := newRig(t, nil)
	const n = 200_000
	c := r.hello()
	c.envelope()
	go func() {
		batch := strings.Repeat("BDAT 1\r\nx", 1000)
		for range n / 1000 {
			if _, err := io.WriteString(c.conn, batch); err != nil {
				return
			}
		}
	}()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var before uint64
	for i := range n {
		c.expect(250)
		if i == n/2 {
			before = heap()
		}
	}
	if after := heap(); after > before+512<<10 {
		t.Errorf("heap grew from %d to %d octets in %d chunks", before, after, n/2)
	}
	c.cmd(250, "BDAT 0 LAST")
	if got := len(r.cleanup.only(t).content); got != n+2 {
		t.Errorf("%d octets", got)
	}
}

func TestEmptyChunksAreFruitless(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.Commands = 10 })
	c := r.hello()
	c.envelope()
	for range 9 {
		c.cmd(250, "BDAT 0")
	}
	c.cmd(421, "BDAT 0")
	c.closed()
}

func TestPipelinedChunks(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.send("MAIL FROM:<>\r\nRCPT TO:<user@example.edu>\r\nBDAT 3\r\na\r\nBDAT 5 LAST\r\nQUIT\nNOOP\r\n")
	c.expect(250)
	c.expect(250)
	c.expect(250)
	c.expect(550) // QUIT LF is content, with a bare LF
	c.expect(250)
}
