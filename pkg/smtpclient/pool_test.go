package smtpclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

// In these tests time is virtual, and connections are pipes.

var piped = netip.MustParseAddrPort("192.0.2.1:25")

// pipedClient reaches a script through pipes.
func pipedClient(t *testing.T, change func(*settings.Transport), dialogues ...string) (*Client, *smtptest.Script) {
	c := newClient(t, transport("smtp", func(tr *settings.Transport) {
		tr.TimeoutScale = 100
		if change != nil {
			change(tr)
		}
	}))
	script := smtptest.NewScript(t, dialogues...)
	c.dial = func(context.Context, *target) (net.Conn, error) {
		a, b := net.Pipe()
		script.Serve(b)
		return a, nil
	}
	return c, script
}

func (c *Client) keptNow() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.pool.kept
}

func (c *Client) sitesNow() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return len(c.pool.sites)
}

func TestIdleConnectionEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, script := pipedClient(t, func(tr *settings.Transport) { tr.ConnectionIdle = settings.Duration(7 * time.Second) },
			hello("PIPELINING")+first)
		want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		time.Sleep(7*time.Second - time.Millisecond)
		synctest.Wait()
		if c.keptNow() != 1 {
			t.Fatal("ended too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if c.keptNow() != 0 || c.sitesNow() != 0 {
			t.Errorf("kept %d, sites %d", c.keptNow(), c.sitesNow())
		}
		script.Wait() // it wants a QUIT
	})
}

func TestUseBeginsTheIdleTimeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, script := pipedClient(t, nil, hello("PIPELINING")+first+first+first)
		for range 3 {
			want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
			time.Sleep(4 * time.Second)
		}
		c.Close()
		script.Wait()
	})
}

func TestConnectionEndsAtItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, script := pipedClient(t, func(tr *settings.Transport) {
			tr.ConnectionMaxAge = settings.Duration(10 * time.Second)
			tr.ConnectionIdle = settings.Duration(time.Hour)
		}, hello("PIPELINING")+first+first, hello("PIPELINING")+first)
		want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		time.Sleep(9 * time.Second)
		want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c.keptNow() != 0 {
			t.Error("kept past its age")
		}
		want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		c.Close()
		script.Wait()
	})
}

func TestConnectionEndsAfterItsUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, script := pipedClient(t, func(tr *settings.Transport) { tr.ConnectionMaxUses = 2 },
			hello("PIPELINING")+first+first, hello("PIPELINING")+first)
		for range 3 {
			want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		}
		c.Close()
		script.Wait()
	})
}

func TestStandardTimeouts(t *testing.T) {
	// RFC 5321, section 4.5.3.2: not one second earlier.
	for _, tt := range []struct {
		name, script string
		wait         time.Duration
	}{
		{"4.5.3.2.1 greeting", "DRAIN", 5 * time.Minute},
		{"EHLO", "S: 220 hi\nDRAIN", 5 * time.Minute},
		{"4.5.3.2.2 MAIL", hello() + "C: MAIL*\nDRAIN", 5 * time.Minute},
		{"4.5.3.2.3 RCPT", hello() + "C: MAIL*\nS: 250 ok\nC: RCPT*\nDRAIN", 5 * time.Minute},
		{"4.5.3.2.4 DATA", hello() + "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nDRAIN", 2 * time.Minute},
		{"4.5.3.2.6 end of data", hello() + "C: MAIL*\nS: 250 ok\nC: RCPT*\nS: 250 ok\nC: DATA\nS: 354 go\nDATA\nDRAIN", 10 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, script := pipedClient(t, nil, tt.script)
				script.Patience = time.Hour
				began := time.Now()
				want(t, deliver(t, c, newJob(to(piped))), "deferred timeout 4.4.2")
				if took := time.Since(began); took != tt.wait {
					t.Errorf("waited %v", took)
				}
				script.Wait()
			})
		})
	}
}

func TestDrippingServerIsBoundedByTheJob(t *testing.T) {
	// Each reply comes just in time, and there is no end of recipients.
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.TimeoutScale = 100 }))
		c.dial = func(context.Context, *target) (net.Conn, error) {
			a, b := net.Pipe()
			go func() {
				defer b.Close()
				buf := make([]byte, 4096)
				for {
					time.Sleep(4 * time.Minute)
					if _, err := b.Write([]byte("250 x\r\n")); err != nil {
						return
					}
					if _, err := b.Read(buf); err != nil {
						return
					}
				}
			}()
			return a, nil
		}
		job := newJob(to(piped))
		for range 99 {
			job.Recipients = append(job.Recipients, job.Recipients[0])
		}
		began := time.Now()
		outs := deliver(t, c, job)
		if took := time.Since(began); took > jobTime {
			t.Errorf("took %v", took)
		}
		if say(outs[0]) != "deferred timeout 4.4.2" {
			t.Error(say(outs[0]))
		}
	})
}

func TestWaitingForAPlaceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool()
		k := key{addr: piped}
		if s, err := p.take(t.Context(), k, 1, anySession, time.Now().Add(time.Hour)); s != nil || err != nil {
			t.Fatal(s, err)
		}
		began := time.Now()
		if _, err := p.take(t.Context(), k, 1, anySession, began.Add(time.Minute)); !errors.Is(err, errNoPlace) {
			t.Error(err)
		}
		if time.Since(began) != time.Minute {
			t.Error("not at its time")
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := p.take(ctx, k, 1, anySession, began.Add(time.Hour)); !errors.Is(err, errNoPlace) {
			t.Error(err)
		}
		p.drop(k)
		if len(p.sites) != 0 {
			t.Error("a site without anything is remembered")
		}
	})
}

func TestPlacePassesToWhoWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool()
		k := key{addr: piped}
		take := func() { _, _ = p.take(t.Context(), k, 1, anySession, time.Now().Add(time.Hour)) }
		take()
		var order []int
		done := make(chan int)
		for i := range 3 {
			go func() { take(); done <- i }()
			synctest.Wait()
		}
		for range 3 {
			p.drop(k)
			order = append(order, <-done)
		}
		if order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("%v", order)
		}
	})
}

func TestFreshSessionIsNotAKeptOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, script := pipedClient(t, func(tr *settings.Transport) { tr.ConnectionsPerHost = 1 }, hello("PIPELINING")+first)
		want(t, deliver(t, c, newJob(to(piped))), "delivered 250 2.0.0")
		r := (*c.routes.Load())["smtp"]
		tg := target{route: r, addr: piped}
		s, err := c.pool.take(t.Context(), tg.key(), 1, newSession, time.Now().Add(time.Hour))
		if s != nil || err != nil {
			t.Error(s, err)
		}
		script.Wait() // the idle one had to make room
	})
}
