package smtpd

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"filbert/pkg/ipc"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// fakeQueue answers for qmgr.
type fakeQueue struct {
	mu    sync.Mutex
	asked []proto.Turn
	say   proto.Turned
	away  error
}

func (f *fakeQueue) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, *req.(*proto.Turn))
	*reply.(*proto.Turned) = f.say
	return f.away
}

// turnRig lets clients of this machine ask for two domains and what is below one.
func turnRig(t *testing.T, change func(*settings.Settings)) (*rig, *fakeQueue) {
	t.Helper()
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.ETRN = []settings.ETRN{
			{Clients: []string{"192.0.2.0/24"}, Domains: []string{"other.example"}},
			{Clients: []string{"127.0.0.1"}, Domains: []string{"far.example", "branch.example", "*.branch.example"}},
		}
		if change != nil {
			change(s)
		}
	})
	f := &fakeQueue{say: proto.Turned{State: proto.TurnStarted, Count: 3}}
	r.server.qmgr = f
	return r, f
}

// RFC 1985: the replies, and what each says of the queue.
func TestETRNIsAnsweredByWhatWaits(t *testing.T) {
	r, f := turnRig(t, nil)
	c := r.hello()
	for _, x := range []struct {
		say  proto.Turned
		code int
		text string
	}{
		{proto.Turned{State: proto.TurnStarted, Count: 3, UnderWay: 1}, 253, "3 pending messages"},
		{proto.Turned{State: proto.TurnStarted, UnderWay: 1}, 250, "under way"},
		{proto.Turned{State: proto.TurnStarted}, 251, "No messages"},
		{proto.Turned{State: proto.TurnUnknown, Count: 3}, 252, "Pending"},
		{proto.Turned{State: proto.TurnUnknown}, 458, "being read"},
		{proto.Turned{State: proto.TurnTooSoon}, 458, "a moment ago"},
		{proto.Turned{State: proto.TurnRefused}, 459, "Not allowed"},
	} {
		f.say = x.say
		if text := c.cmd(x.code, "ETRN Far.Example"); !strings.Contains(text, x.text) {
			t.Errorf("%+v: %q, want %q", x.say, text, x.text)
		}
	}
	if a := f.asked[0]; a.Domain != "far.example" || a.Subdomains || a.Client.String() != "127.0.0.1" {
		t.Errorf("asked %+v", a)
	}
}

func TestETRNWithoutQueueManagerIs458(t *testing.T) {
	r, f := turnRig(t, nil)
	f.away = errors.New("not there")
	c := r.hello()
	c.cmd(458, "ETRN far.example")
	c.mail(250, "x\r\n")
}

func TestETRNIsOnlyForThoseWhoMayAsk(t *testing.T) {
	r, f := turnRig(t, nil)
	c := r.hello()
	c.cmd(459, "ETRN other.example") // another client's
	c.cmd(459, "ETRN below.far.example")
	c.cmd(459, "ETRN @far.example") // no pattern has what is below it
	if len(f.asked) != 0 {
		t.Fatalf("asked %v", f.asked)
	}
	c.cmd(253, "ETRN @branch.example")
	c.cmd(253, "ETRN below.branch.example")
	if len(f.asked) != 2 || !f.asked[0].Subdomains || f.asked[1].Subdomains {
		t.Errorf("asked %+v", f.asked)
	}
}

func TestETRNWithoutRulesDoesNotExist(t *testing.T) {
	r, f := turnRig(t, func(s *settings.Settings) { s.ETRN = nil })
	c := r.connect()
	if text := c.cmd(250, "EHLO client.example"); strings.Contains(text, "ETRN") {
		t.Errorf("EHLO says %q", text)
	}
	c.cmd(502, "ETRN far.example")
	if len(f.asked) != 0 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestETRNIsOfferedToThoseWhoMayAsk(t *testing.T) {
	r, _ := turnRig(t, nil)
	if lines := strings.Split(r.connect().cmd(250, "EHLO client.example"), "\n"); !slices.Contains(lines, "ETRN") {
		t.Errorf("EHLO says %q", lines)
	}
	r, _ = turnRig(t, func(s *settings.Settings) { s.ETRN = s.ETRN[:1] })
	c := r.connect()
	if text := c.cmd(250, "EHLO client.example"); strings.Contains(text, "ETRN") {
		t.Errorf("EHLO says %q to a client that may not", text)
	}
	c.cmd(459, "ETRN other.example")
}

func TestETRNOutOfItsPlace(t *testing.T) {
	r, f := turnRig(t, nil)
	c := r.connect()
	c.cmd(503, "ETRN far.example")
	c.cmd(250, "HELO client.example")
	c.cmd(503, "ETRN far.example") // an extension of a client that does not know of any
	c.cmd(250, "EHLO client.example")
	c.cmd(501, "ETRN")
	c.cmd(501, "ETRN #slow")
	c.cmd(501, "ETRN [127.0.0.1]")
	c.cmd(250, "MAIL FROM:<a@client.example>")
	c.cmd(503, "ETRN far.example")
	c.cmd(250, "RCPT TO:<user@example.edu>")
	c.cmd(503, "ETRN far.example")
	c.cmd(354, "DATA")
	if len(f.asked) != 0 {
		t.Errorf("asked %v", f.asked)
	}
}

func TestLookupsSayWhoMayAskForWhat(t *testing.T) {
	r, f := turnRig(t, func(s *settings.Settings) {
		s.ETRN = []settings.ETRN{{Clients: []string{"lookup:sites"}, Domains: []string{"lookup:theirs"}}}
	})
	router := &fakeRouter{tables: map[string][]string{"sites": {"127.0.0.1"}, "theirs": {"far.example"}}}
	r.server.router = router
	c := r.hello()
	c.cmd(253, "ETRN far.example")
	c.cmd(459, "ETRN other.example")
	c.cmd(459, "ETRN @far.example")
	router.trouble = true
	c.cmd(458, "ETRN far.example")
	if len(f.asked) != 1 {
		t.Errorf("asked %v", f.asked)
	}
	c.mail(250, "x\r\n")
}

// A client could go on for ever otherwise.
func TestETRNDoesNotKeepASessionAlive(t *testing.T) {
	r, _ := turnRig(t, func(s *settings.Settings) { s.Limits.Commands = 5 })
	c := r.hello()
	for range 4 {
		c.cmd(253, "ETRN far.example")
	}
	c.cmd(421, "ETRN far.example")
}
