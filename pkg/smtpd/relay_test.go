package smtpd

import (
	"net/netip"
	"testing"

	"filbert/pkg/settings"
)

func TestRelayingIsRefusedByDefault(t *testing.T) {
	c := newRig(t, nil).hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(550, "RCPT TO:<x@elsewhere.example>")
	c.cmd(550, "RCPT TO:<x@relay.example>") // *.relay.example is below it
	c.cmd(550, "RCPT TO:<x@notexample.edu>")
	c.cmd(550, "RCPT TO:<x@example.edu.elsewhere.example>")
	c.cmd(550, "RCPT TO:<x@[127.0.0.1]>")
	c.cmd(250, "RCPT TO:<x@mx.relay.example>")
	c.cmd(250, "RCPT TO:<x@Example.EDU>")
}

func TestTrustedNetworksMayRelay(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Domains.Trusted = []string{"127.0.0.0/8"} })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(250, "RCPT TO:<x@elsewhere.example>")
}

func TestListenersOwnTrustedNetworksDecide(t *testing.T) {
	for _, tt := range []struct {
		trusted []string
		code    int
	}{{nil, 250}, {[]string{}, 550}, {[]string{"192.0.2.0/24"}, 550}, {[]string{"127.0.0.1"}, 250}} {
		r := newRig(t, func(s *settings.Settings, l *settings.Listen) {
			s.Domains.Trusted = []string{"127.0.0.0/8"}
			l.Trusted = tt.trusted
		})
		c := r.hello()
		c.cmd(250, "MAIL FROM:<>")
		c.cmd(tt.code, "RCPT TO:<x@elsewhere.example>")
	}
}

func TestMappedAddressIsTheIPv4Client(t *testing.T) {
	e, err := newSite(testSettings(), testSettings().Listen[0])
	if err != nil {
		t.Fatal(err)
	}
	if newSession(e, netip.MustParseAddr("::ffff:192.0.2.7"), nil).relay != mayRelay {
		t.Error("192.0.2.7 in its IPv6 form is not trusted")
	}
	if newSession(e, netip.Addr{}, nil).relay != mayNotRelay {
		t.Error("a client without an address is trusted")
	}
}

func TestEmptyLocalDomainsMeanTheHostname(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Domains.Local = nil })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<x@mx.example.edu>")
	c.cmd(250, "RCPT TO:<x@localhost>")
	c.cmd(550, "RCPT TO:<x@example.edu>")
}

// The forms that nmap's smtp-open-relay tries, for a server called
// example.edu at 127.0.0.1 and a victim at elsewhere.example.
func TestOpenRelayForms(t *testing.T) {
	forms := []struct{ from, to string }{
		{"", "relaytest@elsewhere.example"},
		{"antispam@elsewhere.example", "relaytest@elsewhere.example"},
		{"antispam@example.edu", "relaytest@elsewhere.example"},
		{"antispam@[127.0.0.1]", "relaytest@elsewhere.example"},
		{"antispam@[127.0.0.1]", "relaytest%elsewhere.example@[127.0.0.1]"},
		{"antispam@[127.0.0.1]", "relaytest%elsewhere.example@example.edu"},
		{"antispam@[127.0.0.1]", `"relaytest@elsewhere.example"`},
		{"antispam@[127.0.0.1]", `"relaytest%elsewhere.example"`},
		{"antispam@[127.0.0.1]", "relaytest@elsewhere.example@[127.0.0.1]"},
		{"antispam@[127.0.0.1]", `"relaytest@elsewhere.example"@[127.0.0.1]`},
		{"antispam@[127.0.0.1]", "relaytest@elsewhere.example@example.edu"},
		{"antispam@[127.0.0.1]", `"relaytest@elsewhere.example"@example.edu`},
		{"antispam@[127.0.0.1]", "@[127.0.0.1]:relaytest@elsewhere.example"},
		{"antispam@[127.0.0.1]", "@example.edu:relaytest@elsewhere.example"},
		{"antispam@[127.0.0.1]", "elsewhere.example!relaytest"},
		{"antispam@[127.0.0.1]", "elsewhere.example!relaytest@[127.0.0.1]"},
		{"antispam@[127.0.0.1]", "elsewhere.example!relaytest@example.edu"},
		{"antispam@[127.0.0.1]", `"relaytest%elsewhere.example"@example.edu`},
		{"antispam@[127.0.0.1]", "relaytest@elsewhere.example."},
	}
	r := newRig(t, nil)
	for _, f := range forms {
		c := r.hello()
		c.cmd(250, "MAIL FROM:<"+f.from+">")
		c.send("RCPT TO:<" + f.to + ">\r\n")
		if code, text, err := c.reply(); err != nil || code/100 != 5 {
			t.Errorf("RCPT TO:<%s>: %d %s %v", f.to, code, text, err)
		}
		c.conn.Close()
	}
}

func TestTrustedClientsMayUseOddLocalParts(t *testing.T) {
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) { s.Domains.Trusted = []string{"127.0.0.0/8"} })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(250, "RCPT TO:<a%b@example.edu>")
}

func TestBareAddressesAreQualifiedWhereTheListenerSaysSo(t *testing.T) {
	r := newRig(t, func(_ *settings.Settings, l *settings.Listen) { l.Qualify = "Example.EDU" })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<sender>")
	c.cmd(250, "RCPT TO:<user>")
	c.cmd(250, "RCPT TO:<postmaster>")
	c.cmd(550, "RCPT TO:<\"x@elsewhere.example\">")
	c.cmd(354, "DATA")
	c.send("x\r\n.\r\n")
	c.expect(250)
	v := r.cleanup.only(t).envelope
	if v.Sender.String() != "sender@example.edu" || v.Recipients[0].Address.String() != "user@example.edu" || v.Recipients[1].Address.String() != "postmaster" {
		t.Errorf("sender %v, recipients %v", v.Sender, v.Recipients)
	}
	c = newRig(t, nil).hello()
	c.cmd(501, "MAIL FROM:<sender>")
	c.cmd(250, "MAIL FROM:<>")
	c.cmd(501, "RCPT TO:<user>")
}

func TestBadSettingsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*settings.Settings){
		"local":   func(s *settings.Settings) { s.Domains.Local = []string{"/(/"} },
		"relay":   func(s *settings.Settings) { s.Domains.Relay = []string{"a..b"} },
		"trusted": func(s *settings.Settings) { s.Domains.Trusted = []string{"localhost"} },
		"qualify": func(s *settings.Settings) { s.Listen[0].Qualify = "a..b" },
		"newline": func(s *settings.Settings) { s.Listen[0].BareNewline = "keep" },
	} {
		s := testSettings()
		change(s)
		if _, err := newSite(s, s.Listen[0]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
