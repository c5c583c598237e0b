package smtpd

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// text is n octets of lines that differ.
func text(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n-100; i++ {
		fmt.Fprintf(&b, "line %d of many\r\n", i)
	}
	b.WriteString(strings.Repeat("x", n-b.Len()-2) + "\r\n")
	return b.String()
}

func TestContentPassesAtEverySizeAroundTheBounds(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	for _, size := range []int{
		102, inputSize - 1, inputSize, inputSize + 1, proto.ChunkMax, proto.ChunkMax + 1,
		proto.InlineMax - 1, proto.InlineMax, proto.InlineMax + 1, proto.InlineMax + proto.ChunkMax, 1_000_000,
	} {
		want := text(size)
		c.mail(250, want)
		c.envelope()
		half := size / 2
		c.chunk(250, "", want[:half])
		c.chunk(250, " LAST", want[half:])
		all := r.cleanup.messages()
		for _, m := range all[len(all)-2:] {
			if m.content != want {
				t.Errorf("%d octets: got %d", size, len(m.content))
			}
			if m.piped != (size > proto.InlineMax) {
				t.Errorf("%d octets: by pipe: %v", size, m.piped)
			}
		}
	}
}

func TestLargeMessageArrivesByteForByte(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	want := text(30 << 20)
	c.mail(250, want)
	if sha256.Sum256([]byte(r.cleanup.only(t).content)) != sha256.Sum256([]byte(want)) {
		t.Error("not the same")
	}
	if used := r.server.memory.used.Load(); used != 0 {
		t.Errorf("%d octets still taken", used)
	}
}

func TestLargeMessageCutShortIsAbandoned(t *testing.T) {
	r := newRig(t, nil)
	for i, how := range []string{"close", "reset", "RSET", "EHLO c.example"} {
		c := r.hello()
		begun := func() bool {
			r.cleanup.mu.Lock()
			defer r.cleanup.mu.Unlock()
			return r.cleanup.calls == i+1
		}
		c.envelope()
		if how == "close" || how == "reset" {
			c.cmd(354, "DATA")
			c.send(text(1 << 20))
			r.waitUntil("cleanup has its beginning", begun)
			if how == "reset" {
				_ = c.conn.SetLinger(0)
			}
			c.conn.Close()
			continue
		}
		c.chunk(250, "", text(1<<20))
		c.cmd(250, how)
	}
	r.waitUntil("all four are abandoned", func() bool {
		r.cleanup.mu.Lock()
		defer r.cleanup.mu.Unlock()
		return r.cleanup.abandoned == 4
	})
	if len(r.cleanup.messages()) != 0 {
		t.Error("one was taken")
	}
}

func TestLargeMessageOverTheLimitIsAbandonedAnd552(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Limits.MessageSize = 1 << 20 })
	c := r.hello()
	c.mail(552, text(1<<20+100))
	r.waitUntil("abandoned", func() bool {
		r.cleanup.mu.Lock()
		defer r.cleanup.mu.Unlock()
		return r.cleanup.abandoned == 1
	})
	c.mail(250, "small\r\n")
}

func TestLargeMessageWithABareLineEndIsAbandonedAnd550(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.mail(550, text(1<<20)+"a\nb\r\n")
	c.mail(550, text(1<<10)+"a\nb\r\n"+text(1<<20))
	c.mail(250, "small\r\n")
	r.cleanup.only(t)
}

func TestCleanupMayRefuseALargeMessageEarly(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	r.cleanup.early = func(*proto.Submission) *proto.Acceptance {
		return &proto.Acceptance{Code: 550, Status: smtp.Status{Class: 5, Subject: 7, Detail: 1}, Text: "No"}
	}
	if text := c.mail(550, text(5<<20)); text != "5.7.1 No" {
		t.Errorf("got %q", text)
	}
	c.cmd(503, "DATA")
	r.cleanup.early = func(*proto.Submission) *proto.Acceptance {
		return &proto.Acceptance{Code: 250, ID: 1}
	}
	c.mail(451, text(5<<20)) // accepted before it has ended: nonsense
}

func TestCleanupDyingInALargeMessageIs451(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	r.cleanup.err = io.ErrUnexpectedEOF
	c.mail(451, text(5<<20))
	r.cleanup.mu.Lock()
	r.cleanup.err = nil
	r.cleanup.mu.Unlock()
	c.mail(250, text(5<<20))
}

// A cleanup that reads nothing more must not hold up the end of the process.
func TestStuckPipeEndsWithTheProcess(t *testing.T) {
	r := newRig(t, nil)
	stuck := make(chan struct{})
	r.cleanup.early = func(*proto.Submission) *proto.Acceptance { <-stuck; return nil }
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	go func() { _, _ = io.WriteString(c.conn, text(5<<20)) }()
	r.waitUntil("the message has got to cleanup", func() bool {
		r.cleanup.mu.Lock()
		defer r.cleanup.mu.Unlock()
		return r.cleanup.calls == 1
	})
	go func() {
		r.stop()
		close(stuck) // the call ends with its context
	}()
	r.drain()
}
