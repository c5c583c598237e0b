package smtpclient

import (
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
)

// RFC 2852, section 4.1.4.
func TestTimeLeftIsPassedOn(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		mode  envelope.ByMode
		left  time.Duration
		trace bool
		knows bool
		least time.Duration
		lmtp  bool
		want  string
		fails bool
	}{
		{mode: envelope.ByReturn, left: 90 * time.Second, knows: true, want: "90;R"},
		{mode: envelope.ByReturn, left: 90 * time.Second, knows: true, trace: true, least: time.Minute, want: "90;RT"},
		{mode: envelope.ByReturn, left: 90 * time.Second, knows: true, least: 2 * time.Minute, fails: true},
		{mode: envelope.ByReturn, left: 500 * time.Millisecond, knows: true, fails: true}, // 0 is not allowed with R
		{mode: envelope.ByReturn, left: 90 * time.Second, fails: true},
		{mode: envelope.ByReturn, left: 90 * time.Second, lmtp: true},
		{mode: envelope.ByReturn, left: 0, lmtp: true, fails: true},
		{mode: envelope.ByNotify, left: 90 * time.Second, knows: true, least: time.Hour, want: "90;N"},
		{mode: envelope.ByNotify, left: -5 * time.Second, knows: true, trace: true, want: "-5;NT"},
		{mode: envelope.ByNotify, left: 90 * time.Second},
		{mode: envelope.ByNone, knows: true},
	} {
		job := &proto.RemoteJob{By: envelope.DeliverBy{Mode: c.mode, At: now.Add(c.left), Trace: c.trace}}
		caps := &smtp.Capabilities{ByMin: c.least}
		if c.knows {
			caps.Extensions = smtp.ExtDeliverBy
		}
		p, why := fit(job, caps, traits{host: "x", lmtp: c.lmtp, now: now})
		if p.by != c.want || (why != nil) != c.fails || why != nil && why.Status != (smtp.Status{Class: 5, Subject: 4, Detail: 7}) {
			t.Errorf("%+v: BY %q, %+v", c, p.by, why)
		}
	}
}

// RFC 2852, section 4.1.4.2: who does not know the time is asked to tell of any delay.
func TestServerThatDoesNotKnowTheTimeIsAskedToTellOfDelays(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	late := envelope.NotifyFailure | envelope.NotifyDelay
	for name, c := range map[string]struct {
		mode         envelope.ByMode
		left         time.Duration
		offers       smtp.Extensions
		lmtp         bool
		notify, want envelope.Notify
	}{
		"nothing said":  {envelope.ByNotify, time.Minute, smtp.ExtDSN, false, 0, late},
		"SUCCESS":       {envelope.ByNotify, time.Minute, smtp.ExtDSN, false, envelope.NotifySuccess, envelope.NotifySuccess | envelope.NotifyDelay},
		"NEVER":         {envelope.ByNotify, time.Minute, smtp.ExtDSN, false, envelope.NotifyNever, envelope.NotifyNever},
		"it knows":      {envelope.ByNotify, time.Minute, smtp.ExtDSN | smtp.ExtDeliverBy, false, 0, 0},
		"late already":  {envelope.ByNotify, -time.Minute, smtp.ExtDSN, false, 0, 0},
		"no time given": {envelope.ByNone, 0, smtp.ExtDSN, false, 0, 0},
		"LMTP":          {envelope.ByNotify, time.Minute, smtp.ExtDSN, true, 0, 0},
	} {
		job := &proto.RemoteJob{By: envelope.DeliverBy{Mode: c.mode, At: now.Add(c.left)}}
		p, why := fit(job, &smtp.Capabilities{Extensions: c.offers}, traits{host: "x", now: now, lmtp: c.lmtp})
		if got := p.notify(c.notify); why != nil || got != c.want {
			t.Errorf("%s: NOTIFY %d, want %d (%+v)", name, got, c.want, why)
		}
	}
}
