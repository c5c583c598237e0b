package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// client speaks lock-step SMTP.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

// dial connects, waits for the greeting and says EHLO; local may name the
// address to come from.
func dial(addr, local string, timeout time.Duration) (*client, error) {
	d := net.Dialer{Timeout: timeout}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(timeout))
	c := &client{conn, bufio.NewReaderSize(conn, 2048)}
	err = c.want(2)
	if err == nil {
		err = c.command(2, "EHLO client.test\r\n")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) reply() (code int, text string, err error) {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, "", err
		}
		if len(line) < 4 {
			return 0, "", fmt.Errorf("short reply %q", line)
		}
		if line[3] == '-' {
			continue
		}
		code, err = strconv.Atoi(string(line[:3]))
		return code, string(bytes.TrimSpace(line)), err
	}
}

// want reads a reply whose first digit must be class.
func (c *client) want(class int) error {
	code, text, err := c.reply()
	if err != nil {
		return err
	}
	if code/100 != class {
		return fmt.Errorf("unexpected reply: %s", text)
	}
	return nil
}

func (c *client) command(class int, line string) error {
	if _, err := io.WriteString(c.conn, line); err != nil {
		return err
	}
	return c.want(class)
}

// message sends one message, built in buf.
func (c *client) message(l *load, seq int, buf *bytes.Buffer) error {
	rcpts := l.rcpt(seq)
	if err := c.envelope(l.from, rcpts); err != nil {
		return err
	}
	if err := c.command(3, "DATA\r\n"); err != nil {
		return err
	}
	writeMessage(buf, l.run, seq, l.from, rcpts[0], l.size)
	buf.WriteString(".\r\n")
	if _, err := c.conn.Write(buf.Bytes()); err != nil {
		return err
	}
	return c.want(2)
}

func (c *client) envelope(from string, rcpts []string) error {
	if err := c.command(2, "MAIL FROM:<"+from+">\r\n"); err != nil {
		return err
	}
	for _, to := range rcpts {
		if err := c.command(2, "RCPT TO:<"+to+">\r\n"); err != nil {
			return err
		}
	}
	return nil
}

// quit sends QUIT and leaves the reply to be read behind the caller's back, as
// Postfix's own client does: some servers hold it back for a fifth of a second.
func (c *client) quit() {
	io.WriteString(c.conn, "QUIT\r\n")
	if t, ok := c.conn.(*net.TCPConn); ok {
		t.CloseWrite()
	}
	go func() {
		c.conn.SetDeadline(time.Now().Add(5 * time.Second))
		io.Copy(io.Discard, c.r)
		c.conn.Close()
	}()
}

// fillLine is one line of a message's text.
const fillLine = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"

// writeMessage makes a message of about size bytes. Its X-MB field carries the
// run, the number of the message, and when it was made.
func writeMessage(buf *bytes.Buffer, run string, seq int, from, to string, size int) {
	buf.Reset()
	now := time.Now()
	fmt.Fprintf(buf, "From: <%s>\r\nTo: <%s>\r\nSubject: bench message\r\nDate: %s\r\nMessage-ID: <%s.%d@mb.test>\r\nX-MB: %s %d %d\r\n\r\n",
		from, to, now.Format(time.RFC1123Z), run, seq, run, seq, now.UnixNano())
	for size-buf.Len() >= len(fillLine) {
		buf.WriteString(fillLine)
	}
}

const mark = "X-MB: "

// parseMark reads what follows the mark: run, number, nanoseconds.
func parseMark(b []byte) (run string, seq int, nano int64) {
	f := strings.Fields(string(b))
	if len(f) < 3 {
		return "", -1, 0
	}
	seq, err := strconv.Atoi(f[1])
	if err != nil {
		seq = -1
	}
	nano, err = strconv.ParseInt(f[2], 10, 64)
	if err != nil {
		nano = 0
	}
	return f[0], seq, nano
}
