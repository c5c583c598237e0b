package router_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// TestShapesOfDNS walks through what zones say, honest, odd and hostile.
func TestShapesOfDNS(t *testing.T) {
	zone := `
ok.example. MX 20 b.ok.example.
ok.example. MX 10 a.ok.example.
a.ok.example. A 192.0.2.1
a.ok.example. AAAA 2001:db8::1
b.ok.example. A 192.0.2.2
implicit.example. A 192.0.2.3
six.example. AAAA 2001:db8::3
null.example. MX 0 .
nothing.example. TXT "x"
backup.example. MX 10 a.ok.example.
backup.example. MX 20 mail.example.org.
backup.example. MX 30 b.ok.example.
mine.example. MX 10 mail.example.org.
mineaddr.example. MX 10 x.mineaddr.example.
x.mineaddr.example. A 192.0.2.99
loop4.example. MX 10 l4.example.
l4.example. A 127.0.0.1
loop6.example. MX 10 l6.example.
l6.example. AAAA ::1
zero4.example. MX 10 z4.example.
z4.example. A 0.0.0.0
zero6.example. AAAA ::
mapped.example. AAAA ::ffff:127.0.0.1
implicitme.example. A 192.0.2.99
localmx.example. MX 10 localhost.
literalmx.example. MX 10 192.0.2.1.
badmx.example. MX 10 a\000b.example.
badmx.example. MX 10 a\;b.example.
badmx.example. MX 10 a\032b.example.
badmx.example. MX 10 a\010b.example.
halfbad.example. MX 10 a\010b.example.
halfbad.example. MX 20 b.ok.example.
noaddr.example. MX 10 gone.example.
oneaddr.example. MX 10 gone.example.
oneaddr.example. MX 20 b.ok.example.
tempaddr.example. MX 10 servfail.example.
tempone.example. MX 10 servfail.example.
tempone.example. MX 20 b.ok.example.
!servfail servfail.example.
!refused refused.example.
!drop silent.example.
!lame lame.example.
!loop cname.example.
!chain far.example. 30 ok.example.
!chain near.example. 3 ok.example.
!garbage garbage.example.
!cut 30 cut.example.
!wrongid wrongid.example.
!wrongname wrongname.example.
!truncate tc.example. MX
tc.example. MX 10 b.ok.example.
!forge forged.example.
forged.example. MX 10 b.ok.example.
!noedns noedns.example.
noedns.example. MX 10 b.ok.example.
!raw short.example. MX 00
!raw empty.example. MX
!raw shorta.example. A c000
!many many.example. MX 1000
*.many.example. A 192.0.2.4
!many addrs.example. A 1000
dangling.example. CNAME gone.example.
alias.example. MX 10 c.alias.example.
c.alias.example. CNAME b.ok.example.
multicast.example. A 224.0.0.1
null2.example. MX 0 .
null2.example. MX 10 b.ok.example.
xn--bcher-kva.example. MX 10 b.ok.example.
MiXed.example. MX 10 B.OK.example.
big.example. A 192.0.2.3
!many big.example. TXT 200
`
	const b = "b.ok.example/192.0.2.2:25"
	l := newLab(t, zone, nil).start()
	for _, c := range [][2]string{
		{"ok.example", "smtp via ok.example: a.ok.example/192.0.2.1:25 a.ok.example/[2001:db8::1]:25 " + b},
		{"implicit.example", "smtp via implicit.example: implicit.example/192.0.2.3:25"},
		{"six.example", "smtp via six.example: six.example/[2001:db8::3]:25"},
		{"null.example", "failed 5.1.10 null-mx"},
		{"nowhere.example", "failed 5.1.2 no-domain"},
		{"nothing.example", "failed 5.4.4 no-mx"},
		{"backup.example", "smtp via backup.example: a.ok.example/192.0.2.1:25 a.ok.example/[2001:db8::1]:25"},
		{"mine.example", "failed 5.4.6 loop"},
		{"mineaddr.example", "failed 5.4.6 loop"},
		{"loop4.example", "failed 5.4.6 loop"},
		{"loop6.example", "failed 5.4.6 loop"},
		{"zero4.example", "failed 5.4.6 loop"},
		{"zero6.example", "failed 5.4.6 loop"},
		{"mapped.example", "failed 5.4.6 loop"},
		{"implicitme.example", "failed 5.4.6 loop"},
		{"localmx.example", "failed 5.4.6 loop"},
		{"localhost", "failed 5.4.6 loop"},
		{"literalmx.example", "failed 5.4.4 no-mx"},
		{"badmx.example", "failed 5.4.4 no-mx"},
		{"halfbad.example", "smtp via halfbad.example: " + b},
		{"noaddr.example", "failed 5.4.4 no-mx"},
		{"oneaddr.example", "smtp via oneaddr.example: " + b},
		{"tempaddr.example", "deferred 4.4.3 dns"},
		{"tempone.example", "smtp via tempone.example: " + b},
		{"servfail.example", "deferred 4.4.3 dns"},
		{"refused.example", "deferred 4.4.3 dns"},
		{"silent.example", "deferred 4.4.3 dns"},
		{"lame.example", "deferred 4.4.3 dns"},
		{"cname.example", "deferred 4.4.3 dns"},
		{"far.example", "deferred 4.4.3 dns"},
		{"near.example", "smtp via near.example: a.ok.example/192.0.2.1:25 a.ok.example/[2001:db8::1]:25 " + b},
		{"garbage.example", "deferred 4.4.3 dns"},
		{"cut.example", "deferred 4.4.3 dns"},
		{"wrongid.example", "deferred 4.4.3 dns"},
		{"wrongname.example", "deferred 4.4.3 dns"},
		{"tc.example", "smtp via tc.example: " + b},
		{"forged.example", "smtp via forged.example: " + b},
		{"noedns.example", "smtp via noedns.example: " + b},
		{"short.example", "deferred 4.4.3 dns"},
		{"empty.example", "deferred 4.4.3 dns"},
		{"shorta.example", "deferred 4.4.3 dns"},
		{"dangling.example", "failed 5.1.2 no-domain"},
		{"alias.example", "smtp via alias.example: c.alias.example/192.0.2.2:25"},
		{"multicast.example", "failed 5.4.4 no-mx"},
		{"null2.example", "smtp via null2.example: " + b},
		{"bücher.example", "smtp via xn--bcher-kva.example: " + b},
		{"mIxed.EXAMPLE", "smtp via mixed.example: " + b},
		{"big.example", "smtp via big.example: big.example/192.0.2.3:25"},
		{"addrs.example", "smtp via addrs.example: addrs.example/192.0.2.0:25 addrs.example/192.0.2.1:25 addrs.example/192.0.2.2:25 addrs.example/192.0.2.3:25"},
		{"[192.0.2.5]", "smtp via [192.0.2.5]: [192.0.2.5]/192.0.2.5:25"},
		{"[IPv6:2001:db8::5]", "smtp via [ipv6:2001:db8::5]: [ipv6:2001:db8::5]/[2001:db8::5]:25"},
		{"[127.0.0.1]", "failed 5.4.6 loop"},
		{"[0.0.0.0]", "failed 5.4.6 loop"},
		{"[192.0.2.99]", "failed 5.4.6 loop"},
		{"[IPv6:::ffff:127.0.0.1]", "failed 5.4.6 loop"},
	} {
		t.Run(c[0], func(t *testing.T) {
			a := l.ask(to("x@" + c[0]))
			got := strings.Join(strings.Fields(show(a.Leaves[0]))[1:], " ")
			if len(a.Leaves) != 1 || got != c[1] {
				t.Errorf("got %s (%s)\nwant %s", got, a.Leaves[0].Verdict.Text.ForTerminal(), c[1])
			}
		})
	}
	if a := l.ask(to("x@many.example")); len(a.Leaves[0].Hosts) != 8 {
		t.Errorf("1000 MX: %d hosts", len(a.Leaves[0].Hosts))
	}
}

