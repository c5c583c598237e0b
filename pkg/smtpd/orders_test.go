package smtpd

import (
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func suspension(until time.Time) []proto.StandingOrder {
	return []proto.StandingOrder{{Number: 1, Kind: proto.OrderSuspend, Target: proto.TargetReception, Who: "root", Until: until}}
}

func TestSuspendedReceptionIs451AtMailAndTheSessionGoesOn(t *testing.T) {
	r := newRig(t, nil)
	r.server.heed(suspension(time.Time{}))
	c := r.hello()
	c.cmd(451, "MAIL FROM:<a@example.org>")
	c.cmd(250, "NOOP")
	r.server.heed(nil)
	c.cmd(250, "MAIL FROM:<a@example.org>")
}

func TestSuspensionThatHasExpiredRefusesNobody(t *testing.T) {
	r := newRig(t, nil)
	r.server.heed(suspension(time.Now().Add(-time.Second)))
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@example.org>")
}

func TestSuspensionLeavesSubmissionOpen(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.Submission = true })
	r.server.heed(suspension(time.Time{}))
	r.hello().cmd(250, "MAIL FROM:<a@example.org>")
}

func TestLimitOfReceptionsIsObeyedAndGivenUp(t *testing.T) {
	r := newRig(t, nil)
	most := r.door.ledger.max
	r.server.heed([]proto.StandingOrder{{Number: 1, Kind: proto.OrderLimit, Target: proto.TargetReceptions, Value: 1, Who: "root"}})
	if r.door.ledger.max != 1 {
		t.Errorf("%d connections, not 1", r.door.ledger.max)
	}
	r.server.heed(nil)
	if r.door.ledger.max != most {
		t.Errorf("%d connections, not %d as before", r.door.ledger.max, most)
	}
}

func TestLoadTurnsStrangersAwayFirst(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*settings.Settings, *settings.Listen)
		code   int
	}{
		"a stranger":   {func(_ *settings.Settings, l *settings.Listen) { l.Trusted = []string{} }, 421},
		"who relays":   {func(_ *settings.Settings, l *settings.Listen) { l.Trusted = []string{"*"} }, 220},
		"a submission": {func(_ *settings.Settings, l *settings.Listen) { l.Trusted, l.Submission = []string{}, true }, 220},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(s *settings.Settings, l *settings.Listen) {
				l.MaxConnections = 10
				test.change(s, l)
			})
			first, second := r.connect(), r.connect() // two of ten are left at the worst
			defer first.conn.Close()
			defer second.conn.Close()
			r.server.takeLoad(10)
			third := r.dial()
			third.expect(test.code)
		})
	}
}
