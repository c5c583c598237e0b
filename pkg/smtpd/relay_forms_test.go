package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/mailaddr"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// syntaxes are all that domains.syntax can be.
var syntaxes = [][]string{nil, {"percent"}, {"bang"}, {"percent", "bang"}}

// relayForms are the sixteen ways of nmap's smtp-open-relay to ask a server (name
// example.edu, address 127.0.0.1) for mail to a third party, and some of our own.
func relayForms() []struct{ from, to string } {
	const sender = "antispam@[127.0.0.1]"
	return []struct{ from, to string }{
		{"", "relaytest@elsewhere.example"},
		{"antispam@elsewhere.example", "relaytest@elsewhere.example"},
		{"antispam@example.edu", "relaytest@elsewhere.example"},
		{sender, "relaytest@elsewhere.example"},
		{sender, "relaytest%elsewhere.example@[127.0.0.1]"},
		{sender, "relaytest%elsewhere.example@example.edu"},
		{sender, `"relaytest@elsewhere.example"`},
		{sender, `"relaytest%elsewhere.example"`},
		{sender, "relaytest@elsewhere.example@[127.0.0.1]"},
		{sender, `"relaytest@elsewhere.example"@[127.0.0.1]`},
		{sender, "relaytest@elsewhere.example@example.edu"},
		{sender, "@[127.0.0.1]:relaytest@elsewhere.example"},
		{sender, "@example.edu:relaytest@elsewhere.example"},
		{sender, "elsewhere.example!relaytest"},
		{sender, "elsewhere.example!relaytest@[127.0.0.1]"},
		{sender, "elsewhere.example!relaytest@example.edu"},
		// ours
		{sender, "relaytest%elsewhere.example"},
		{sender, "relaytest%elsewhere.example%example.edu@example.edu"},
		{sender, "example.edu!elsewhere.example!relaytest@example.edu"},
		{sender, "elsewhere.example!relaytest%example.edu@example.edu"},
		{sender, "relaytest%elsewhere.example%mx.relay.example@example.edu"},
		{sender, "mx.relay.example!elsewhere.example!relaytest@example.edu"},
		{sender, "relaytest%elsewhere.example@mx.relay.example"},
		{sender, "elsewhere.example!relaytest@mx.relay.example"},
		{sender, `"relaytest%elsewhere.example"@example.edu`},
		{sender, `"relaytest@elsewhere.example%example.edu"@example.edu`},
		{sender, "@example.edu:relaytest%elsewhere.example@example.edu"},
		{sender, "relaytest%elsewhere.example." + "@example.edu"},
	}
}

// TestOtherWaysOfWritingOpenNoRelay: a stranger gets no recipient elsewhere,
// whichever ways of writing addresses are understood, with and without a domain for
// bare ones.
func TestOtherWaysOfWritingOpenNoRelay(t *testing.T) {
	for _, syntax := range syntaxes {
		for _, qualify := range []string{"", "example.edu"} {
			r := newRig(t, func(s *settings.Settings, l *settings.Listen) {
				s.Domains.Syntax, l.Qualify = syntax, qualify
			})
			for _, f := range relayForms() {
				c := r.hello()
				c.cmd(250, "MAIL FROM:<"+f.from+">")
				c.send("RCPT TO:<" + f.to + ">\r\n")
				if code, text, err := c.reply(); err != nil || code/100 != 5 {
					t.Errorf("%v, qualify %q: RCPT TO:<%s>: %d %s %v", syntax, qualify, f.to, code, text, err)
				}
				c.conn.Close()
			}
		}
	}
}