func TestDomainIsRoutedOnceForItsRecipients(t *testing.T) {
	l := newLab(t, "d.example. 1 MX 10 mx.d.example.\nmx.d.example. 1 A 192.0.2.1\n", nil).start()
	var rcpts []string
	for i := range 50 {
		rcpts = append(rcpts, fmt.Sprintf("u%d@d.example", i))
	}
	a := l.ask(to(rcpts...))
	if len(a.Leaves) != 50 || l.dns.Asked("d.example", "MX") != 1 {
		t.Fatalf("%d leaves, %d queries", len(a.Leaves), l.dns.Asked("d.example", "MX"))
	}
	for i := range a.Leaves {
		if &a.Leaves[i].Hosts[0] != &a.Leaves[0].Hosts[0] {
			t.Fatal("the hosts crossed more than once")
		}
	}
	l.ask(to("again@d.example"))
	if l.dns.Queries() != 3 {
		t.Errorf("%d queries: the route was not kept", l.dns.Queries())
	}
	l.wait(2 * time.Second)
	l.ask(to("again@d.example"))
	if l.dns.Asked("d.example", "MX") != 2 {
		t.Error("the route was kept beyond the TTL of DNS")
	}
}

func TestDomainsOfAQueryAreRoutedTogether(t *testing.T) {
	// Forty silent domains one after the other would take four seconds.
	var zone strings.Builder
	var rcpts []string
	for i := range 40 {
		fmt.Fprintf(&zone, "!drop d%d.example.\n", i)
		rcpts = append(rcpts, fmt.Sprintf("x@d%d.example", i))
	}
	zone.WriteString("good.example. A 192.0.2.1\n")
	l := newLab(t, zone.String(), nil).start()
	a := l.ask(to(append(rcpts, "x@good.example", "alice@example.org")...))
	if got := shows(a); strings.Count(got, "deferred 4.4.3 dns") != 40 || !strings.Contains(got, "x@good.example smtp") {
		t.Errorf("got %s", got)
	}
}

