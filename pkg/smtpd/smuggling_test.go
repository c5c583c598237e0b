package smtpd

import (
	"fmt"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

// lookAlikes are sequences that some server somewhere takes for the end of the
// content. Only CRLF . CRLF is.
var lookAlikes = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\r.\n", "\n.\r", "\n\n.\n\n", "\n.\r\r\n",
	"\r\r\n.\r\r\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n", "\x00\r\n.\n", "\r\n.\r\r\n", "\n\r\n.\n", "\r\n\r.\r\n", "\r\n.\r\x00\n",
}

const smuggled = "MAIL FROM:<evil@client.example>\r\nRCPT TO:<user@example.edu>\r\nDATA\r\nevil\r\n"

// assertOneOrNone sends a message with a look-alike and commands behind it in
// its content, in pieces, and wants one answer: the content is one message, or
// none, and its commands are text.
func assertOneOrNone(t *testing.T, r *rig, like string, pieces []string) {
	t.Helper()
	before := len(r.cleanup.messages())
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	for _, p := range pieces {
		c.send(p)
	}
	code, text, err := c.reply()
	if err != nil || code != 250 && code != 550 {
		t.Fatalf("%q: got %d %s %v", like, code, text, err)
	}
	c.cmd(250, "NOOP") // the next reply is this one's: nothing else was executed
	c.cmd(221, "QUIT")
	c.conn.Close()
	after := r.cleanup.messages()[before:]
	if len(after) > 1 || code == 250 && len(after) != 1 || code == 550 && len(after) != 0 {
		t.Fatalf("%q: reply %d, %d messages", like, code, len(after))
	}
	for _, m := range after {
		if !strings.Contains(m.content, "evil\r\n") || !strings.HasSuffix(m.content, "tail\r\n") {
			t.Errorf("%q: content %q", like, m.content)
		}
		if bare(m.content) {
			t.Errorf("%q: bare line end in %q", like, m.content)
		}
	}
}

// bare tells whether a CR or LF stands alone.
func bare(s string) bool { return strings.ContainsAny(strings.ReplaceAll(s, "\r\n", ""), "\r\n") }

func TestLookAlikesOfTheEndSmuggleNothing(t *testing.T) {
	for _, mode := range []string{"refuse", "normalize"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.BareNewline = mode })
			for _, like := range lookAlikes {
				stream := "text" + like + smuggled + "tail\r\n.\r\n"
				assertOneOrNone(t, r, like, []string{stream})
				// Every split inside and around the look-alike.
				for cut := 3; cut <= 5+len(like); cut++ {
					assertOneOrNone(t, r, like, []string{stream[:cut], stream[cut:]})
				}
			}
		})
	}
}

// The same at the edges of the input buffer, where a scanner with a state of
// its own could lose it.
func TestLookAlikesAtBufferEdges(t *testing.T) {
	for _, mode := range []string{"refuse", "normalize"} {
		r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.BareNewline = mode })
		for _, like := range lookAlikes[:8] {
			for off := -4; off <= 2; off++ {
				pad := strings.Repeat("x", inputSize+off)
				assertOneOrNone(t, r, like, []string{pad + like + smuggled + "tail\r\n.\r\n"})
			}
		}
	}
}

func TestBareLineEndsAreRefusedAfterReadingAll(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	for _, content := range []string{"a\nb\r\n", "a\rb\r\n", "\n\r\n", "a\r\r\n", "a\r\n\n\r\n"} {
		if text := c.mail(550, content); !strings.HasPrefix(text, "5.6.0 ") {
			t.Errorf("%q: %q", content, text)
		}
	}
	c.mail(250, "fine\r\n")
	r.cleanup.only(t)
}

func TestBareLineEndsAreNormalizedWhereTheListenerSaysSo(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.BareNewline = "normalize" })
	c := r.hello()
	c.mail(250, "a\nb\rc\r\n\nd\r\n")
	if got := r.cleanup.only(t).content; got != "a\r\nb\r\nc\r\n\r\nd\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestNormalizedLineEndsNeverEndTheMessage(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.BareNewline = "normalize" })
	c := r.hello()
	c.mail(250, "a\n.\nb\r\n")
	if got := r.cleanup.only(t).content; got != "a\r\n.\r\nb\r\n" {
		t.Errorf("got %q", got)
	}
	c.envelope()
	c.chunk(250, " LAST", "a\n.\r\nb\rc")
	if got := r.cleanup.messages()[1].content; got != "a\r\n.\r\nb\r\nc\r\n" {
		t.Errorf("got %q", got)
	}
}

// Whatever is split however, by DATA or by BDAT, the octets are the client's.
func TestContentIsExactlyTheClients(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	content := "Subject: x\r\n\r\n"
	for i := range 256 {
		if i != '\r' && i != '\n' {
			content += fmt.Sprintf("%c%s\r\n", 'a'+i%26, string([]byte{byte(i)}))
		}
	}
	c.mail(250, content)
	c.envelope()
	c.chunk(250, " LAST", content)
	for _, m := range r.cleanup.messages() {
		if m.content != content {
			t.Errorf("got %q", m.content)
		}
	}
}
