package smtpd

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// sendersRig verifies senders and no recipients, so that what router is asked
// is about senders.
func sendersRig(t *testing.T, change func(*settings.Settings)) (*rig, *fakeRouter) {
	t.Helper()
	return verifyRig(t, func(s *settings.Settings) {
		s.Verify.LocalRecipients, s.Verify.Senders = "off", "route"
		if change != nil {
			change(s)
		}
	})
}

func TestBadSendersAreRefusedWithCodesForSenders(t *testing.T) {
	for from, want := range map[string]string{
		"nobody@far.example":  "5.1.7 ",
		"x@nowhere.example":   "5.1.8 ",
		"x@nullmx.example":    "5.7.27 ",
		"nobody@example.edu":  "5.1.7 ",
		"x@nowhere.example.":  "",
		"good@far.example":    "",
		"list@far.example":    "",
		"unsure@far.example":  "",
		"\"a b\"@far.example": "",
	} {
		r, _ := sendersRig(t, nil)
		c := r.hello()
		c.send("MAIL FROM:<" + from + ">\r\n")
		if code, _, _ := c.reply(); code != 250 {
			continue // no address at all
		}
		if want == "" {
			c.cmd(250, "RCPT TO:<x@example.edu>")
			continue
		}
		text := c.cmd(550, "RCPT TO:<x@example.edu>")
		if !strings.HasPrefix(text, want) || !strings.Contains(text, "sender") || !strings.Contains(text, "correct it") {
			t.Errorf("%s: refused with %q, want %s", from, text, want)
		}
		r.waitUntil("the refusal is in the log", func() bool {
			return strings.Contains(r.log.String(), "stage=rcpt") && strings.Contains(r.log.String(), "code=550")
		})
	}
}

