package smtpclient

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

// nobody is an address where connections are refused.
func nobody(t *testing.T) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func TestNextHostIsTried(t *testing.T) {
	for name, script := range map[string]string{
		"greeting 4xx":               "S: 450 4.3.2 busy",
		"greeting 421":               "S: 421 4.3.2 busy\nCLOSE",
		"greeting 5xx":               "S: 554 5.7.1 no service here",
		"greeting without a code":    "S: welcome",
		"hung up before greeting":    "CLOSE",
		"EHLO 4xx":                   "S: 220 hi\nC: EHLO*\nS: 451 4.3.0 later",
		"EHLO and HELO refused":      "S: 220 hi\nC: EHLO*\nS: 550 5.7.1 no\nC: HELO*\nS: 550 5.7.1 no",
		"octets behind the greeting": `S~ 220 hi\r\n220 again\r\n`,
		"octets behind EHLO's reply": "S: 220 hi\nC: EHLO*\n" + `S~ 250 hi\r\n250 again\r\n`,
		"MAIL 4xx":                   pipelined("451 4.3.0 later", "503 no", "503 no", "503 no"),
		"MAIL 421":                   pipelined("421 4.3.0 later", "", "", "") + "CLOSE",
		"lost before content":        pipelined("250 ok", "250 ok", "", "") + "CLOSE",
		"reset before content":       pipelined("250 ok", "250 ok", "", "") + "RESET",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := smtptest.Play(t, script)
			second := smtptest.Drink(t, smtptest.Options{})
			want(t, deliver(t, newClient(t), newJob(to(first.Addr(), second.Addr()), "a@to.test", "b@to.test")),
				"delivered 250 2.0.0", "delivered 250 2.0.0")
		})
	}
}

func TestNextHostIsTriedWhenRefused(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	outs := deliver(t, newClient(t), newJob(to(nobody(t), sink.Addr())))
	want(t, outs, "delivered 250 2.0.0")
	if outs[0].Remote != "mx2.to.test" {
		t.Errorf("by %s", outs[0].Remote)
	}
}

func TestNextHostGetsOnlyWhoIsStillOwed(t *testing.T) {
	first := smtptest.Play(t, pipelined("250 ok", "550 5.1.1 who?", "", "")+"CLOSE")
	second := smtptest.Drink(t, smtptest.Options{})
	want(t, deliver(t, newClient(t), newJob(to(first.Addr(), second.Addr()), "a@to.test", "b@to.test")),
		"failed rcpt 550 5.1.1", "delivered 250 2.0.0")
	if m := second.Mails(); len(m) != 1 || len(m[0].To) != 1 || !strings.HasPrefix(m[0].To[0], "<b@") {
		t.Errorf("%+v", m)
	}
}

func TestVerdictOnMessageIsNotTakenElsewhere(t *testing.T) {
	for name, script := range map[string]string{
		"RCPT 4xx": pipelined("250 ok", "450 4.2.1 greylisted", "450 4.2.1 greylisted", "503 no"),
		"DATA 4xx": pipelined("250 ok", "250 ok", "250 ok", "451 no"),
		"dot 4xx":  pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 451 no",
		"MAIL 5xx": pipelined("550 no", "503 no", "503 no", "503 no"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := smtptest.Play(t, script)
			second := smtptest.Play(t)
			for _, o := range deliver(t, newClient(t), newJob(to(first.Addr(), second.Addr()), "a@to.test", "b@to.test")) {
				if o.Remote != "mx1.to.test" {
					t.Errorf("%s by %s", say(o), o.Remote)
				}
			}
		})
	}
}

func TestOutcomeWithoutAServer(t *testing.T) {
	for _, tt := range []struct {
		name string
		addr netip.AddrPort
		want string
	}{
		{"refused", nobody(t), "deferred refused 4.4.1"},
		{"unreachable", netip.MustParseAddrPort("[fe80::1]:25"), "deferred unreachable 4.4.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want(t, deliver(t, newClient(t), newJob(to(tt.addr))), tt.want)
		})
	}
}

func TestRefusedGreetingIsQuoted(t *testing.T) {
	srv := smtptest.Play(t, "S: 554 5.7.1 your address is on a list")
	outs := deliver(t, newClient(t), newJob(to(srv.Addr())))
	want(t, outs, "deferred greeting 554 4.7.1")
	if !strings.Contains(outs[0].Text.ForLog(), "on a list") || outs[0].Remote != "mx1.to.test" {
		t.Errorf("%+v %s", outs[0], outs[0].Text.ForLog())
	}
}

