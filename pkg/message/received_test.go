package message

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"

	"pgregory.net/rapid"
)

var when = time.Date(2026, 7, 4, 9, 8, 7, 0, time.FixedZone("", 2*3600))

func TestFormatDate(t *testing.T) {
	if got := FormatDate(when); got != "Sat, 4 Jul 2026 09:08:07 +0200" {
		t.Error(got)
	}
	if got := FormatDate(when.UTC()); got != "Sat, 4 Jul 2026 07:08:07 +0000" {
		t.Error(got)
	}
}

func TestMessageIDHasTheQueueID(t *testing.T) {
	id := queueid.NewGenerator(0).Next(when)
	if got, want := MessageID(id, "mx.example.org", when), "<20260704070807."+id.String()+"@mx.example.org>"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWithKeywords(t *testing.T) {
	for want, s := range map[string]Session{
		"SMTP":       {},
		"ESMTP":      {Extended: true},
		"ESMTPS":     {Extended: true, TLS: true},
		"ESMTPA":     {Extended: true, Auth: true},
		"ESMTPSA":    {Extended: true, TLS: true, Auth: true},
		"UTF8SMTP":   {Extended: true, UTF8: true},
		"UTF8SMTPSA": {Extended: true, UTF8: true, TLS: true, Auth: true},
		"LMTP":       {LMTP: true},
		"LMTPS":      {LMTP: true, TLS: true},
		"local":      {Local: true, Extended: true, TLS: true},
		"UTF8LMTPA":  {LMTP: true, UTF8: true, Auth: true},
	} {
		if got := s.With(); got != want {
			t.Errorf("%+v is %s, want %s", s, got, want)
		}
	}
}

func TestReceived(t *testing.T) {
	id := queueid.ID(1 << 50)
	network := Trace{
		Helo: untrusted.From("client.example.net"), PeerName: untrusted.From("host.example.net"), PeerAddr: netip.MustParseAddr("192.0.2.7"),
		By: "mx.example.org", With: "ESMTPS", TLS: "TLSv1.3 TLS_AES_128_GCM_SHA256", ID: id, For: mailaddr.MustParse("a@example.org"), Time: when,
	}
	for _, c := range []struct {
		name string
		edit func(*Trace)
		want string
	}{
		{"network", func(*Trace) {}, "Received: from client.example.net (host.example.net [192.0.2.7])\r\n" +
			"\t(using TLSv1.3 TLS_AES_128_GCM_SHA256) by mx.example.org (Filbert)\r\n" +
			"\twith ESMTPS id 10000000000 for <a@example.org>;\r\n" +
			"\tSat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"no names", func(r *Trace) {
			r.Helo, r.PeerName, r.TLS, r.For = untrusted.Text{}, untrusted.Text{}, "", mailaddr.Address{}
		},
			"Received: from [192.0.2.7] ([192.0.2.7]) by mx.example.org (Filbert)\r\n" +
				"\twith ESMTPS id 10000000000; Sat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"IPv6", func(r *Trace) {
			r.PeerName, r.TLS, r.PeerAddr, r.Helo = untrusted.Text{}, "", netip.MustParseAddr("2001:db8::1%eth0"), untrusted.From("[IPv6:2001:db8::1]")
		},
			"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1]) by mx.example.org\r\n" +
				"\t(Filbert) with ESMTPS id 10000000000 for <a@example.org>;\r\n" +
				"\tSat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"hostile names", func(r *Trace) {
			r.Helo, r.PeerName, r.TLS = untrusted.From("x) by evil\r\nSubject: y\\"), untrusted.From("(x\n"), ""
		},
			"Received: from [192.0.2.7] (HELO x? by evil??Subject: y? [192.0.2.7])\r\n" +
				"\tby mx.example.org (Filbert) with ESMTPS id 10000000000\r\n" +
				"\tfor <a@example.org>; Sat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"UTF-8 recipient is left out", func(r *Trace) { r.For, r.TLS = mailaddr.MustParse("grün@example.org"), "" },
			"Received: from client.example.net (host.example.net [192.0.2.7])\r\n" +
				"\tby mx.example.org (Filbert) with ESMTPS id 10000000000;\r\n" +
				"\tSat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"keyword of the session", func(r *Trace) { r.With, r.TLS, r.Session = "", "", Session{Extended: true, Auth: true} },
			"Received: from client.example.net (host.example.net [192.0.2.7])\r\n" +
				"\tby mx.example.org (Filbert) with ESMTPA id 10000000000\r\n" +
				"\tfor <a@example.org>; Sat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"local", func(r *Trace) {
			*r = Trace{By: "mx.example.org", User: untrusted.From("root (x)"), With: WithLocal, ID: id, Time: when}
		},
			"Received: by mx.example.org (Filbert, from user root ?x?) with local\r\n" +
				"\tid 10000000000; Sat, 4 Jul 2026 09:08:07 +0200\r\n"},
		{"local, with the kernel's number", func(r *Trace) {
			*r = Trace{By: "mx.example.org", User: untrusted.From(strings.Repeat("x", 200)), UserID: "1000", With: WithLocal, ID: id, Time: when}
		},
			"Received: by mx.example.org\r\n" +
				"\t(Filbert, from user " + strings.Repeat("x", 100) + ", uid 1000)\r\n" +
				"\twith local id 10000000000; Sat, 4 Jul 2026 09:08:07 +0200\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			trace := network
			c.edit(&trace)
			if got := string(Received(trace)); got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

var balanced = regexp.MustCompile(`^[^()]*(\([^()]*\)[^()]*)*$`)

// checkReceived holds whatever a peer says of itself: one field, and its words
// outside of comments are ours.
func checkReceived(t *testing.T, helo, name, tls, with string) {
	t.Helper()
	out := Received(Trace{
		Helo: untrusted.From(helo), PeerName: untrusted.From(name), PeerAddr: netip.MustParseAddr("192.0.2.7"), User: untrusted.From(helo),
		By: "mx.example.org", With: with, TLS: tls, ID: 1, Time: when,
	})
	h := mustScan(t, string(out)+"\r\n")
	if len(h.Fields) != 1 || !h.Is(h.Fields[0], "Received") || !balanced.Match(out) || strings.Count(string(out), ";") > 1+strings.Count(helo+name+tls, ";") {
		t.Fatalf("%q", out)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\r\n"), "\r\n") {
		if len(line) > 900 || strings.ContainsFunc(line, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) {
			t.Fatalf("line %q", line)
		}
	}
}

func TestNoPeerCanShapeAReceivedField(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[()\\";\r\n\ta-z. <>@\[\]]{0,300}`))
		checkReceived(t, text.Draw(rt, "helo"), text.Draw(rt, "name"), text.Draw(rt, "tls"), text.Draw(rt, "with"))
	})
}

func FuzzReceived(f *testing.F) {
	f.Add("x", "y", "z", "ESMTP")
	f.Add("x", "y", strings.Repeat("z", 2000), strings.Repeat("w", 2000))
	f.Add(")\r\nX: y", "(", "\\", "\r\n")
	f.Fuzz(func(t *testing.T, helo, name, tls, with string) { checkReceived(t, helo, name, tls, with) })
}

// RFC 6710, section 3: the PRIORITY clause, which nothing stands for when it is 0.
func TestPriorityIsInReceived(t *testing.T) {
	for priority, want := range map[int8]bool{0: false, 4: true, -9: true} {
		got := string(Received(Trace{By: "mx.example", With: "ESMTP", Priority: priority, Time: time.Unix(0, 0)}))
		if has := strings.Contains(strings.Join(strings.Fields(got), " "), " priority "+strconv.Itoa(int(priority))+";"); has != want {
			t.Errorf("%d: %q", priority, got)
		}
	}
}
