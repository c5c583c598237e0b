package smtpclient

import (
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

// waitNoisy waits until something has arrived on the one connection that is
// kept.
func waitNoisy(t *testing.T, c *Client) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		c.pool.mu.Lock()
		quiet, kept := true, 0
		for _, st := range c.pool.sites {
			for _, s := range st.idle {
				quiet, kept = s.quiet(), kept+1
			}
		}
		c.pool.mu.Unlock()
		switch {
		case kept != 1:
			t.Fatalf("%d connections are kept", kept)
		case !quiet:
			return
		case time.Now().After(deadline):
			t.Fatal("nothing arrives")
		}
	}
}

func TestConnectionIsSharedBetweenMessages(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	for range 5 {
		want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
	}
	if n := sink.Conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestRSETOnlyWhereATransactionIsOpen(t *testing.T) {
	srv := smtptest.Play(t, hello("PIPELINING")+`
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		C: DATA
		S: 250 ok
		S: 550 5.1.1 who?
		S: 503 no
		C: RSET
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 250 ok
		S: 354 go
		DATA
		S: 250 2.0.0 ok
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		C: DATA
		S: 550 5.7.1 no
		S: 503 no
		S: 503 no
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<rcpt@to.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		DATA
		S: 554 5.6.0 no
		C: MAIL FROM:<sender@from.test>*
		C: RCPT TO:<rcpt@to.test>
		C: DATA
		S: 250 ok
		S: 250 ok
		S: 354 go
		DATA
		S: 250 2.0.0 ok`)
	c := newClient(t)
	for _, w := range []string{"failed rcpt 550 5.1.1", "delivered 250 2.0.0", "failed mail 550 5.7.1", "failed data 554 5.6.0", "delivered 250 2.0.0"} {
		want(t, deliver(t, c, newJob(to(srv.Addr()))), w)
	}
	c.Close()
	srv.Wait()
}

func TestRSETWithoutPipelining(t *testing.T) {
	srv := smtptest.Play(t, hello()+`
		C: MAIL FROM:<sender@from.test>
		S: 250 ok
		C: RCPT TO:<rcpt@to.test>
		S: 550 5.1.1 who?
		C: RSET
		S: 250 ok
		C: MAIL FROM:<sender@from.test>`+rest)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "failed rcpt 550 5.1.1")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

// first is a connection that takes one message and has the second begun.
const first = `
	C: MAIL FROM:<sender@from.test>
	C: RCPT TO:<rcpt@to.test>
	C: DATA
	S: 250 ok
	S: 250 ok
	S: 354 go
	DATA
	S: 250 2.0.0 ok
`

func TestDeadKeptConnectionCostsNothing(t *testing.T) {
	for name, end := range map[string]string{
		"closed":          "CLOSE",
		"reset":           "RESET",
		"421 when asked":  "C: MAIL*\nC: RCPT*\nC: DATA\nS: 421 4.4.2 idle too long\nCLOSE",
		"lost when asked": "C: MAIL*\nC: RCPT*\nC: DATA\nCLOSE",
		"nonsense":        "C: MAIL*\nC: RCPT*\nC: DATA\nS: what?",
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.Play(t, hello("PIPELINING")+first+end, hello("PIPELINING")+first)
			c := newClient(t)
			for range 2 {
				want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
			}
		})
	}
}

func TestKeptConnectionIsRetriedOnce(t *testing.T) {
	begun := "C: MAIL*\nC: RCPT*\nC: DATA\n"
	srv := smtptest.Play(t, hello("PIPELINING")+first+begun+"CLOSE", hello("PIPELINING")+begun+"S: 421 4.3.2 no\nCLOSE")
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "deferred mail 421 4.3.2")
}

func TestKeptConnectionThatAcknowledgedIsNotRetried(t *testing.T) {
	begun := "C: MAIL*\nC: RCPT*\nC: DATA\n"
	srv := smtptest.Play(t, hello("PIPELINING")+first+begun+"S: 250 ok\nCLOSE")
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "deferred lost 4.4.2")
}

func TestTemporaryRefusalOnKeptConnectionIsNotRetried(t *testing.T) {
	begun := "C: MAIL*\nC: RCPT*\nC: DATA\n"
	srv := smtptest.Play(t, hello("PIPELINING")+first+begun+"S: 451 4.3.0 no\nS: 503 no\nS: 503 no")
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "deferred mail 451 4.3.0")
}

