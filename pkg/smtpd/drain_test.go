package smtpd

import (
	"net"
	"strings"
	"testing"
	"time"

	"filbert/pkg/settings"
)

// startDrain begins to stop the server and waits until it has got so far.
func (r *rig) startDrain(degree draining) {
	r.t.Helper()
	r.once.Do(func() {
		stopping := make(chan struct{})
		close(stopping)
		go r.drainOn(stopping)
	})
	r.waitUntil("draining", func() bool { return r.server.drainingNow() >= degree })
}

// A process that was replaced closes its port to nobody who is in already.
func TestReplacedProcessLetsSessionsGoOn(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Limits.DrainTimeout = settings.Duration(time.Hour)
	})
	c := r.hello()
	stopping := make(chan struct{})
	r.once.Do(func() { go r.drainOn(stopping) })
	r.waitUntil("the port is closed", func() bool {
		conn, err := net.Dial("tcp", r.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	c.mail(250, "x\r\n")
	c.mail(250, "y\r\n")
	close(stopping) // now the suite stops
	r.waitUntil("draining", func() bool { return r.server.drainingNow() >= drainServed })
	c.cmd(421, "MAIL FROM:<>")
	<-r.ended
}

func TestDrainAcceptsNobody(t *testing.T) {
	r := newRig(t, nil)
	r.connect()
	r.startDrain(drainServed)
	r.waitUntil("the port is closed", func() bool {
		c, err := net.Dial("tcp", r.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func TestDrainLetsATransactionFinish(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	c.send("x\r\n")
	r.server.grace = time.Millisecond
	r.startDrain(drainWaiting)
	c.send(".\r\n")
	c.expect(250)
	if text := c.expect(421); !strings.HasPrefix(text, "4.3.2 ") {
		t.Errorf("got %q", text)
	}
	c.closed()
	<-r.ended
	r.cleanup.only(t)
}

func TestDrainTellsIdleClients(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.mail(250, "x\r\n")
	fresh := r.connect()
	r.server.grace = time.Millisecond
	r.startDrain(drainServed)
	c.expect(421)
	fresh.expect(421)
	c.closed()
	<-r.ended
}

func TestDrainRefusesASecondMessage(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.mail(250, "x\r\n")
	r.startDrain(drainServed)
	c.cmd(421, "MAIL FROM:<>")
	c.closed()
}

// Who connected before the stop began could not know of it.
func TestDrainLetsANewClientSendItsMessage(t *testing.T) {
	r := newRig(t, nil)
	c := r.connect()
	r.startDrain(drainServed)
	c.cmd(250, "EHLO client.example")
	c.mail(250, "x\r\n")
	r.cleanup.only(t)
}

func TestDrainHasAnEnd(t *testing.T) {
	r := newRig(t, nil)
	c := r.hello()
	c.envelope()
	c.cmd(354, "DATA")
	r.startDrain(drainServed)
	r.stop() // the drain time-out has passed
	c.expect(421)
	c.closed()
	<-r.ended
	if len(r.cleanup.messages()) != 0 {
		t.Error("half a message was taken")
	}
}

func TestDrainEndsThoseWhoWaitForCleanup(t *testing.T) {
	r := newRig(t, nil)
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
	r.startDrain(drainServed)
	r.stop()
	c.expect(451)
	<-r.ended
}

func TestReloadChangesTheSettingsOfNewConnections(t *testing.T) {
	r := newRig(t, nil)
	before := r.hello()
	s := testSettings()
	s.Domains.Local = []string{"new.example"}
	(&daemon{server: r.server}).reload(s)
	after := r.hello()
	before.cmd(250, "MAIL FROM:<>")
	before.cmd(250, "RCPT TO:<x@example.edu>")
	after.cmd(250, "MAIL FROM:<>")
	after.cmd(550, "RCPT TO:<x@example.edu>")
	after.cmd(250, "RCPT TO:<x@new.example>")
	bad := testSettings()
	bad.Listen = []settings.Listen{}
	(&daemon{server: r.server}).reload(bad)
	if !strings.Contains(r.log.String(), "trouble") {
		t.Error("a reload without the listener was not logged")
	}
	r.hello().cmd(250, "NOOP")
}
