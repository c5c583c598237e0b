package smtpd

import (
	"net"
	"strings"
	"testing"
	"time"

	"filbert/pkg/settings"
)

// startDrain begins to stop the server and waits until it has begun.
func (r *rig) startDrain(degree draining) {
	r.t.Helper()
	go func() {
		r.server.drain()
		close(r.ended)
	}()
	r.waitUntil("draining", func() bool { return r.server.drainingNow() >= degree })
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
