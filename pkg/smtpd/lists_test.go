package smtpd

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

// listsRig takes all that it knows from lookups.
func listsRig(t *testing.T, tables map[string][]string, change func(*settings.Settings)) (*rig, *fakeRouter) {
	t.Helper()
	r, f := verifyRig(t, func(s *settings.Settings) {
		s.Verify.LocalRecipients = "off"
		s.Domains.Local = []string{"example.edu", "lookup:ours"}
		s.Domains.Relay = []string{"lookup:backup"}
		s.Domains.Trusted = []string{"192.0.2.0/24", "lookup:friends"}
		if change != nil {
			change(s)
		}
	})
	f.tables = tables
	return r, f
}

func TestDomainsMayComeFromLookups(t *testing.T) {
	r, f := listsRig(t, map[string][]string{"ours": {"virtual.example"}, "backup": {"backup.example"}}, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(250, "RCPT TO:<x@example.edu>")
	if len(f.looked) != 0 {
		t.Errorf("a pattern in front decides, and yet %v was asked", f.looked)
	}
	c.cmd(250, "RCPT TO:<x@Virtual.Example>")
	c.cmd(250, "RCPT TO:<x@backup.example>")
	c.cmd(550, "RCPT TO:<x@elsewhere.example>")
	c.cmd(550, "RCPT TO:<a%b@virtual.example>")
	want := []string{
		"ours:virtual.example", "ours:backup.example", "backup:backup.example",
		"ours:elsewhere.example", "backup:elsewhere.example", "friends:127.0.0.1",
	}
	if !slices.Equal(f.looked, want) {
		t.Errorf("asked %v,\nwant %v", f.looked, want)
	}
}

func TestTrustFromALookupIsAskedOnceForASession(t *testing.T) {
	for _, friends := range [][]string{{"127.0.0.1"}, nil} {
		r, f := listsRig(t, map[string][]string{"friends": friends}, nil)
		c := r.hello()
		for range 3 {
			c.cmd(250, "MAIL FROM:<a@client.example>")
			code := 550
			if friends != nil {
				code = 250
			}
			c.cmd(code, "RCPT TO:<x@elsewhere.example>")
			c.cmd(250, "RSET")
		}
		asked := slices.DeleteFunc(f.looked, func(s string) bool { return !strings.HasPrefix(s, "friends:") })
		if len(asked) != 1 {
			t.Errorf("%v: asked %v", friends, asked)
		}
	}
}

func TestListenersTrustMayComeFromALookup(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, l *settings.Listen) { l.Trusted = []string{"lookup:friends"} })
	r.server.router = &fakeRouter{tables: map[string][]string{"friends": {"127.0.0.1"}}}
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<x@elsewhere.example>")
}

// Neither relayed nor refused for good: whatever a lookup that is out of order
// would have said.
func TestLookupInTroubleMakesTheClientTryLater(t *testing.T) {
	for name, change := range map[string]func(*fakeRouter){
		"trouble": func(f *fakeRouter) { f.trouble = true },
		"away":    func(f *fakeRouter) { f.away = errors.New("away") },
	} {
		r, f := listsRig(t, map[string][]string{"ours": {"virtual.example"}}, nil)
		change(f)
		c := r.hello()
		c.cmd(250, "MAIL FROM:<a@client.example>")
		c.cmd(250, "RCPT TO:<x@example.edu>")
		for _, to := range []string{"x@virtual.example", "x@elsewhere.example"} {
			if text := c.cmd(451, "RCPT TO:<"+to+">"); !strings.HasPrefix(text, "4.3.0 ") {
				t.Errorf("%s, %s: %q", name, to, text)
			}
		}
		f.mu.Lock()
		f.trouble, f.away = false, nil
		f.mu.Unlock()
		c.cmd(250, "RCPT TO:<x@virtual.example>")
		c.cmd(550, "RCPT TO:<x@elsewhere.example>")
	}
}

// The client's address is 127.0.0.1.
func TestLookupThatIsAwayKeepsNobodyOutWhomItIsNotNeededFor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*settings.Settings)
		to     string
	}{
		"a trusted network": {func(s *settings.Settings) { s.Domains.Trusted = []string{"127.0.0.0/8", "lookup:friends"} }, "x@elsewhere.example"},
		"behind a lookup":   {func(s *settings.Settings) { s.Domains.Trusted = []string{"lookup:friends", "127.0.0.0/8"} }, "x@elsewhere.example"},
		"with verification": {func(s *settings.Settings) {
			s.Domains.Trusted = []string{"127.0.0.0/8"}
			s.Verify.LocalRecipients = "route"
		}, "x@elsewhere.example"},
		"a domain of ours": {func(s *settings.Settings) { s.Domains.Local = []string{"lookup:ours", "example.edu"} }, "x@example.edu"},
		"one we relay for": {func(s *settings.Settings) { s.Domains.Relay = []string{"backup.example"} }, "x@backup.example"},
	} {
		r, f := listsRig(t, nil, c.change)
		f.away = errors.New("away")
		dialogue := r.hello()
		dialogue.cmd(250, "MAIL FROM:<a@client.example>")
		if text := dialogue.cmd(250, "RCPT TO:<"+c.to+">"); len(f.looked) != 0 {
			t.Errorf("%s: %q, asked %v", name, text, f.looked)
		}
	}
}

func TestVerificationAndLookupsGoTogether(t *testing.T) {
	r, f := listsRig(t, map[string][]string{"ours": {"virtual.example"}}, func(s *settings.Settings) {
		s.Verify.LocalRecipients, s.Verify.Senders, s.Verify.OwnDomains = "route", "route", "refuse"
	})
	c := r.hello()
	c.send("MAIL FROM:<a@client.example>\r\nRCPT TO:<x@virtual.example>\r\nRCPT TO:<nobody@virtual.example>\r\nRCPT TO:<x@far.example>\r\nRSET\r\n" +
		"MAIL FROM:<a@virtual.example>\r\nRCPT TO:<x@example.edu>\r\n")
	for _, code := range []int{250, 250, 550, 550, 250, 250, 550} {
		c.expect(code)
	}
	if want := []string{"a@client.example", "x@virtual.example", "nobody@virtual.example"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestWhatASessionRemembersOfLookupsIsBounded(t *testing.T) {
	r, _ := listsRig(t, nil, func(s *settings.Settings) { s.Limits.Errors = 1000 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	for i := range 3 * maxKnown {
		c.cmd(550, "RCPT TO:<x@d"+strings.Repeat("x", i%60)+strings.Repeat(".y", i/60)+".example>")
	}
	r.door.ledger.each(func(d *dialogue) {
		if n := len(d.session.known); n > maxKnown+3 {
			t.Errorf("%d answers are kept", n)
		}
	})
}

func TestRewritingByLookupIsFollowed(t *testing.T) {
	r, f := verifyRig(t, func(s *settings.Settings) {
		s.Rewrites = []settings.Rewrite{{Name: "gone", Sources: []string{"envelope-recipients"}, Match: "lookup:gone", To: "nobody@*"}}
	})
	f.tables = map[string][]string{"gone": {"gone@example.edu"}}
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(550, "RCPT TO:<gone@example.edu>")
	c.cmd(250, "RCPT TO:<here@example.edu>")
	f.mu.Lock()
	f.trouble = true
	f.mu.Unlock()
	c.cmd(451, "RCPT TO:<other@example.edu>")
	if want := []string{"nobody@example.edu", "here@example.edu"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked about %v", f.asked)
	}
}
