package smtpclient

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"filbert/pkg/outcome"
	"filbert/pkg/smtpclient/smtptest"
)

// countingConn counts what becomes system calls.
type countingConn struct {
	*net.TCPConn
	writes, reads *atomic.Int64
}

func (c countingConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.TCPConn.Write(b)
}

func (c countingConn) Read(b []byte) (int, error) {
	c.reads.Add(1)
	return c.TCPConn.Read(b)
}

func TestMessageOnKeptConnectionIsTwoWrites(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	var writes, reads atomic.Int64
	c.dial = func(ctx context.Context, tg *target) (net.Conn, error) {
		conn, err := dial(ctx, tg)
		if err != nil {
			return nil, err
		}
		return countingConn{conn.(*net.TCPConn), &writes, &reads}, nil
	}
	job := newJob(to(sink.Addr()), "a@to.test", "b@to.test", "c@to.test")
	setContent(job, "Subject: x\r\n\r\n"+strings.Repeat("line\r\n", 20_000))
	deliver(t, c, job)
	writes.Store(0)
	deliver(t, c, job)
	if n := writes.Load(); n != 2 {
		t.Errorf("%d writes", n)
	}
}

func BenchmarkDeliverKept(b *testing.B) {
	sink := smtptest.Drink(b, smtptest.Options{Discard: true})
	c := newClient(b)
	content := "Subject: x\r\n\r\n" + strings.Repeat("a line of text as there are many of them in the world\r\n", 90)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		job := newJob(to(sink.Addr()))
		setContent(job, content)
		for pb.Next() {
			if out := c.Deliver(context.Background(), job, nil).Outcomes; out[0].Class != outcome.Delivered {
				b.Error(say(out[0]))
			}
		}
	})
}
