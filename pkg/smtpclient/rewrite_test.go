package smtpclient

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

// leaving is transport smtp with rules of the way out.
func leaving(rules ...settings.Rewrite) func(*settings.Settings) {
	return func(s *settings.Settings) {
		s.Rewrites = rules
		for _, r := range rules {
			transport("smtp", func(tr *settings.Transport) { tr.Rewrites = append(tr.Rewrites, r.Name) })(s)
		}
	}
}

func outward(sources ...string) settings.Rewrite {
	return settings.Rewrite{Name: "outward", Sources: sources, Match: "*@*.from.test", To: "{1}@from.test"}
}

func asking(sources ...string) settings.Rewrite {
	return settings.Rewrite{Name: "asking", Sources: sources, Match: "*@from.test", To: "{lookup:names:local_part}@from.test"}
}

const inside = "From: Me <me@pc.from.test>\r\nTo: you@to.test (a),\r\n\t\"x\" <they@b.from.test>\r\nX-Odd:  me@pc.from.test \t\r\n\r\nFrom: me@pc.from.test\r\n"

func TestRulesOfTheTransportRewriteWhatTheyName(t *testing.T) {
	outside := strings.Replace(inside, "me@pc.from.test", "me@from.test", 1)
	for _, tt := range []struct{ source, from, to, content string }{
		{"envelope-sender", "<me@from.test>", "<you@to.from.test>", inside},
		{"envelope-recipients", "<me@pc.from.test>", "<you@from.test>", inside},
		{"from", "<me@pc.from.test>", "<you@to.from.test>", outside},
		{"to", "<me@pc.from.test>", "<you@to.from.test>", strings.Replace(inside, "they@b.from.test", "they@from.test", 1)},
		{"all", "<me@from.test>", "<you@from.test>", strings.Replace(outside, "they@b.from.test", "they@from.test", 1)},
	} {
		for _, extensions := range [][]string{{"PIPELINING"}, {"CHUNKING"}} {
			sink := smtptest.Drink(t, smtptest.Options{Extensions: extensions})
			job := newJob(to(sink.Addr()), "you@to.from.test")
			job.Sender = mailaddr.MustParse("me@pc.from.test")
			setContent(job, inside)
			want(t, deliver(t, newClient(t, leaving(outward(tt.source))), job), "delivered 250 2.0.0")
			m := sink.Mails()[0]
			if m.From != tt.from || strings.Join(m.To, " ") != tt.to || m.Content != tt.content {
				t.Errorf("%s: %s to %v:\n%s", tt.source, m.From, m.To, m.Content)
			}
			if job.Sender.Domain() != "pc.from.test" || job.Recipients[0].Address.Domain() != "to.from.test" || string(job.Content.Inline) != inside {
				t.Error("the caller's job was changed")
			}
		}
	}
}

func TestLargeMessageIsRewrittenToo(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	job := newJob(to(sink.Addr()))
	body := bigContent()
	f := inFile(t, job, inside+body)
	want(t, newClient(t, leaving(outward("from"))).Deliver(t.Context(), job, []*os.File{f}).Outcomes, "delivered 250 2.0.0")
	if got := sink.Mails()[0].Content; got != strings.Replace(inside, "me@pc.from.test", "me@from.test", 1)+body {
		t.Errorf("%.200q", got)
	}
}

func TestAddedFieldsAreRewrittenToo(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, leaving(outward("x-owner")), adding([]string{"X-Owner: {sender}"}, nil))
	job := newJob(to(sink.Addr()))
	job.Sender = mailaddr.MustParse("me@pc.from.test")
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	if got := sink.Mails()[0].Content; !strings.Contains(got, "X-Owner: me@from.test\r\n") {
		t.Errorf("%q", got)
	}
}

func TestRewrittenRecipientsKeepTheirOutcomesInOrder(t *testing.T) {
	srv := smtptest.Play(t, hello("PIPELINING")+`C: MAIL*
		C: RCPT TO:<a@from.test>
		C: RCPT TO:<b@to.test>
		C: RCPT TO:<c@from.test>
		C: DATA
		S: 250 ok
		S: 550 5.1.1 no a
		S: 250 ok
		S: 450 4.2.1 c later
		S: 354 go
		DATA
		S: 250 2.0.0 ok`)
	outs := deliver(t, newClient(t, leaving(outward("envelope-recipients"))), newJob(to(srv.Addr()), "a@x.from.test", "b@to.test", "c@y.from.test"))
	want(t, outs, "failed rcpt 550 5.1.1", "delivered 250 2.0.0", "deferred rcpt 450 4.2.1")
}

func TestSenderMadeASCIINeedsNoSMTPUTF8(t *testing.T) {
	ascii := settings.Rewrite{Name: "ascii", Sources: []string{"envelope-sender"}, Match: "jürgen@from.test", To: "juergen@from.test"}
	sink := smtptest.Drink(t, smtptest.Options{})
	job := newJob(to(sink.Addr()))
	job.Sender, job.UTF8 = mailaddr.MustParse("jürgen@from.test"), true
	want(t, deliver(t, newClient(t), job), "failed content 5.6.7")
	want(t, deliver(t, newClient(t, leaving(ascii)), job), "delivered 250 2.0.0")
	// And the other way round: an address that came in by a rule needs it.
	intl := settings.Rewrite{Name: "intl", Sources: []string{"from"}, Match: "me@pc.from.test", To: "ärger@from.test"}
	job = newJob(to(sink.Addr()))
	setContent(job, inside)
	want(t, deliver(t, newClient(t, leaving(intl)), job), "failed content 5.6.7")
}

