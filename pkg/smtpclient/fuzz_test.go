package smtpclient

import (
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// oracleConn is a server that says the n-th part of its text once the client
// has written n times. It sees for itself whether the end of data was sent,
// and what was said after it.
type oracleConn struct {
	parts   []string
	writes  int
	pending string
	written bytes.Buffer
	ended   bool
	after   strings.Builder // said after the end of data
	closed  bool
}

func (c *oracleConn) Read(b []byte) (int, error) {
	for c.pending == "" {
		if len(c.parts) == 0 || c.writes == 0 && c.closed {
			return 0, io.EOF
		}
		c.pending, c.parts = c.parts[0], c.parts[1:]
	}
	n := copy(b, c.pending)
	if c.ended {
		c.after.WriteString(c.pending[:n])
	}
	c.pending = c.pending[n:]
	return n, nil
}

func (c *oracleConn) Write(b []byte) (int, error) {
	c.writes++
	c.written.Write(b)
	text := c.written.String()
	data := strings.Index(text, "DATA\r\n")
	c.ended = c.ended || data >= 0 && strings.HasSuffix(text[data:], "\r\n.\r\n") || strings.Contains(text, " LAST\r\n")
	return len(b), nil
}

func (c *oracleConn) Close() error                     { c.closed = true; return nil }
func (c *oracleConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *oracleConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *oracleConn) SetDeadline(time.Time) error      { return nil }
func (c *oracleConn) SetReadDeadline(time.Time) error  { return nil }
func (c *oracleConn) SetWriteDeadline(time.Time) error { return nil }

// yes tells whether the server said 2yz to the end of data, in a reply of
// which no line says otherwise.
func (c *oracleConn) yes() bool {
	for line := range strings.SplitAfterSeq(c.after.String(), "\n") {
		if len(line) < 5 || !strings.HasSuffix(line, "\r\n") || line[0] != '2' && line[0] != '3' {
			return false
		}
		if line[3] != '-' {
			return line[0] == '2'
		}
	}
	return false
}

func fuzzSeeds(f *testing.F) {
	yes := "250 ok\r\n"
	for _, parts := range [][]string{
		{"220 hi\r\n", "250-hi\r\n250 PIPELINING\r\n", yes + yes + "354 go\r\n", yes},
		{"220 hi\r\n", "250-hi\r\n250 PIPELINING\r\n", yes + yes + "250 no\r\n", yes},
		{"220 hi\r\n", "250-hi\r\n250-CHUNKING\r\n250 PIPELINING\r\n", yes + yes, yes},
		{"220 hi\r\n", "250 hi\r\n", yes, yes, "354 go\r\n", yes},
		{"220 hi\r\n", "250 hi\r\n", yes, "550 5.1.1 who\r\n", "554 no\r\n", yes},
		{"220 hi\r\n", "500 what\r\n", yes, yes, yes, "354 go\r\n", "250-a\r\n550 b\r\n"},
		{"220 hi\r\n", "250-hi\r\n250 STARTTLS\r\n", "220 go\r\n", "\x16\x03\x01\x00\x00"},
		{"220 hi\r\n", "250-hi\r\n250 PIPELINING\r\n", "421 bye\r\n"},
		{"220 hi\r\n", "250-hi\r\n250 PIPELINING\r\n", yes + "550 no\r\n354 go\r\n", yes},
	} {
		f.Add(strings.Join(parts, "\x00"), false)
		f.Add(strings.Join(parts, "\x00"), true)
	}
}

// FuzzDialogue: whatever a server says, nothing panics or hangs, everybody gets
// an outcome, and nobody is delivered without a 2yz to the end of data.
func FuzzDialogue(f *testing.F) {
	fuzzSeeds(f)
	c := newClient(f, transport("smtp", func(t *settings.Transport) { t.ConnectionMaxUses = 1 }))
	f.Fuzz(func(t *testing.T, text string, lmtp bool) {
		var conns []*oracleConn
		c.dial = func(context.Context, *target) (net.Conn, error) {
			conn := &oracleConn{parts: strings.Split(text, "\x00")}
			conns = append(conns, conn)
			return conn, nil
		}
		job := newJob(to(piped))
		if lmtp {
			job.Transport = "lmtp"
		}
		out := deliver(t, c, job)[0]
		c.pool.flush()
		if len(conns) > 4 {
			t.Errorf("%d connections", len(conns))
		}
		if out.Class != outcome.Delivered {
			if out.Class != outcome.Deferred && out.Class != outcome.Failed {
				t.Errorf("class %d", out.Class)
			}
			return
		}
		for _, conn := range conns {
			if conn.ended && conn.yes() {
				return
			}
		}
		t.Errorf("delivered without consent: sent %q", conns[len(conns)-1].written.String())
	})
}