func TestSmartHosts(t *testing.T) {
	zone := "hub.example. MX 10 mx.hub.example.\nmx.hub.example. A 192.0.2.1\nhub.example. A 192.0.2.2\nother.example. A 192.0.2.3\n!servfail bad.example.\n"
	for _, c := range []struct {
		hosts string
		want  string
	}{
		{"hub.example", "smtp via hub.example: mx.hub.example/192.0.2.1:587"},
		{"[hub.example]", "smtp via [hub.example]: hub.example/192.0.2.2:587"},
		{"hub.example:25", "smtp via hub.example:25: mx.hub.example/192.0.2.1:25"},
		{"[192.0.2.9]:2525", "smtp via [192.0.2.9]:2525: [192.0.2.9]/192.0.2.9:2525"},
		{"127.0.0.1:25", "smtp via [127.0.0.1]:25: [127.0.0.1]/127.0.0.1:25"},
		{"localhost:2525", "smtp via localhost:2525: localhost/127.0.0.1:2525 localhost/[::1]:2525"},
		{"[hub.example] other.example", "smtp via [hub.example] other.example: hub.example/192.0.2.2:587 other.example/192.0.2.3:587"},
		{"gone.example other.example", "smtp via gone.example other.example: other.example/192.0.2.3:587"},
		{"gone.example", "deferred 4.3.5 dns"},
		{"bad.example", "deferred 4.3.5 dns"},
		{"0.0.0.0", "deferred 4.3.5 dns"},
	} {
		l := newLab(t, zone, nil)
		l.set.Routers = []settings.Router{{Name: "hub", Driver: "smarthost", Hosts: strings.Fields(c.hosts), Port: 587, Transport: "smtp"}}
		l.start()
		got := strings.Join(strings.Fields(show(l.ask(to("x@anywhere.example")).Leaves[0]))[1:], " ")
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.hosts, got, c.want)
		}
	}
}

func TestTables(t *testing.T) {
	l := newLab(t, "other.example. A 192.0.2.3\n", map[string]string{
		"routes": "a.example [192.0.2.1]\n*.a.example [192.0.2.2]:26 [192.0.2.3]\n",
	})
	l.set.Routers = []settings.Router{
		{Name: "t", Driver: "table", File: filepath.Join(l.dir, "routes"), Map: map[string]string{"in.example": "127.0.0.1:10025"}, Transport: "lmtp"},
		{Name: "internet", Driver: "mx", Transport: "smtp"},
	}
	l.start().expect([][2]string{
		{"x@a.example", "x@a.example lmtp via [192.0.2.1]: [192.0.2.1]/192.0.2.1:25"},
		{"x@b.a.example", "x@b.a.example lmtp via [192.0.2.2]:26 [192.0.2.3]: [192.0.2.2]/192.0.2.2:26 [192.0.2.3]/192.0.2.3:25"},
		{"x@in.example", "x@in.example lmtp via [127.0.0.1]:10025: [127.0.0.1]/127.0.0.1:10025"},
		{"x@other.example", "x@other.example smtp via other.example: other.example/192.0.2.3:25"},
	})
	l.write("routes", "a.example bad host:x\n")
	l.wait(time.Hour)
	l.expect([][2]string{{"x@a.example", "x@a.example lmtp via [192.0.2.1]: [192.0.2.1]/192.0.2.1:25"}})
	if got := l.warnings(); !strings.Contains(got, "routes:1: host host:x: the port") {
		t.Errorf("told %q", got)
	}
}

