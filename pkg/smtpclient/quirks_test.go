package smtpclient

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

const (
	greet     = "S: 220 server.test\n"
	noEHLO    = greet + "C: EHLO client.test\nS: 502 5.5.1 what?\n"
	takesHELO = "C: HELO client.test\nS: 250 server.test"
)

// lastSeen delivers and gives what the last server showed.
func lastSeen(t *testing.T, c *Client, job *proto.RemoteJob, wants ...string) *quirk.Seen {
	t.Helper()
	done := c.Deliver(context.Background(), job, nil)
	want(t, done.Outcomes, wants...)
	if n := len(done.Tried); n > 0 && done.Tried[n-1].Seen != nil {
		return done.Tried[n-1].Seen
	}
	t.Fatal("nothing was seen")
	return nil
}

// mailWith is secret with parameters of MAIL.
func mailWith(params string) string {
	return strings.Replace(secret, "<sender@from.test>", "<sender@from.test>"+params, 1)
}

// played is a job for a server that plays scripts.
type played struct{ j *proto.RemoteJob }

func (p played) job() *proto.RemoteJob { return p.j }

// hinted is the job with advice for its host.
func hinted(a quirk.Advice, p played) *proto.RemoteJob {
	p.j.Hints = []proto.Hint{{Addr: p.j.Hosts[0].Addr, Advice: a}}
	return p.j
}

func play(t *testing.T, scripts ...string) played {
	return played{newJob(to(smtptest.Play(t, scripts...).Addr()))}
}

var useHELO = quirk.Advice{HELO: true}

func TestRefusedEHLOIsTold(t *testing.T) {
	seen := lastSeen(t, newClient(t), play(t, noEHLO+takesHELO+secret).job(), "delivered 250 2.0.0")
	if seen.EHLO.How != quirk.HowRefused || seen.EHLO.Code != 502 || !seen.EHLO.Text.Equal("5.5.1 what?") || seen.Greeted {
		t.Errorf("%+v", seen)
	}
}

func TestDroppedEHLOIsTold(t *testing.T) {
	seen := lastSeen(t, newClient(t), play(t, greet+"C: EHLO*\nCLOSE", greet+takesHELO+secret).job(), "delivered 250 2.0.0")
	if seen.EHLO.How != quirk.HowDropped || seen.Greeted {
		t.Errorf("%+v", seen)
	}
}

func TestServerThatRefusesEveryGreetingTellsNothingOfEHLO(t *testing.T) {
	seen := lastSeen(t, newClient(t), play(t, noEHLO+"C: HELO*\nS: 550 5.7.1 go away").job(), "deferred helo 550 4.7.1")
	if seen.EHLO.How != quirk.HowNot {
		t.Errorf("%+v", seen)
	}
}

func TestExtensionsAndTLSAreTold(t *testing.T) {
	srv := play(t, hello("STARTTLS")+"C: STARTTLS\nS: 220 go\nTLS\n"+
		"C: EHLO client.test\nS: 250-server.test\nS: 250-size 1000\nS: 250-bad_word\nS: 250 8BITMIME\n"+
		mailWith(" SIZE=25"))
	seen := lastSeen(t, newClient(t), srv.job(), "delivered 250 2.0.0")
	if !seen.Greeted || !seen.Offered || !seen.Secured || seen.Size != 1000 || !slices.Equal(seen.Extensions, []string{"8BITMIME", "SIZE"}) {
		t.Errorf("%+v", seen)
	}
	for _, s := range quirk.Steps() {
		if seen.Times[s] == 0 {
			t.Errorf("no time for %s", s)
		}
	}
}

func TestFailedHandshakeIsTold(t *testing.T) {
	srv := play(t, hello("STARTTLS")+"C: STARTTLS\nS: 220 go\nCLOSE", hello("STARTTLS")+secret)
	seen := lastSeen(t, newClient(t), srv.job(), "delivered 250 2.0.0")
	if seen.TLS.How != quirk.HowBroken || !seen.Offered || seen.Secured {
		t.Errorf("%+v", seen)
	}
}

func TestAdvisedHELOIsSaidAtOnce(t *testing.T) {
	seen := lastSeen(t, newClient(t), hinted(useHELO, play(t, greet+takesHELO+secret)), "delivered 250 2.0.0")
	if seen.EHLO.How != quirk.HowNot || seen.Greeted {
		t.Errorf("what was not tried is told: %+v", seen)
	}
}

