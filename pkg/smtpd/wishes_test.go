package smtpd

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/settings"
)

// trusting lets the client relay.
func trusting(s *settings.Settings, _ *settings.Listen) { s.Domains.Trusted = []string{"127.0.0.0/8"} }

// sent is the envelope of a message that MAIL began with some parameters.
func sent(t *testing.T, r *rig, params string) envelope.Envelope {
	t.Helper()
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example> "+params)
	c.cmd(250, "RCPT TO:<x@example.edu>")
	c.cmd(354, "DATA")
	c.cmd(250, "Subject: x\r\n\r\nx\r\n.")
	return r.cleanup.only(t).envelope
}

// RFC 6710, section 4.1: a positive priority is for those who are trusted.
func TestTrustedClientsMayAskForAnyPriority(t *testing.T) {
	for params, want := range map[string]int8{"MT-PRIORITY=9": 9, "MT-PRIORITY=-9": -9, "MT-PRIORITY=0": 0, "": 0} {
		if got := sent(t, newRig(t, trusting), params).Priority; got != want {
			t.Errorf("%q: priority %d", params, got)
		}
	}
}

// RFC 6710, section 9.2: 250 X.3.6, the new priority, a blank, words.
func TestPriorityOfAStrangerIsLoweredAndHeIsTold(t *testing.T) {
	c := newRig(t, nil).hello()
	if text := c.cmd(250, "MAIL FROM:<a@client.example> MT-PRIORITY=3"); !strings.HasPrefix(text, "2.3.6 0 is the new priority") {
		t.Errorf("told %q", text)
	}
	if got := sent(t, newRig(t, nil), "MT-PRIORITY=3").Priority; got != 0 {
		t.Errorf("priority %d", got)
	}
}

func TestStrangersMayAskForLess(t *testing.T) {
	c := newRig(t, nil).hello()
	if text := c.cmd(250, "MAIL FROM:<a@client.example> MT-PRIORITY=-3"); !strings.HasPrefix(text, "2.1.0") {
		t.Errorf("told %q", text)
	}
	if got := sent(t, newRig(t, nil), "MT-PRIORITY=-3").Priority; got != -3 {
		t.Errorf("priority %d", got)
	}
}

// RFC 6710, section 3.
func TestProfileOfPrioritiesIsTold(t *testing.T) {
	c := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.PriorityProfile = "MIXER" }).connect()
	if text := c.cmd(250, "EHLO client.example"); !strings.Contains(text, "\nMT-PRIORITY MIXER\n") {
		t.Errorf("offered %q", text)
	}
}

// RFC 4865, section 3: the longest interval and the moment at its end.
func TestFutureReleaseIsOfferedWithItsLimits(t *testing.T) {
	r := newRig(t, holding)
	before := time.Now()
	text := r.connect().cmd(250, "EHLO client.example")
	_, rest, ok := strings.Cut(text, "\nFUTURERELEASE 3600 ")
	line, _, _ := strings.Cut(rest, "\n")
	at, err := time.Parse(time.RFC3339, line)
	if !ok || err != nil || at.Sub(before.Add(time.Hour)).Abs() > time.Minute || !strings.HasSuffix(line, "Z") {
		t.Errorf("offered %q", text)
	}
	if strings.Contains(newRig(t, nil).connect().cmd(250, "EHLO client.example"), "FUTURERELEASE") {
		t.Error("offered where nobody has configured it")
	}
}

// holding lets messages be held for an hour.
func holding(_ *settings.Settings, l *settings.Listen) {
	l.Submission, l.FutureRelease = true, settings.Duration(time.Hour)
}

func TestHeldMessageHasTheMomentOfItsRelease(t *testing.T) {
	if got := sent(t, newRig(t, holding), "HOLDFOR=600").ReleaseAt; time.Until(got.Add(-10*time.Minute)).Abs() > time.Minute {
		t.Errorf("released at %v", got)
	}
	// Reports tell it (RFC 4865, section 5.1.2).
	if got := sent(t, newRig(t, holding), "HOLDFOR=600").HoldFor; got != 10*time.Minute {
		t.Errorf("held for %s", got)
	}
	at := time.Now().Add(30 * time.Minute).UTC().Truncate(time.Second)
	if got := sent(t, newRig(t, holding), "HOLDUNTIL="+at.Format(time.RFC3339)).ReleaseAt; !got.Equal(at) {
		t.Errorf("released at %v, want %v", got, at)
	}
}

func TestMomentThatIsOverHoldsNothing(t *testing.T) {
	if got := sent(t, newRig(t, holding), "HOLDUNTIL=2020-01-01T00:00:00Z").ReleaseAt; !got.IsZero() {
		t.Errorf("released at %v", got)
	}
}

// RFC 4865, section 4.
func TestHoldBeyondTheLimitIsRefused(t *testing.T) {
	c := newRig(t, holding).hello()
	for _, params := range []string{"HOLDFOR=3601", "HOLDUNTIL=2199-01-01T00:00:00Z"} {
		if text := c.cmd(501, "MAIL FROM:<a@client.example> "+params); !strings.HasPrefix(text, "5.5.4") {
			t.Errorf("%s: %q", params, text)
		}
	}
	c.cmd(250, "MAIL FROM:<a@client.example> HOLDFOR=3600")
}

func TestHoldIsUnknownWhereItIsNotOffered(t *testing.T) {
	newRig(t, nil).hello().cmd(555, "MAIL FROM:<a@client.example> HOLDFOR=10")
}

// RFC 2852, section 3.
func TestDeliverByIsOfferedWithTheLeastTime(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.DeliverByLeast = settings.Duration(90 * time.Second) })
	c := r.connect()
	if text := c.cmd(250, "EHLO client.example"); !strings.Contains(text, "\nDELIVERBY 90\n") {
		t.Errorf("offered %q", text)
	}
	if text := c.cmd(555, "MAIL FROM:<a@client.example> BY=89;R"); !strings.HasPrefix(text, "5.5.4") {
		t.Errorf("told %q", text)
	}
	c.cmd(250, "MAIL FROM:<a@client.example> BY=1;N") // the least is for R
}

func TestTimeToDeliverByIsAMoment(t *testing.T) {
	got := sent(t, newRig(t, nil), "BY=600;RT").DeliverBy
	if got.Mode != envelope.ByReturn || !got.Trace || time.Until(got.At.Add(-10*time.Minute)).Abs() > time.Minute {
		t.Errorf("got %+v", got)
	}
	got = sent(t, newRig(t, nil), "BY=-600;N").DeliverBy
	if got.Mode != envelope.ByNotify || got.Trace || time.Until(got.At.Add(10*time.Minute)).Abs() > time.Minute {
		t.Errorf("got %+v", got)
	}
}

func TestTimeThatIsOverBeforeTheReleaseIsRefused(t *testing.T) {
	c := newRig(t, holding).hello()
	c.cmd(501, "MAIL FROM:<a@client.example> HOLDFOR=600 BY=300;R")
	c.cmd(250, "MAIL FROM:<a@client.example> HOLDFOR=300 BY=600;R")
}
