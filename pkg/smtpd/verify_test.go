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
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// fakeRouter knows some users; others fail, some can't be found out.
type fakeRouter struct {
	mu      sync.Mutex
	asked   []string
	queries []proto.RouteQuery
	away    error
	tables  map[string][]string // of lookups: keys
	looked  []string            // name:key
	trouble bool                // lookups can't tell
}

func (f *fakeRouter) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q, ok := req.(*proto.LookupQuery); ok {
		return f.lookUp(q, reply.(*proto.LookupAnswer))
	}
	f.queries = append(f.queries, *req.(*proto.RouteQuery))
	to := req.(*proto.RouteQuery).Recipients[0]
	f.asked = append(f.asked, to.Address.String())
	if f.away != nil {
		return f.away
	}
	good := proto.Leaf{Recipient: to, Transport: "maildir"}
	bad := proto.Leaf{Recipient: to, Verdict: outcome.Fail(outcome.UnknownUser,
		smtp.Status{Class: 5, Subject: 1, Detail: 1}, "there is no user %s here", to.Address)}
	unsure := proto.Leaf{Recipient: to, Verdict: outcome.Defer(outcome.DNS, smtp.Status{Class: 4, Subject: 4, Detail: 3}, "no answer")}
	a := reply.(*proto.RouteAnswer)
	none := bad
	none.Verdict.Kind = outcome.NoDomain
	null := bad
	null.Verdict.Kind = outcome.NullMX
	switch {
	case strings.HasPrefix(to.Address.Domain(), "nowhere."):
		a.Leaves = []proto.Leaf{none}
		return nil
	case strings.HasPrefix(to.Address.Domain(), "nullmx."):
		a.Leaves = []proto.Leaf{null}
		return nil
	}
	switch to.Address.Local() {
	case "nobody":
		a.Leaves = []proto.Leaf{bad}
	case "list":
		a.Leaves = []proto.Leaf{bad, unsure, good}
	case "everybody":
		if a.TooMany = 50_000; f.queries[len(f.queries)-1].Most != maxVerified {
			a.Leaves = []proto.Leaf{bad}
		}
	case "unsure":
		a.Leaves = []proto.Leaf{bad, unsure}
	default:
		a.Leaves = []proto.Leaf{good}
	}
	return nil
}

func (f *fakeRouter) lookUp(q *proto.LookupQuery, a *proto.LookupAnswer) error {
	f.looked = append(f.looked, q.Name+":"+q.Key)
	if f.away != nil {
		return f.away
	}
	if f.trouble {
		a.Trouble = "the server does not answer"
		return nil
	}
	a.Found = slices.Contains(f.tables[q.Name], q.Key)
	return nil
}

func verifyRig(t *testing.T, change func(*settings.Settings)) (*rig, *fakeRouter) {
	t.Helper()
	r := newRig(t, func(s *settings.Settings, _ *settings.Listen) {
		s.Verify = settings.Default().Verify
		if change != nil {
			change(s)
		}
	})
	f := &fakeRouter{}
	r.server.router = f
	return r, f
}

func TestUnknownUserIsRefusedAtRCPT(t *testing.T) {
	r, _ := verifyRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	if text := c.cmd(550, "RCPT TO:<nobody@example.edu>"); !strings.HasPrefix(text, "5.1.1 ") || !strings.Contains(text, "no user") {
		t.Errorf("refused with %q", text)
	}
	c.cmd(554, "DATA")
	c.cmd(250, "RCPT TO:<somebody@example.edu>")
	c.cmd(354, "DATA")
}

func TestListWithOneGoodMemberIsTaken(t *testing.T) {
	r, _ := verifyRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(250, "RCPT TO:<list@example.edu>")
}

func TestAListThatIsTooLongToLookAtIsTaken(t *testing.T) {
	r, _ := verifyRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(250, "RCPT TO:<everybody@example.edu>")
}