func TestRoutersAreAskedInOrder(t *testing.T) {
	l := newLab(t, "a.example. A 192.0.2.1\nb.example. MX 10 a.example.\nc.example. A 192.0.2.1\n", nil)
	l.set.Routers = []settings.Router{
		{Name: "hub", Driver: "smarthost", Hosts: []string{"[192.0.2.9]"}, Conditions: settings.Conditions{Domains: []string{"*.hub.example"}}, Transport: "lmtp"},
		{Name: "internet", Driver: "mx", Conditions: settings.Conditions{Domains: []string{"?.example"}}, MXOnly: []string{"*"}, MXOnlyExcept: []string{"c.example"}, Transport: "smtp", Port: 26},
	}
	l.start().expect([][2]string{
		{"x@y.hub.example", "x@y.hub.example lmtp via [192.0.2.9]: [192.0.2.9]/192.0.2.9:25"},
		{"x@a.example", "x@a.example failed 5.4.4 no-mx"},
		{"x@b.example", "x@b.example smtp via b.example: a.example/192.0.2.1:26"},
		{"x@c.example", "x@c.example smtp via c.example: c.example/192.0.2.1:26"},
		{"x@other.org", "x@other.org failed 5.4.4 no-mx"},
		{"x@[192.0.2.1]", "x@[192.0.2.1] failed 5.4.4 no-mx"},
	})
}

func TestNullRecipientIsRefused(t *testing.T) {
	l := newLab(t, "", nil).start()
	a := l.ask(&proto.RouteQuery{Recipients: []envelope.Recipient{{Address: mailaddr.Address{}}}})
	if got := shows(a); got != "<> failed 5.1.3 unknown-user" {
		t.Errorf("got %s", got)
	}
}

func TestReloadTakesNewRulesOrKeepsTheOld(t *testing.T) {
	l := newLab(t, "", map[string]string{"aliases": "a: alice\n", "new": "a: bob\n"}).start()
	l.expect([][2]string{{"a@example.org", "alice@example.org maildir alice"}})
	s := *l.set
	s.Directors = append([]settings.Director(nil), s.Directors...)
	s.Directors[0].File = filepath.Join(l.dir, "new")
	l.reload(&s)
	l.expect([][2]string{{"a@example.org", "bob@example.org maildir bob"}})
	bad := s
	bad.Directors = []settings.Director{{Name: "x", Driver: "nonsense"}}
	l.reload(&bad)
	l.expect([][2]string{{"a@example.org", "bob@example.org maildir bob"}})
	if got := l.warnings(); !strings.Contains(got, `director x: driver "nonsense" is not known`) {
		t.Errorf("told %q", got)
	}
}

func TestExplainTellsEveryStep(t *testing.T) {
	l := newLab(t, "r.example. MX 10 mx.r.example.\nmx.r.example. A 192.0.2.1\n", map[string]string{"aliases": "bob: bob, x@r.example, nosuch\n"})
	l.set.Directors[1].Domains = []string{"example.org"}
	l.start()
	m := to("bob@example.org", "alice@sub.example.org")
	m.Explain = true
	a := l.ask(m)
	got := strings.ReplaceAll(traceText(a.Trace), l.dir+"/", "")
	want := `bob@example.org
  director aliases (aliasfile): redirected: bob stands for bob, x@r.example, nosuch (aliases:1)
  bob@example.org
    director aliases (aliasfile): declined: bob@example.org is one of its own ancestors
    director users (user): took: an account of the system
      transport maildir, user bob (uid 1001, gid 100, home /home/bob)
  x@r.example
    not a local domain: routers
    router literal (literal): declined: no address literal
      MX of r.example: 10 mx.r.example
      addresses of mx.r.example: [192.0.2.1]
    router internet (mx): took: transport smtp, next hop r.example
      10 mx.r.example [192.0.2.1:25]
  nosuch@example.org
    director aliases (aliasfile): declined: no entry
    director users (user): declined: no such account
    no director took it: unknown user
alice@sub.example.org
  director aliases (aliasfile): declined: no entry
  director users (user): skipped: domains does not match
  no director took it: unknown user`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// traceText is an explanation as mtactl prints it.
func traceText(steps []proto.Step) string {
	var lines []string
	for _, s := range steps {
		line := strings.Repeat("  ", s.Depth)
		switch s.Kind {
		case "address":
			line += s.Name
		case "note":
			line += s.Why
		default:
			line += s.Kind + " " + s.Name
			if s.Driver != "" {
				line += " (" + s.Driver + ")"
			}
			if s.Did != "" {
				line += ": " + s.Did
			}
			if s.Why != "" {
				line += ": " + s.Why
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
