package smtpclient

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"

	"filbert/pkg/smtp"
)

// chat is the two directions of a connection as lines and replies. Each wait
// has its time-out, and none passes the end of the job.
type chat struct {
	conn   net.Conn
	end    time.Time // of the job's time; zero: none
	parser smtp.ReplyParser
	r, w   int           // unread octets of in
	in     [4 << 10]byte // more than a line; the parser knows the limit
	sent   int64
}

func (c *chat) deadline(timeout time.Duration) time.Time {
	t := time.Now().Add(timeout)
	if !c.end.IsZero() && c.end.Before(t) {
		return c.end
	}
	return t
}

// write sends b whole.
func (c *chat) write(b []byte, timeout time.Duration) error {
	if err := c.conn.SetWriteDeadline(c.deadline(timeout)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	n, err := c.conn.Write(b)
	c.sent += int64(n)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// reply reads one reply. The time-out is for all of it, so that a server
// cannot drag it out octet by octet.
func (c *chat) reply(timeout time.Duration) (smtp.ServerReply, error) {
	armed := false
	for {
		line, err := c.line()
		if err != nil {
			return smtp.ServerReply{}, err
		}
		if line == nil {
			if !armed {
				if err := c.conn.SetReadDeadline(c.deadline(timeout)); err != nil {
					return smtp.ServerReply{}, fmt.Errorf("read: %w", err)
				}
				armed = true
			}
			if err := c.fill(); err != nil {
				return smtp.ServerReply{}, err
			}
			continue
		}
		done, err := c.parser.Feed(line)
		if err != nil {
			return smtp.ServerReply{}, err
		}
		if done {
			return c.parser.Result(), nil
		}
	}
}

// line takes the next whole line, without its CRLF, off the buffer; nil when
// there is none yet. Only CRLF ends a line (RFC 5321, section 2.3.8): a reply
// with another line end in it could be read as two by one and as one by
// another.
func (c *chat) line() ([]byte, error) {
	unread := c.in[c.r:c.w]
	n := bytes.IndexByte(unread, '\n')
	if n < 0 {
		if len(unread) == len(c.in) {
			return nil, fmt.Errorf("%w: line too long", smtp.ErrProtocol)
		}
		return nil, nil
	}
	if n == 0 || bytes.IndexByte(unread[:n], '\r') != n-1 {
		return nil, fmt.Errorf("%w: bare CR or LF", smtp.ErrProtocol)
	}
	c.r += n + 1
	return unread[:n-1], nil
}

func (c *chat) fill() error {
	c.w = copy(c.in[:], c.in[c.r:c.w])
	c.r = 0
	n, err := c.conn.Read(c.in[c.w:])
	c.w += n
	switch {
	case n > 0:
		return nil
	case err == nil:
		err = io.ErrNoProgress
	}
	return fmt.Errorf("read: %w", err)
}

// clean reports an error when the server has said more than it was asked for.
func (c *chat) clean() error {
	if c.r != c.w {
		return errEarly
	}
	return nil
}