func TestHELOFollowsRefusedEHLO(t *testing.T) {
	for _, code := range []string{"500", "502", "550"} {
		srv := smtptest.Play(t, "S: 220 hi\nC: EHLO client.test\nS: "+code+` what?
			C: HELO client.test
			S: 250 hi
			C: MAIL FROM:<sender@from.test>
			S: 250 ok
			C: RCPT TO:<rcpt@to.test>
			S: 250 ok
			C: DATA
			S: 354 go
			DATA
			S: 250 ok`)
		want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	}
}

func TestHangingUpAtEHLOGetsHELOOnAFreshConnection(t *testing.T) {
	srv := smtptest.Play(t,
		"S: 220 hi\nC: EHLO client.test\nCLOSE",
		`S: 220 hi
		C: HELO client.test
		S: 250 hi
		C: MAIL FROM:<sender@from.test>
		S: 250 ok
		C: RCPT TO:<rcpt@to.test>
		S: 250 ok
		C: DATA
		S: 354 go
		DATA
		S: 250 ok`)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestOwnNameOnOwnPortIsALoop(t *testing.T) {
	srv := smtptest.Play(t, "S: 220 hi\nC: EHLO*\nS: 250 CLIENT.test hello")
	second := smtptest.Play(t)
	c := newClient(t)
	(*c.routes.Load())["smtp"].loopPort = srv.Addr().Port()
	want(t, deliver(t, c, newJob(to(srv.Addr(), second.Addr()))), "failed loop 5.4.6")
}

func TestOwnNameOnAnotherPortIsNoLoop(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Name: "client.test"})
	want(t, deliver(t, newClient(t), newJob(to(sink.Addr()))), "delivered 250 2.0.0")
}

func TestHELONameOfTheTransport(t *testing.T) {
	srv := smtptest.Play(t, "S: 220 hi\nC: EHLO other.test\nS: 451 later")
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.HELO = "other.test" }))
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "deferred helo 451 4.0.0")
}

func TestSourceAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	from := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		from <- c.RemoteAddr().String()
		c.Close()
	}()
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.SourceAddresses = []string{"::1", "127.0.0.9"} }))
	deliver(t, c, newJob(to(netip.MustParseAddrPort(l.Addr().String()))))
	if got := <-from; !strings.HasPrefix(got, "127.0.0.9:") {
		t.Errorf("from %s", got)
	}
}

func TestUnknownTransportDefers(t *testing.T) {
	for _, name := range []string{"gone", "disk"} {
		job := newJob(to(nobody(t)))
		job.Transport = name
		want(t, deliver(t, newClient(t), job), "deferred internal 4.3.0")
	}
}

func TestSilentServerTimesOut(t *testing.T) {
	for name, script := range map[string]string{
		"greeting":   "DRAIN",
		"EHLO":       "S: 220 hi\nDRAIN",
		"MAIL":       pipelined("", "", "", "") + "DRAIN",
		"RCPT":       pipelined("250 ok", "", "", "") + "DRAIN",
		"DATA":       pipelined("250 ok", "250 ok", "250 ok", "") + "DRAIN",
		"dot":        pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DRAIN",
		"mid reply":  "S~ 220-hi\\r\\n220\nDRAIN",
		"mid reply2": "S: 220-hi\nDRAIN",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, script)
			c := newClient(t)
			to1ms(c)
			want(t, deliver(t, c, newJob(to(srv.Addr()), "a@to.test", "b@to.test")), "deferred timeout 4.4.2", "deferred timeout 4.4.2")
		})
	}
}

// to1ms shortens the waits for replies.
func to1ms(c *Client) {
	for _, r := range *c.routes.Load() {
		job := r.to.job
		r.to = scaledTimeouts(0)
		r.to.mail, r.to.dataBlock, r.to.job = 50e6, 50e6, job // writes share the first
		r.to.greeting, r.to.rcpt, r.to.dataInit, r.to.dataEnd = 50e6, 50e6, 50e6, 50e6
	}
}

// A source address that this machine does not have is no failure of the server's.
func TestSourceAddressThatIsNotOursIsNotTheServersFault(t *testing.T) {
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.SourceAddresses = []string{"192.0.2.99"} }))
	outs := deliver(t, c, newJob(to(nobody(t))))
	want(t, outs, "deferred internal 4.3.0")
	if text := outs[0].Text.ForLog(); !strings.Contains(text, "192.0.2.99 (source_addresses)") {
		t.Errorf("it says %s", text)
	}
}