func TestHeaderMadeASCIINeedsNoSMTPUTF8(t *testing.T) {
	ascii := settings.Rewrite{Name: "ascii", Sources: []string{"from"}, Match: "jürgen@from.test", To: "juergen@from.test"}
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"PIPELINING"}})
	job := newJob(to(sink.Addr()))
	job.UTF8, job.Has8Bit = true, true
	setContent(job, "From: jürgen@from.test\r\n\r\nbody\r\n")
	want(t, deliver(t, newClient(t, leaving(ascii)), job), "delivered 250 2.0.0")
}

// fakeRouter answers lookups.
type fakeRouter struct {
	asked []string
	reply func(name, key string) (proto.LookupAnswer, error)
}

func (r *fakeRouter) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	q := req.(*proto.LookupQuery)
	r.asked = append(r.asked, q.Name+":"+q.Key)
	a, err := r.reply(q.Name, q.Key)
	*reply.(*proto.LookupAnswer) = a
	return err
}

func TestRulesAskRouterEachKeyOnce(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, leaving(asking("from", "reply-to", "envelope-sender")))
	r := &fakeRouter{reply: func(_, key string) (proto.LookupAnswer, error) {
		if key == "me" {
			return proto.LookupAnswer{Found: true, Values: []string{"ada.lovelace", "ignored"}}, nil
		}
		return proto.LookupAnswer{}, nil
	}}
	c.router = r
	job := newJob(to(sink.Addr()))
	setContent(job, "From: me@from.test\r\nReply-To: me@from.test, sender@from.test\r\n\r\nbody\r\n")
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	if got := sink.Mails()[0].Content; got != "From: ada.lovelace@from.test\r\nReply-To: ada.lovelace@from.test, sender@from.test\r\n\r\nbody\r\n" {
		t.Errorf("%q", got)
	}
	if got := strings.Join(r.asked, " "); got != "names:me names:sender" {
		t.Error(got)
	}
}

func TestMailWaitsForALookupThatCannotBeAsked(t *testing.T) {
	for name, r := range map[string]inquiry.Caller{
		"no router": nil,
		"gone":      &fakeRouter{reply: func(_, _ string) (proto.LookupAnswer, error) { return proto.LookupAnswer{}, errors.New("gone") }},
		"trouble":   &fakeRouter{reply: func(_, _ string) (proto.LookupAnswer, error) { return proto.LookupAnswer{Trouble: "LDAP is down"}, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, source := range []string{"from", "envelope-sender", "envelope-recipients"} {
				c := newClient(t, leaving(asking(source)))
				c.router = r
				job := newJob(to(nobody(t)), "a@from.test", "b@to.test")
				setContent(job, "From: me@from.test\r\n\r\nbody\r\n")
				outs := deliver(t, c, job)
				want(t, outs, "deferred internal 4.3.0", "deferred internal 4.3.0")
				if name == "trouble" && !strings.Contains(outs[0].Text.ForLog(), "LDAP is down") {
					t.Error(outs[0].Text.ForLog())
				}
			}
		})
	}
}

func TestHeaderThatGrowsTooMuchFails(t *testing.T) {
	grow := settings.Rewrite{Name: "grow", Sources: []string{"to"}, Match: "*@a.test", To: "{1}@" + strings.Repeat("long.", 45) + "test"}
	job := newJob(to(nobody(t)))
	setContent(job, "To: x@a.test"+strings.Repeat(",\r\n x@a.test", 4000)+"\r\n\r\nbody\r\n")
	want(t, deliver(t, newClient(t, leaving(grow)), job), "failed content 5.6.0")
}

func TestRewritesAreToldWhenAskedFor(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	for _, tells := range []bool{false, true} {
		c := newClient(t, leaving(outward("from")), func(s *settings.Settings) { s.Log.Rewrites = tells })
		var log bytes.Buffer
		c.log = event.New(&log, "smtp-client", event.Options{Direct: true})
		job := newJob(to(sink.Addr()))
		setContent(job, inside)
		want(t, deliver(t, c, job), "delivered 250 2.0.0")
		if strings.Contains(log.String(), "outward") != tells {
			t.Errorf("%v: %s", tells, log.String())
		}
	}
}

// lookupDaemon is router, as far as lookups go.
type lookupDaemon struct{}

func (lookupDaemon) Open(*service.Process) error               { return nil }
func (lookupDaemon) Confinement(*service.Process) privsep.Spec { return privsep.Spec{} }
func (lookupDaemon) Serve(ctx context.Context, p *service.Process) error {
	server := p.Accept(func(_ context.Context, c *ipc.Call) {
		var q proto.LookupQuery
		if c.Decode(&q) == nil {
			c.Reply(&proto.LookupAnswer{Found: true, Values: []string{"found"}})
		}
	}, ipc.ServerOptions{}, string(proto.SMTPClient))
	<-p.Draining()
	return server.Shutdown(ctx)
}

func TestDaemonAsksRouterOverItsArrow(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	s := settings.Default()
	s.Hostname = "client.test"
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", TimeoutScale: 1}}
	leaving(asking("envelope-sender"))(s)
	suite := servicetest.New(t, s, nil)
	suite.Start(proto.Router, lookupDaemon{})
	suite.Start(proto.SMTPClient, New())
	client := suite.Client(string(proto.Dispatch), proto.SMTPClient, ipc.ClientOptions{})
	var done proto.RemoteDone
	if err := client.Call(t.Context(), newJob(to(sink.Addr())), &done); err != nil {
		t.Fatal(err)
	}
	want(t, done.Outcomes, "delivered 250 2.0.0")
	if got := sink.Mails()[0].From; !strings.HasPrefix(got, "<found@from.test>") {
		t.Error(got)
	}
}
