package smtpclient

import (
	"testing"

	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

const secret = `
	C: MAIL FROM:<sender@from.test>
	S: 250 ok
	C: RCPT TO:<rcpt@to.test>
	S: 250 ok
	C: DATA
	S: 354 go
	DATA
	S: 250 2.0.0 ok`

const helloAgain = "C: EHLO client.test\nS: 250 server.test\n"

func TestOpportunisticTLSWithSelfSignedCertificate(t *testing.T) {
	srv := smtptest.Play(t, hello("STARTTLS")+"C: STARTTLS\nS: 220 go\nTLS\n"+helloAgain+secret)
	outs := deliver(t, newClient(t), newJob(to(srv.Addr())))
	want(t, outs, "delivered 250 2.0.0")
	if outs[0].TLS != "TLSv1.3" {
		t.Errorf("TLS %q", outs[0].TLS)
	}
}

func TestWhatWasOfferedInClearDoesNotCount(t *testing.T) {
	// RFC 3207, section 4.2.
	srv := smtptest.Play(t, hello("STARTTLS", "PIPELINING", "SIZE 1", "CHUNKING")+"C: STARTTLS\nS: 220 go\nTLS\n"+helloAgain+secret)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestTLSOff(t *testing.T) {
	srv := smtptest.Play(t, hello("STARTTLS")+secret)
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.TLS = "off" }))
	outs := deliver(t, c, newJob(to(srv.Addr())))
	want(t, outs, "delivered 250 2.0.0")
	if outs[0].TLS != "" {
		t.Errorf("TLS %q", outs[0].TLS)
	}
}

func TestRefusedSTARTTLSGoesOnInClear(t *testing.T) {
	for _, reply := range []string{"454 4.7.0 not now", "502 5.5.1 what?", "554 no"} {
		srv := smtptest.Play(t, hello("STARTTLS")+"C: STARTTLS\nS: "+reply+secret)
		want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	}
}

func TestFailedHandshakeIsFollowedByClearText(t *testing.T) {
	for name, script := range map[string]string{
		"nonsense": hello("STARTTLS") + "C: STARTTLS\nS: 220 go\nBADTLS\nDRAIN",
		"close":    hello("STARTTLS") + "C: STARTTLS\nS: 220 go\nCLOSE",
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.Play(t, script, hello("STARTTLS")+secret)
			outs := deliver(t, newClient(t), newJob(to(srv.Addr())))
			want(t, outs, "delivered 250 2.0.0")
			if outs[0].TLS != "" {
				t.Errorf("TLS %q", outs[0].TLS)
			}
		})
	}
}

func TestOctetsBehindSTARTTLSAreAnAttack(t *testing.T) {
	srv := smtptest.Play(t, hello("STARTTLS")+"C: STARTTLS\n"+`S~ 220 go\r\n250-evil.test\r\n250 AUTH PLAIN\r\n`)
	second := smtptest.Drink(t, smtptest.Options{})
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), "deferred protocol 4.5.0")
	srv = smtptest.Play(t, hello("STARTTLS")+"C: STARTTLS\n"+`S~ 220 go\r\n250-evil.test\r\n250 AUTH PLAIN\r\n`)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr(), second.Addr()))), "delivered 250 2.0.0")
}

func TestNonsenseToSTARTTLSDefers(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"354 go", "deferred protocol 354 4.0.0"}, {"503 no", "deferred protocol 503 4.0.0"}, {"421 4.3.2 bye", "deferred tls 421 4.3.2"},
	} {
		srv := smtptest.Play(t, hello("STARTTLS")+"C: STARTTLS\nS: "+tt.reply)
		want(t, deliver(t, newClient(t), newJob(to(srv.Addr()))), tt.want)
	}
}

func TestTLSSessionsAreKeptAndShared(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"STARTTLS", "PIPELINING"}})
	c := newClient(t)
	for range 3 {
		want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
	}
	for _, m := range sink.Mails() {
		if m.Conn != 1 || !m.TLS {
			t.Errorf("connection %d, TLS %v", m.Conn, m.TLS)
		}
	}
}

func TestKeptTLSSessionThatSpokeIsNotUsed(t *testing.T) {
	srv := smtptest.Play(t,
		hello("STARTTLS")+"C: STARTTLS\nS: 220 go\nTLS\n"+helloAgain+secret+"\nS: 250 2.0.0 again",
		hello("STARTTLS")+"C: STARTTLS\nS: 220 go\nTLS\n"+helloAgain+secret)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	waitNoisy(t, c)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}