func TestKeptConnectionThatSpokeIsNotUsed(t *testing.T) {
	// The second 250 would be taken for the answer to the next MAIL, and in
	// the end the 250 to RCPT for the acceptance of the message.
	srv := smtptest.Play(t, hello("PIPELINING")+strings.Replace(first, "S: 250 2.0.0 ok", "S: 250 2.0.0 ok\nS: 250 2.0.0 again", 1), hello("PIPELINING")+first)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	c.pool.mu.Lock()
	kept := c.pool.kept
	c.pool.mu.Unlock()
	if kept == 1 { // else both replies came at once, and it was dropped then
		waitNoisy(t, c)
	}
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
}

func TestReuseIsKeyedByTransportAndAddress(t *testing.T) {
	one, two := smtptest.Drink(t, smtptest.Options{}), smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, func(s *settings.Settings) {
		s.Transports["clear"] = settings.Transport{Driver: "smtp", TLS: "off"}
	})
	for _, name := range []string{"smtp", "clear", "smtp"} {
		for _, sink := range []*smtptest.Sink{one, two} {
			job := newJob(to(sink.Addr()))
			job.Transport = name
			want(t, deliver(t, c, job), "delivered 250 2.0.0")
		}
	}
	if one.Conns() != 2 || two.Conns() != 2 {
		t.Errorf("%d and %d connections", one.Conns(), two.Conns())
	}
}

func TestHostWithAConnectionIsPreferredAmongEquals(t *testing.T) {
	one, two := smtptest.Drink(t, smtptest.Options{}), smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(two.Addr()))), "delivered 250 2.0.0")
	job := newJob(to(one.Addr(), two.Addr()))
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	if one.Count() != 1 {
		t.Error("a host of a lower preference was preferred")
	}
	c.pool.flush()
	want(t, deliver(t, c, newJob(to(two.Addr()))), "delivered 250 2.0.0")
	job = newJob(to(one.Addr(), two.Addr()))
	job.Hosts[1].Pref = job.Hosts[0].Pref
	want(t, deliver(t, c, job), "delivered 250 2.0.0")
	if one.Count() != 1 {
		t.Error("the kept connection was not used")
	}
}

func TestConnectionsPerHostAreBounded(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.ConnectionsPerHost = 3 }))
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() { want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0") })
	}
	wg.Wait()
	if sink.Count() != 60 || sink.MostConns() > 3 {
		t.Errorf("%d messages over at most %d connections", sink.Count(), sink.MostConns())
	}
}

func TestServerRestartsUnderLoad(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	for range 20 {
		want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
		sink.Kick()
	}
	if sink.Count() != 20 {
		t.Errorf("%d messages", sink.Count())
	}
}

func TestBoardHasARowForEachConnection(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	job := newJob(to(sink.Addr()))
	deliver(t, c, job)
	board := c.board.Snapshot()
	if len(board.Rows) != 1 {
		t.Fatalf("%d rows", len(board.Rows))
	}
	if r := board.Rows[0]; r.Phase != "idle" || r.ID != job.ID.String() || !strings.HasPrefix(r.Peer, "mx1.to.test[127.0.0.1]:") || r.Bytes == 0 {
		t.Errorf("%+v", r)
	}
	c.Close()
	if n := c.board.Len(); n != 0 {
		t.Errorf("%d rows after the end", n)
	}
	deliver(t, c, newJob(to(nobody(t))))
	if n := c.board.Len(); n != 0 {
		t.Errorf("%d rows after a refused connection", n)
	}
}

func TestNewSettingsHoldForTheNextJob(t *testing.T) {
	srv := smtptest.Play(t, hello("PIPELINING")+first, strings.Replace(hello("PIPELINING"), "EHLO client.test", "EHLO new.test", 1)+first)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	s := settings.Default()
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", HELO: "new.test"}}
	if err := c.Configure(s); err != nil {
		t.Fatal(err)
	}
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "delivered 250 2.0.0")
	c.Close()
	srv.Wait()
}

func TestBadSettingsLeaveTheOldOnes(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t)
	s := settings.Default()
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", SourceAddresses: []string{"here"}}}
	if err := c.Configure(s); err == nil {
		t.Fatal("taken")
	}
	want(t, deliver(t, c, newJob(to(sink.Addr()))), "delivered 250 2.0.0")
}
