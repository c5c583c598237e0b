package smtpclient

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
)

// newQuery asks for user@to.test from the null sender.
func newQuery(servers []netip.AddrPort) *proto.CalloutQuery {
	return &proto.CalloutQuery{
		Transport: "smtp",
		NextHop:   "to.test",
		Hosts:     newJob(servers).Hosts,
		Recipient: mailaddr.MustParse("user@to.test"),
		Timeout:   20_000,
	}
}

func callOutOf(t testing.TB, c *Client, q *proto.CalloutQuery, wants string) proto.CalloutAnswer {
	t.Helper()
	a := c.CallOut(context.Background(), q)
	want(t, []outcome.Outcome{a.Outcome}, wants)
	return a
}

const (
	mailNull = "C: MAIL FROM:<>\nS: 250 2.1.0 ok\n"
	rsetOK   = "C: RSET\nS: 250 2.0.0 ok\n"
)

func TestCallOutAsksAndSendsNothing(t *testing.T) {
	for _, tt := range []struct{ reply, want string }{
		{"250 2.1.5 ok", "delivered 250 2.1.5"},
		{"251 2.1.5 will forward", "delivered 251 2.1.5"},
		{"550 5.1.1 no such user", "failed rcpt 550 5.1.1"},
		{"553 no", "failed rcpt 553 5.0.0"},
		{"450 4.2.0 later", "deferred rcpt 450 4.2.0"},
		{"552 5.2.2 full", "deferred rcpt 552 4.2.2"},
	} {
		srv := smtptest.Play(t, hello("PIPELINING")+mailNull+"C: RCPT TO:<user@to.test>\nS: "+tt.reply+"\n"+rsetOK)
		a := callOutOf(t, newClient(t), newQuery(to(srv.Addr())), tt.want)
		if a.AcceptsAll || a.Outcome.Remote != "mx1.to.test" || !strings.Contains(tt.reply, a.Outcome.Text.ForWire()) {
			t.Errorf("%s: %+v", tt.reply, a)
		}
	}
}

func TestCallOutFindsOutThatAServerTakesEverything(t *testing.T) {
	for reply, all := range map[string]bool{"250 ok": true, "550 no": false, "450 wait": false} {
		srv := smtptest.Play(t, hello()+mailNull+"C: RCPT TO:<nobody-1@to.test>\nS: "+reply+"\nC: RCPT TO:<user@to.test>\nS: 250 2.1.5 ok\n"+rsetOK)
		q := newQuery(to(srv.Addr()))
		q.Random = mailaddr.MustParse("nobody-1@to.test")
		if a := callOutOf(t, newClient(t), q, "delivered 250 2.1.5"); a.AcceptsAll != all {
			t.Errorf("%s: %v", reply, a.AcceptsAll)
		}
	}
}

func TestWhatIsNotSaidOfTheRecipientProvesNothing(t *testing.T) {
	for name, tt := range map[string]struct{ script, want string }{
		"greeting": {"S: 554 5.7.1 go away", "deferred greeting 554 4.7.1"},
		"EHLO":     {"S: 220 hi\nC: EHLO*\nS: 550 5.7.1 no\nC: HELO*\nS: 550 5.7.1 no", "deferred helo 550 4.7.1"},
		"MAIL 5xx": {hello() + "C: MAIL FROM:<>\nS: 550 5.7.1 no null senders", "deferred mail 550 4.7.1"},
		"MAIL 4xx": {hello() + "C: MAIL FROM:<>\nS: 451 4.7.1 wait", "deferred mail 451 4.7.1"},
		"RCPT 503": {hello() + mailNull + "C: RCPT*\nS: 503 5.5.1 what?", "deferred protocol 503 4.5.1"},
		"RCPT 354": {hello() + mailNull + "C: RCPT*\nS: 354 go", "deferred protocol 354 4.0.0"},
		"RCPT 421": {hello() + mailNull + "C: RCPT*\nS: 421 4.3.2 bye", "deferred rcpt 421 4.3.2"},
		"hung up":  {hello() + mailNull + "C: RCPT*\nCLOSE", "deferred lost 4.4.2"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.Play(t, tt.script)
			callOutOf(t, newClient(t), newQuery(to(srv.Addr())), tt.want)
		})
	}
	callOutOf(t, newClient(t), newQuery(to(nobody(t), nobody(t))), "deferred refused 4.4.1")
	q := newQuery(nil)
	callOutOf(t, newClient(t), q, "deferred internal 4.3.0")
	q.Transport = "disk"
	callOutOf(t, newClient(t), q, "deferred internal 4.3.0")
}

