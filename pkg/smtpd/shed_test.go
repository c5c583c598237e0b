package smtpd

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"filbert/pkg/settings"
)

// full makes a listener for n sessions.
func full(n int) func(*settings.Settings, *settings.Listen) {
	return func(_ *settings.Settings, l *settings.Listen) { l.MaxConnections, l.MaxPerClient = n, 1000 }
}

// waits waits until n sessions await something from their clients.
func (r *rig) waits(n int, what waiting) {
	r.t.Helper()
	r.waitUntil(fmt.Sprintf("%d sessions wait", n), func() bool {
		got := 0
		r.door.ledger.each(func(d *dialogue) {
			if _, w := d.leash.owed(r.server.now()); w == what {
				got++
			}
		})
		return got == n
	})
}

func TestSlowestSenderIsShedFirst(t *testing.T) {
	r := newRig(t, full(2))
	slow := r.hello()
	slow.envelope()
	slow.cmd(354, "DATA")
	slow.send("x")
	r.waits(1, waitBusy)
	r.later(time.Minute)
	fresh := r.connect()
	r.waits(1, waitFresh)
	good := r.connect()
	if text := slow.expect(421); !strings.HasPrefix(text, "4.7.0 ") {
		t.Errorf("got %q", text)
	}
	slow.closed()
	good.cmd(250, "EHLO good.example")
	good.mail(250, "x\r\n")
	fresh.cmd(250, "NOOP")
	if n := len(r.cleanup.messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// The condition that other servers fail: dripping clients hold every place,
// an honest one comes.
func TestDrippingClientsDoNotStarveAnHonestOne(t *testing.T) {
	const n = 300
	r := newRig(t, full(n))
	drips := make([]*client, n)
	for i := range drips {
		drips[i] = r.hello()
		if i%3 == 1 {
			drips[i].send("MAIL FR")
		}
		if i%3 == 2 {
			drips[i].envelope()
			drips[i].cmd(354, "DATA")
		}
	}
	r.waitUntil("all wait", func() bool {
		got := 0
		r.door.ledger.each(func(d *dialogue) {
			if _, w := d.leash.owed(r.server.now()); w != notWaiting {
				got++
			}
		})
		return got == n
	})
	for range 10 {
		r.later(10 * time.Second)
		for _, c := range drips {
			_, _ = io.WriteString(c.conn, "x") // some have been shed
		}
		good := r.hello()
		good.mail(250, "honest\r\n")
		good.cmd(221, "QUIT")
	}
	if got := len(r.cleanup.messages()); got != 10 {
		t.Errorf("%d messages", got)
	}
}

func TestClientsThatWaitForUsAreNeverShed(t *testing.T) {
	r := newRig(t, full(1))
	r.cleanup.hold = make(chan struct{})
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	r.waitUntil("cleanup has it", func() bool {
		r.cleanup.mu.Lock()
		defer r.cleanup.mu.Unlock()
		return r.cleanup.calls == 1
	})
	r.later(time.Hour)
	r.dial().expect(421)
	close(r.cleanup.hold)
	c.expect(250)
}

func TestDebtIsPaidWithOctetsAndNeverNegative(t *testing.T) {
	_, theirs := tcpPair(t)
	l := leash{conn: theirs}
	at := time.Unix(1000, 0)
	wait := func(d time.Duration, octets int) time.Duration {
		l.wait(at, at.Add(time.Hour), waitBusy)
		at = at.Add(d)
		l.woke(at, octets, 10*time.Millisecond) // 100 octets a second
		return l.debt
	}
	if got := wait(time.Second, 100_000); got != 0 {
		t.Errorf("after a fast second the debt is %v", got)
	}
	if got := wait(10*time.Second, 1); got != 10*time.Second-10*time.Millisecond {
		t.Errorf("after a slow octet it is %v", got)
	}
	if got := wait(time.Second, 100); got != 10*time.Second-10*time.Millisecond {
		t.Errorf("at just the rate it is %v", got)
	}
	if got, what := l.owed(at.Add(time.Hour)); got != 0 || what != notWaiting {
		t.Errorf("while it waits for us a client owes %v", got)
	}
	l.forgive()
	if got := wait(time.Second, 0); got != time.Second {
		t.Errorf("after a message it is %v", got)
	}
}

// debtor is a dialogue that waits since a moment.
func debtor(t *testing.T, addr string, what waiting, since time.Time) *dialogue {
	t.Helper()
	_, theirs := tcpPair(t)
	d := &dialogue{session: &session{peer: netip.MustParseAddr(addr)}, leash: leash{conn: theirs}}
	if what != notWaiting {
		d.leash.wait(since, since.Add(time.Hour), what)
	}
	return d
}

func TestWhoIsShed(t *testing.T) {
	now := time.Unix(10_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, tt := range []struct {
		name string
		open []*dialogue
		want int // index, -1: the newcomer is turned away
	}{
		{"the one with the greatest debt", []*dialogue{
			debtor(t, "192.0.2.1", waitBusy, ago(10*time.Second)),
			debtor(t, "192.0.2.2", waitBusy, ago(30*time.Second)),
			debtor(t, "192.0.2.3", waitFresh, ago(20*time.Second)),
		}, 1},
		{"a sender before one that is idle between messages", []*dialogue{
			debtor(t, "192.0.2.1", waitIdle, ago(time.Hour)),
			debtor(t, "192.0.2.2", waitBusy, ago(10*time.Second)),
		}, 1},
		{"an idle one when there is no slow sender", []*dialogue{
			debtor(t, "192.0.2.1", waitIdle, ago(time.Minute)),
			debtor(t, "192.0.2.2", waitBusy, ago(time.Second)),
		}, 0},
		{"nobody who has just begun or waits for us", []*dialogue{
			debtor(t, "192.0.2.1", waitIdle, ago(4*time.Second)),
			debtor(t, "192.0.2.2", waitBusy, ago(time.Second)),
			debtor(t, "192.0.2.3", notWaiting, now),
		}, -1},
	} {
		l := newLedger(len(tt.open), 10)
		for _, d := range tt.open {
			if v := l.admit(d, now); v != admitted {
				t.Fatalf("%s: %v", tt.name, v)
			}
		}
		v := l.admit(debtor(t, "192.0.2.9", notWaiting, now), now)
		if (v == admitted) != (tt.want >= 0) {
			t.Errorf("%s: verdict %v", tt.name, v)
		}
		for i, d := range tt.open {
			if shed := d.leash.pulled() == causeShed; shed != (i == tt.want) {
				t.Errorf("%s: session %d shed: %v", tt.name, i, shed)
			}
		}
		if len(l.open) > len(tt.open) {
			t.Errorf("%s: %d open", tt.name, len(l.open))
		}
	}
}

func TestAClientIsAnAddressOrA64(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
	} {
		if same := clientOf(netip.MustParseAddr(tt.a)) == clientOf(netip.MustParseAddr(tt.b)); same != tt.same {
			t.Errorf("%s and %s: same client %v", tt.a, tt.b, same)
		}
	}
}

func TestLedgerForgetsClientsThatHaveLeft(t *testing.T) {
	l := newLedger(10, 1)
	d := debtor(t, "192.0.2.1", notWaiting, time.Time{})
	if l.admit(d, time.Time{}) != admitted {
		t.Fatal("not admitted")
	}
	if v := l.admit(debtor(t, "192.0.2.1", notWaiting, time.Time{}), time.Time{}); v != tooManyFromClient {
		t.Errorf("verdict %v", v)
	}
	l.leave(d)
	l.leave(d)
	if len(l.open) != 0 || len(l.clients) != 0 {
		t.Errorf("left: %v %v", l.open, l.clients)
	}
}

func TestAPulledLeashEndsEveryLaterWait(t *testing.T) {
	ours, _ := tcpPair(t)
	l := leash{conn: ours}
	l.pull(causeShed)
	l.wait(time.Now(), time.Now().Add(time.Hour), waitBusy)
	var one [1]byte
	var timeout interface{ Timeout() bool }
	if _, err := ours.Read(one[:]); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %v", err)
	}
}