func TestUnsureRecipientIsAsConfigured(t *testing.T) {
	for what, code := range map[string]int{"accept": 250, "defer": 450} {
		r, f := verifyRig(t, func(s *settings.Settings) { s.Verify.WhenUnsure = what })
		c := r.hello()
		c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
		c.cmd(code, "RCPT TO:<unsure@example.edu>")
		f.away = errors.New("away")
		c.cmd(code, "RCPT TO:<somebody@example.edu>")
	}
}

func TestPostmasterIsNeverLookedUp(t *testing.T) {
	r, f := verifyRig(t, nil)
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(250, "RCPT TO:<postmaster>")
	if len(f.asked) != 0 {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestTrustedClientsAreVerifiedOnlyWhenAskedFor(t *testing.T) {
	for _, all := range []bool{false, true} {
		r, f := verifyRig(t, func(s *settings.Settings) {
			s.Domains.Trusted = []string{"127.0.0.0/8"}
			s.Verify.TrustedClients = all
		})
		c := r.hello()
		c.cmd(250, "MAIL FROM:<a@example.edu>")
		code := 250
		if all {
			code = 550
		}
		c.cmd(code, "RCPT TO:<nobody@example.edu>")
		c.cmd(250, "RCPT TO:<x@remote.example>")
		if want := 0; !all && len(f.asked) != want || all && len(f.asked) != 1 {
			t.Errorf("trusted_clients = %v: asked about %v", all, f.asked)
		}
	}
}

func TestRelayDomainsAreVerifiedWhenAskedFor(t *testing.T) {
	r, f := verifyRig(t, func(s *settings.Settings) { s.Verify.RemoteRecipients = "route" })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(550, "RCPT TO:<nobody@mail.relay.example>")
	if len(f.asked) != 1 {
		t.Errorf("asked about %v", f.asked)
	}
}

func TestRefusedRecipientsCountAsErrors(t *testing.T) {
	r, _ := verifyRig(t, func(s *settings.Settings) { s.Limits.Errors = 3 })
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(550, "RCPT TO:<nobody@example.edu>")
	c.cmd(550, "RCPT TO:<nobody@example.edu>")
	c.cmd(421, "RCPT TO:<nobody@example.edu>")
}

func TestVerificationKeepsPipelinedRepliesInOrder(t *testing.T) {
	r, _ := verifyRig(t, nil)
	c := r.hello()
	c.send("MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<x@example.edu>\r\nRCPT TO:<nobody@example.edu>\r\nRCPT TO:<y@example.edu>\r\nDATA\r\n")
	for _, code := range []int{250, 250, 550, 250, 354} {
		c.expect(code)
	}
}

// Whether there is such a recipient is asked of the address that cleanup will
// make; who may send to it is not.
func TestRewrittenRecipientsAreLookedUp(t *testing.T) {
	r, f := verifyRig(t, func(s *settings.Settings) {
		s.Rewrites = []settings.Rewrite{
			{Name: "names", Sources: []string{"envelope-recipients"}, Match: "a.n.user@example.edu", To: "abc123@*"},
			{Name: "gone", Sources: []string{"envelope-recipients"}, Match: "gone@example.edu", To: "nobody@*"},
			{Name: "in", Sources: []string{"envelope-recipients"}, Match: "*@far.example", To: "*@example.edu"},
			{Name: "other", Sources: []string{"to"}, Match: "*", To: "nobody@example.edu"},
		}
	})
	c := r.hello()
	c.cmd(250, "MAIL FROM:<a@elsewhere.example>")
	c.cmd(250, "RCPT TO:<A.N.User@example.edu>")
	c.cmd(550, "RCPT TO:<gone@example.edu>")
	c.cmd(550, "RCPT TO:<x@far.example>") // relaying
	if want := []string{"abc123@example.edu", "nobody@example.edu"}; !slices.Equal(f.asked, want) {
		t.Errorf("asked about %v, want %v", f.asked, want)
	}
}