func TestCallOutAsksTheNextHost(t *testing.T) {
	for _, script := range []string{"S: 421 4.3.2 busy", hello() + "C: MAIL*\nS: 451 4.3.0 wait", hello() + mailNull + "C: RCPT*\nCLOSE"} {
		first := smtptest.Play(t, script)
		second := smtptest.Play(t, hello()+mailNull+"C: RCPT*\nS: 550 5.1.1 no\n"+rsetOK)
		callOutOf(t, newClient(t), newQuery(to(first.Addr(), nobody(t), second.Addr())), "failed rcpt 550 5.1.1")
	}
}

func TestCallOutAndDeliveryShareAConnection(t *testing.T) {
	srv := smtptest.Play(t, hello()+mailNull+"C: RCPT*\nS: 250 2.1.5 ok\n"+rsetOK+secret+"\n"+mailNull+"C: RCPT*\nS: 550 5.1.1 no\n"+rsetOK)
	c := newClient(t)
	callOutOf(t, c, newQuery(to(srv.Addr())), "delivered 250 2.1.5")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	callOutOf(t, c, newQuery(to(srv.Addr())), "failed rcpt 550 5.1.1")
}

func TestServerThatCannotForgetIsLeft(t *testing.T) {
	srv := smtptest.Play(t, hello()+mailNull+"C: RCPT*\nS: 250 2.1.5 ok\nC: RSET\nS: 502 5.5.1 what?", hello()+secret)
	c := newClient(t)
	callOutOf(t, c, newQuery(to(srv.Addr())), "delivered 250 2.1.5")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestKeptConnectionThatDiedIsReplacedForACallOut(t *testing.T) {
	srv := smtptest.Play(t, hello()+secret+"\nCLOSE", hello()+mailNull+"C: RCPT*\nS: 250 2.1.5 ok\n"+rsetOK)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	callOutOf(t, c, newQuery(to(srv.Addr())), "delivered 250 2.1.5")
}

func TestInternationalizedRecipientIsAskedForWithSMTPUTF8(t *testing.T) {
	srv := smtptest.Play(t, hello("SMTPUTF8")+"C: MAIL FROM:<> SMTPUTF8\nS: 250 ok\nC: RCPT TO:<é@to.test>\nS: 250 2.1.5 ok\n"+rsetOK)
	q := newQuery(to(srv.Addr()))
	q.Recipient = mailaddr.MustParse("é@to.test")
	callOutOf(t, newClient(t), q, "delivered 250 2.1.5")
	srv = smtptest.Play(t, hello())
	q.Hosts = newQuery(to(srv.Addr())).Hosts
	callOutOf(t, newClient(t), q, "failed content 5.6.7")
}

func TestCallOutEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		dials := 0
		c.dial = func(ctx context.Context, _ *target) (net.Conn, error) {
			if dials++; dials == 1 {
				<-ctx.Done() // a host that swallows packets
				return nil, ctx.Err()
			}
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return ours, nil // and one that says nothing
		}
		q := newQuery([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:25"), netip.MustParseAddrPort("192.0.2.2:25")})
		q.Timeout = 500
		callOutOf(t, c, q, "deferred timeout 4.4.2")
		if dials != 2 {
			t.Errorf("%d hosts", dials)
		}
	})
}

func TestCallOutsHavePlacesOfTheirOwn(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	for range maxCallOuts {
		c.callOuts <- struct{}{}
	}
	q := newQuery(to(sink.Addr()))
	q.Timeout = 1
	callOutOf(t, c, q, "deferred busy 4.3.0")
	want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
}