func TestSenderIsAskedAboutOnceForAllRecipients(t *testing.T) {
	r, f := sendersRig(t, nil)
	c := r.hello()
	for range 2 {
		c.cmd(250, "MAIL FROM:<good@far.example>")
		c.cmd(250, "RCPT TO:<a@example.edu>")
		c.cmd(250, "RCPT TO:<b@example.edu>")
		c.cmd(250, "RSET")
	}
	c.cmd(250, "MAIL FROM:<nobody@far.example>")
	c.cmd(550, "RCPT TO:<a@example.edu>")
	c.cmd(550, "RCPT TO:<b@example.edu>")
	c.cmd(554, "DATA")
	if want := []string{"good@far.example", "good@far.example", "nobody@far.example"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestRelayProbeCostsNoQuestion(t *testing.T) {
	r, f := sendersRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<nobody@far.example>")
	if text := c.cmd(550, "RCPT TO:<a@elsewhere.example>"); !strings.HasPrefix(text, "5.7.1 ") {
		t.Errorf("refused with %q", text)
	}
	if len(f.asked) != 0 {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestNullSenderIsNeverVerified(t *testing.T) {
	r, f := sendersRig(t, func(s *settings.Settings) { s.Verify.OwnDomains = "refuse" })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<a@example.edu>")
	if len(f.asked) != 0 {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestSendersAreNotVerifiedByDefault(t *testing.T) {
	r, f := verifyRig(t, func(s *settings.Settings) { s.Verify.LocalRecipients = "off" })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<nobody@example.edu>")
	c.cmd(250, "RCPT TO:<a@example.edu>")
	if len(f.asked) != 0 {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestUnsureSenderIsAsConfigured(t *testing.T) {
	for what, code := range map[string]int{"accept": 250, "defer": 450} {
		r, f := sendersRig(t, func(s *settings.Settings) { s.Verify.WhenUnsure = what })
		c := r.hello()
		c.cmd(250, "MAIL FROM:<unsure@far.example>")
		c.cmd(code, "RCPT TO:<a@example.edu>")
		c.cmd(code, "RCPT TO:<b@example.edu>")
		if len(f.asked) != 1 {
			t.Errorf("%s: asked about %v", what, f.asked)
		}
	}
}

func TestOwnDomainsFromOutsideAreAsConfigured(t *testing.T) {
	for _, tt := range []struct {
		own, senders, from string
		code               int
		status             string
		asked              int
	}{
		{"accept", "off", "nobody@example.edu", 250, "2.1.5 ", 0},
		{"verify", "off", "nobody@example.edu", 550, "5.1.7 ", 1},
		{"verify", "off", "ann@example.edu", 250, "2.1.5 ", 1},
		{"verify", "off", "nobody@far.example", 250, "2.1.5 ", 0},
		{"refuse", "off", "ann@example.edu", 550, "5.7.1 ", 0},
		{"refuse", "route", "ann@Example.EDU", 550, "5.7.1 ", 0},
		{"refuse", "off", "nobody@far.example", 250, "2.1.5 ", 0},
		{"refuse", "route", "nobody@far.example", 550, "5.1.7 ", 1},
	} {
		r, f := sendersRig(t, func(s *settings.Settings) { s.Verify.OwnDomains, s.Verify.Senders = tt.own, tt.senders })
		c := r.hello()
		c.cmd(250, "MAIL FROM:<"+tt.from+">")
		if text := c.cmd(tt.code, "RCPT TO:<a@example.edu>"); !strings.HasPrefix(text, tt.status) {
			t.Errorf("%+v: %q", tt, text)
		}
		if len(f.asked) != tt.asked {
			t.Errorf("%+v: asked about %v", tt, f.asked)
		}
	}
}

func TestSendersOfTrustedClientsAreVerifiedOnlyWhenAskedFor(t *testing.T) {
	for _, all := range []bool{false, true} {
		r, f := sendersRig(t, func(s *settings.Settings) {
			s.Domains.Trusted = []string{"127.0.0.0/8"}
			s.Verify.TrustedClients = all
			s.Verify.OwnDomains = "refuse" // is for those who may not relay
		})
		c := r.hello()
		c.cmd(250, "MAIL FROM:<nobody@example.edu>")
		code, asked := 250, 0
		if all {
			code, asked = 550, 1
		}
		c.cmd(code, "RCPT TO:<x@remote.example>")
		if len(f.asked) != asked {
			t.Errorf("trusted_clients = %v: asked about %v", all, f.asked)
		}
	}
}

func TestPostmasterHearsFromRefusedSenders(t *testing.T) {
	r, _ := sendersRig(t, func(s *settings.Settings) { s.Verify.OwnDomains = "refuse" })
	c := r.hello()
	for _, from := range []string{"nobody@far.example", "ann@example.edu"} {
		c.cmd(250, "MAIL FROM:<"+from+">")
		c.cmd(550, "RCPT TO:<a@example.edu>")
		c.cmd(250, "RCPT TO:<postmaster>")
		c.cmd(250, "RCPT TO:<Postmaster@example.edu>")
		c.cmd(550, "RCPT TO:<postmaster@mx.relay.example>")
		c.cmd(250, "RSET")
	}
}

func TestSenderIsLookedUpAsCleanupWillMakeIt(t *testing.T) {
	r, f := sendersRig(t, func(s *settings.Settings) {
		s.Rewrites = []settings.Rewrite{{Name: "gone", Sources: []string{"envelope-sender"}, Match: "gone@example.edu", To: "nobody@*"}}
	})
	c := r.hello()
	c.cmd(250, "MAIL FROM:<gone@example.edu>")
	c.cmd(550, "RCPT TO:<a@example.edu>")
	if !slices.Equal(f.asked, []string{"nobody@example.edu"}) {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestRouterIsToldWhereMailComesFrom(t *testing.T) {
	r, f := verifyRig(t, func(s *settings.Settings) { s.Verify.LocalRecipients, s.Verify.Senders = "callout", "callout" })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<ann@far.example> SIZE=1234")
	c.cmd(250, "RCPT TO:<a@example.edu>")
	if len(f.queries) != 2 {
		t.Fatalf("%d queries", len(f.queries))
	}
	origin := proto.Origin{Source: envelope.FromSMTP, Client: netip.MustParseAddr("127.0.0.1"), Listener: "mx", Size: 1234}
	for i, sender := range []string{"", "ann@far.example"} {
		q := f.queries[i]
		if q.Origin != origin || q.Verify != proto.VerifyCallout || q.Sender.String() != sender {
			t.Errorf("query %d: %+v", i, q)
		}
	}
}

func TestVerifiedSendersKeepPipelinedRepliesInOrder(t *testing.T) {
	r, _ := verifyRig(t, func(s *settings.Settings) { s.Verify.Senders = "route" })
	c := r.hello()
	c.send("MAIL FROM:<ann@far.example>\r\nRCPT TO:<x@example.edu>\r\nRCPT TO:<nobody@example.edu>\r\nRCPT TO:<x@elsewhere.example>\r\nRCPT TO:<y@example.edu>\r\nDATA\r\n")
	for _, code := range []int{250, 250, 550, 550, 250, 354} {
		c.expect(code)
	}
}