func TestAdvisedHELOThatFailsIsFollowedByEHLO(t *testing.T) {
	for name, end := range map[string]string{"refused": "S: 502 5.5.1 say EHLO", "dropped": "CLOSE"} {
		t.Run(name, func(t *testing.T) {
			srv := play(t, greet+"C: HELO client.test\n"+end, hello("SIZE")+
				mailWith(" SIZE=25"))
			if seen := lastSeen(t, newClient(t), hinted(useHELO, srv), "delivered 250 2.0.0"); !seen.Greeted {
				t.Errorf("%+v", seen)
			}
		})
	}
}

func TestAdviceTakesNoTLSFromWhoNeedsIt(t *testing.T) {
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.Username, tr.Password = "ann", "secret" }))
	for _, tt := range []struct {
		name string
		t    target
		want bool
	}{
		{"opportunistic", target{route: (*newClient(t).routes.Load())["smtp"]}, true},
		{"who logs in", target{route: (*c.routes.Load())["smtp"], login: loginOf("ann", "secret")}, false},
		{"LMTP", target{route: (*c.routes.Load())["lmtp"]}, false},
	} {
		if got := tt.t.mayBeShort(); got != tt.want {
			t.Errorf("%s: HELO %v", tt.name, got)
		}
	}
}

func TestNothingIsAlteredBecauseOfWhatIsRemembered(t *testing.T) {
	job := hinted(useHELO, play(t, greet+takesHELO+"\nDRAIN", hello("8BITMIME")+
		mailWith(" BODY=8BITMIME")))
	job.Has8Bit = true
	setContent(job, "Subject: test\r\n\r\nGr\xc3\xbc\xc3\x9fe.\r\n")
	if seen := lastSeen(t, newClient(t), job, "delivered 250 2.0.0"); !seen.Greeted {
		t.Errorf("%+v", seen)
	}
}

func TestAdvisedOneByOneSendsNothingAhead(t *testing.T) {
	// The script's server takes one command after the other, and PIPELINING would be seen.
	job := hinted(quirk.Advice{OneByOne: true}, play(t, hello("PIPELINING")+secret))
	want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
}

func TestServerThatLosesCountIsTold(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "503 what?", "503 what?", "503 what?"))
	done := newClient(t).Deliver(context.Background(), newJob(to(srv.Addr()), "a@to.test", "b@to.test"), nil)
	if seen := done.Tried[0].Seen; seen == nil || seen.OutOfStep.How != quirk.HowBroken || seen.OutOfStep.Code != 503 {
		t.Errorf("%+v", seen)
	}
}

func TestTooManyRecipientsAreTold(t *testing.T) {
	sink := smtptest.Play(t, pipelined("250 ok", "250 ok", "452 4.5.3 too many", "354 go")+"DATA\nS: 250 2.0.0 ok\n"+
		"C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nDATA\nS: 250 2.0.0 ok")
	seen := lastSeen(t, newClient(t), newJob(to(sink.Addr()), "a@to.test", "b@to.test"), "delivered 250 2.0.0", "delivered 250 2.0.0")
	if seen.TooMany.Code != 452 || seen.Took != 1 {
		t.Errorf("%+v", seen)
	}
}

func TestKeptConnectionTellsNothingNew(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	lastSeen(t, c, newJob(to(sink.Addr())), "delivered 250 2.0.0")
	done := c.Deliver(context.Background(), newJob(to(sink.Addr())), nil)
	if len(done.Tried) != 1 || done.Tried[0].Seen != nil {
		t.Errorf("%+v", done.Tried)
	}
}

func TestWishesOfTheSenderAreNotLostByWhatIsRemembered(t *testing.T) {
	for name, change := range map[string]func(*proto.RemoteJob){
		"NOTIFY":   func(j *proto.RemoteJob) { j.Recipients[0].Notify = envelope.NotifyNever },
		"priority": func(j *proto.RemoteJob) { j.Priority = -3 },
		"time": func(j *proto.RemoteJob) {
			j.By = envelope.DeliverBy{Mode: envelope.ByNotify, At: time.Now().Add(time.Hour)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			job := hinted(useHELO, play(t, hello()+mailWith("")))
			change(job)
			if seen := lastSeen(t, newClient(t), job, "delivered 250 2.0.0"); !seen.Greeted {
				t.Errorf("%+v", seen)
			}
		})
	}
}