// TestAStrangersRecipientsAreOurs: whatever a stranger writes, what is taken of it is
// an address of a domain that he could have written without any tricks.
func TestAStrangersRecipientsAreOurs(t *testing.T) {
	var sites []*site
	for _, syntax := range syntaxes {
		s := testSettings()
		s.Domains.Syntax = syntax
		e, err := newSite(s, s.Listen[0])
		if err != nil {
			t.Fatal(err)
		}
		sites = append(sites, e)
	}
	piece := rapid.SampledFrom([]string{"%", "!", "@", `"`, "user", "example.edu", "mx.relay.example", "elsewhere.example", ".", " "})
	domain := rapid.SampledFrom([]string{"example.edu", "mx.relay.example", "elsewhere.example", "relay.example"})
	rapid.Check(t, func(t *rapid.T) {
		local := strings.Join(rapid.SliceOfN(piece, 1, 9).Draw(t, "local part"), "")
		to, err := mailaddr.New(local[:min(len(local), mailaddr.MaxLocal/2)], domain.Draw(t, "domain"))
		if err != nil {
			return
		}
		for _, e := range sites {
			s := newSession(e, netip.MustParseAddr("198.51.100.1"), nil)
			s.tx = &transaction{}
			s.consider(&smtp.RcptParams{To: to})
			for _, r := range s.tx.recipients {
				d := r.Address.Domain()
				if d != "example.edu" && !strings.HasSuffix(d, ".relay.example") || strings.ContainsAny(r.Address.Local(), "%!@") {
					t.Fatalf("%s was taken as %s", to, r.Address)
				}
			}
		}
	})
}

func TestOtherWaysOfWritingAreUnderstoodWhereTheyAreOn(t *testing.T) {
	for _, tt := range []struct {
		to      string
		trusted bool
		code    int
		want    string
	}{
		{"user%mx.relay.example@example.edu", false, 250, "user@mx.relay.example"},
		{"mx.relay.example!user@example.edu", false, 250, "user@mx.relay.example"},
		{"user%example.edu@example.edu", false, 250, "user@example.edu"},
		{"user%elsewhere.example@example.edu", true, 250, "user@elsewhere.example"},
		{"elsewhere.example!user@example.edu", true, 250, "user@elsewhere.example"},
		{"far!elsewhere.example!user@example.edu", true, 250, "elsewhere.example!user@far"},
		{"user%host@elsewhere.example", true, 250, "user%host@elsewhere.example"},
		{"a!b%c@example.edu", true, 553, ""},
		{"a!b%c@example.edu", false, 553, ""},
		{`"a b%c"@example.edu`, true, 553, ""},
	} {
		t.Run(fmt.Sprint(tt.to, tt.trusted), func(t *testing.T) {
			r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
				s.Domains.Syntax = []string{"percent", "bang"}
				if tt.trusted {
					s.Domains.Trusted = []string{"127.0.0.0/8"}
				}
			})
			c := r.hello()
			c.cmd(250, "MAIL FROM:<>")
			c.cmd(tt.code, "RCPT TO:<"+tt.to+">")
			if tt.code != 250 {
				return
			}
			c.cmd(354, "DATA")
			c.send("x\r\n.\r\n")
			c.expect(250)
			got := r.cleanup.only(t).envelope.Recipients[0]
			if got.Address.String() != tt.want {
				t.Errorf("taken as %s, want %s", got.Address, tt.want)
			}
			if changed := tt.want != tt.to; changed != got.Orig.Equal(tt.to) {
				t.Errorf("reports name %v", got.Orig)
			}
		})
	}
}

func TestADomainsLookupIsAskedForTheAddressThatIsMeant(t *testing.T) {
	s := testSettings()
	s.Domains.Syntax = []string{"percent"}
	s.Domains.Local = []string{"lookup:ours"}
	e, err := newSite(s, s.Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	x := newSession(e, netip.MustParseAddr("198.51.100.1"), nil)
	x.tx = &transaction{}
	a := x.consider(&smtp.RcptParams{To: mailaddr.MustParse("user%elsewhere.example@example.edu")})
	if a.step != askLookup || a.question != (question{"ours", "example.edu"}) || len(x.tx.recipients) != 0 {
		t.Errorf("action %+v", a)
	}
}
