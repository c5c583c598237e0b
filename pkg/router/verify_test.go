package router

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/callout"
	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// fakeServers are other machines' mail servers: they know some addresses.
type fakeServers struct {
	asked   []proto.CalloutQuery
	refuses []string
	silent  []string
	all     bool // take everything
	away    error
}

func (f *fakeServers) Callout(_ context.Context, q *proto.CalloutQuery) (*proto.CalloutAnswer, error) {
	f.asked = append(f.asked, *q)
	if f.away != nil {
		return nil, f.away
	}
	to := q.Recipient.String()
	switch {
	case slices.Contains(f.refuses, to):
		o := outcome.Fail(outcome.RcptRefused, smtp.Status{Class: 5, Subject: 1, Detail: 1}, "no mailbox of that name")
		o.Remote, o.Code = "mx.far.example", 550
		return &proto.CalloutAnswer{Outcome: o}, nil
	case slices.Contains(f.silent, to):
		return &proto.CalloutAnswer{Outcome: outcome.Defer(outcome.TimedOut, smtp.Status{Class: 4, Subject: 4, Detail: 1}, "no answer")}, nil
	}
	o := outcome.Outcome{Class: outcome.Delivered, Status: smtp.Status{Class: 2, Subject: 1, Detail: 5}, Remote: "mx.far.example"}
	return &proto.CalloutAnswer{Outcome: o, AcceptsAll: f.all && !q.Random.IsNull()}, nil
}

// bench is rules and a memory for verifyLeaves.
type bench struct {
	rules   *rules
	memory  *callout.Memory
	servers *fakeServers
	trace   trace
}

func newBench() *bench {
	s := settings.Default()
	s.Transports = settings.DefaultTransports()
	s.Transports["cyrus"] = settings.Transport{Driver: "lmtp", Socket: "/run/lmtp"}
	s.Transports["provider"] = settings.Transport{Driver: "smtp", Username: "me"}
	now := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	return &bench{
		rules:   &rules{settings: s, world: World{Now: func() time.Time { return now }}},
		memory:  newCallouts(s),
		servers: &fakeServers{},
	}
}

func (b *bench) verify(leaves ...proto.Leaf) []proto.Leaf {
	b.rules.verifyLeaves(context.Background(), b.memory, b.servers, leaves, &b.trace)
	return leaves
}

func (b *bench) told() string {
	var out strings.Builder
	for _, s := range b.trace.all() {
		out.WriteString(s.Why + "\n")
	}
	return out.String()
}

func remoteLeaf(addr string) proto.Leaf {
	return proto.Leaf{
		Recipient: envelope.Recipient{Address: mailaddr.MustParse(addr)}, Transport: "smtp", NextHop: "far.example",
		Hosts: []proto.Host{{Name: "mx.far.example", Addr: netip.MustParseAddrPort("192.0.2.1:25")}},
	}
}

func TestRefusalByTheMailServerIsTheVerdict(t *testing.T) {
	b := newBench()
	b.servers.refuses = []string{"nobody@far.example"}
	l := b.verify(remoteLeaf("nobody@far.example"))[0]
	text := l.Verdict.Text.ForReply()
	if l.Verdict.Class != outcome.Failed || l.Verdict.Status != statusNoMailbox ||
		!strings.Contains(text, "mx.far.example does not take mail for nobody@far.example: no mailbox of that name") {
		t.Errorf("verdict %+v, %q", l.Verdict, text)
	}
	q := b.servers.asked[0]
	if !q.Sender.IsNull() || q.Timeout != 30_000 || q.Transport != "smtp" || len(q.Hosts) != 1 {
		t.Errorf("asked %+v", q)
	}
}

func TestRecipientThatTheMailServerTakesStaysAsItIs(t *testing.T) {
	b := newBench()
	if l := b.verify(remoteLeaf("ann@far.example"))[0]; l.Verdict.Class != 0 || len(b.servers.asked) != 1 {
		t.Errorf("verdict %+v, asked %v", l.Verdict, b.servers.asked)
	}
	if !strings.Contains(b.told(), "takes mail for ann@far.example") {
		t.Errorf("explained as %q", b.told())
	}
}

func TestProbeIsAnAddressThatNobodyCanGuess(t *testing.T) {
	b := newBench()
	b.verify(remoteLeaf("ann@far.example"))
	b.memory = newCallouts(b.rules.settings)
	b.verify(remoteLeaf("ann@far.example"))
	first, second := b.servers.asked[0].Random, b.servers.asked[1].Random
	if first.Domain() != "far.example" || len(first.Local()) < 30 || first == second {
		t.Errorf("probes %v and %v", first, second)
	}
}

func TestServerThatTakesEverythingProvesNothing(t *testing.T) {
	b := newBench()
	b.servers.all = true
	for _, addr := range []string{"ann@far.example", "bob@far.example"} {
		if l := b.verify(remoteLeaf(addr))[0]; l.Verdict.Class != 0 {
			t.Errorf("verdict %+v", l.Verdict)
		}
	}
	if len(b.servers.asked) != 1 || !strings.Contains(b.told(), "proves nothing of bob@far.example") {
		t.Errorf("%d call-outs, explained as %q", len(b.servers.asked), b.told())
	}
}

func TestWhatCannotBeFoundOutIsUnsure(t *testing.T) {
	b := newBench()
	b.servers.silent = []string{"slow@far.example"}
	l := b.verify(remoteLeaf("slow@far.example"))[0]
	if l.Verdict.Class != outcome.Deferred || l.Verdict.Status.Class != 4 || !strings.Contains(l.Verdict.Text.ForReply(), "can't say at the moment") {
		t.Errorf("verdict %+v", l.Verdict)
	}
	b.servers.away = errors.New("away")
	if l := b.verify(remoteLeaf("ann@far.example"))[0]; l.Verdict.Class != outcome.Deferred {
		t.Errorf("without smtp-client: %+v", l.Verdict)
	}
	leaves := []proto.Leaf{remoteLeaf("ann@far.example")}
	b.rules.verifyLeaves(context.Background(), nil, nil, leaves, nil)
	if leaves[0].Verdict.Class != outcome.Deferred {
		t.Errorf("with nobody to ask: %+v", leaves[0].Verdict)
	}
}

func TestOnlyLeavesThatLeadToAServerAreAskedAbout(t *testing.T) {
	login := remoteLeaf("login@far.example")
	login.Credentials = &proto.Credentials{Username: "u", Password: "p"}
	command := remoteLeaf("x@far.example")
	command.Recipient = envelope.Recipient{Kind: envelope.TargetPipe, Target: "/bin/true"}
	for name, tt := range map[string]struct {
		leaf  proto.Leaf
		asked int
	}{
		"maildir":                       {proto.Leaf{Recipient: envelope.Recipient{Address: mailaddr.MustParse("a@here.example")}, Transport: "maildir"}, 0},
		"socket of LMTP":                {proto.Leaf{Recipient: envelope.Recipient{Address: mailaddr.MustParse("a@here.example")}, Transport: "cyrus"}, 1},
		"LMTP to nowhere":               {proto.Leaf{Recipient: envelope.Recipient{Address: mailaddr.MustParse("a@here.example")}, Transport: "lmtp"}, 0},
		"with a password":               {login, 0},
		"with the transport's password": {proto.Leaf{Recipient: login.Recipient, Transport: "provider", Hosts: login.Hosts}, 0},
		"command":                       {command, 0},
		"verdict":                       {proto.Leaf{Verdict: outcome.Fail(outcome.NoDomain, statusUnknown, "no")}, 0},
		"mail server":                   {remoteLeaf("a@far.example"), 1},
		"unknown transport": {proto.Leaf{Recipient: envelope.Recipient{Address: mailaddr.MustParse("a@far.example")}, Transport: "gone",
			Hosts: remoteLeaf("a@far.example").Hosts}, 0},
	} {
		b := newBench()
		before := tt.leaf.Verdict.Class
		l := b.verify(tt.leaf)[0]
		if len(b.servers.asked) != tt.asked || l.Verdict.Class != before {
			t.Errorf("%s: %d call-outs, verdict %+v", name, len(b.servers.asked), l.Verdict)
		}
	}
}

func TestListIsGoodAsSoonAsOneMemberIs(t *testing.T) {
	b := newBench()
	b.servers.refuses = []string{"a@far.example"}
	leaves := b.verify(remoteLeaf("a@far.example"), remoteLeaf("b@far.example"), remoteLeaf("c@far.example"))
	if len(b.servers.asked) != 2 || leaves[0].Verdict.Class != outcome.Failed || leaves[1].Verdict.Class != 0 {
		t.Errorf("%d call-outs", len(b.servers.asked))
	}
	b = newBench()
	here := proto.Leaf{Recipient: envelope.Recipient{Address: mailaddr.MustParse("u@here.example")}, Transport: "maildir"}
	if b.verify(remoteLeaf("a@far.example"), here); len(b.servers.asked) != 0 {
		t.Errorf("%d call-outs for a recipient who is here too", len(b.servers.asked))
	}
}

func TestCallOutsForOneRecipientAreBounded(t *testing.T) {
	b := newBench()
	var leaves []proto.Leaf
	for _, c := range "abcdefgh" {
		addr := string(c) + "@far.example"
		b.servers.refuses = append(b.servers.refuses, addr)
		leaves = append(leaves, remoteLeaf(addr))
	}
	b.verify(leaves...)
	if len(b.servers.asked) != maxCallouts || leaves[maxCallouts].Verdict.Class != 0 || !strings.Contains(b.told(), "on trust") {
		t.Errorf("%d call-outs; %s", len(b.servers.asked), b.told())
	}
}

func TestRecipientsAreVerifiedEachByItself(t *testing.T) {
	b := newBench()
	b.servers.refuses = []string{"a@far.example"}
	first, second := remoteLeaf("a@far.example"), remoteLeaf("b@far.example")
	second.Parent = 1
	leaves := b.verify(second, first)
	if leaves[0].Verdict.Class != 0 || leaves[1].Verdict.Class != outcome.Failed {
		t.Errorf("verdicts %+v, %+v", leaves[0].Verdict, leaves[1].Verdict)
	}
}

func TestShuffledHostsAreTheSameServers(t *testing.T) {
	a := proto.Host{Name: "MX1.example", Addr: netip.MustParseAddrPort("192.0.2.1:25")}
	again := proto.Host{Name: "mx1.example", Addr: netip.MustParseAddrPort("192.0.2.9:25")}
	c := proto.Host{Name: "mx2.example", Addr: netip.MustParseAddrPort("192.0.2.2:25")}
	if serversOf([]proto.Host{a, again, c}) != serversOf([]proto.Host{c, a}) {
		t.Error("their order counts")
	}
	other := c
	other.Addr = netip.MustParseAddrPort("192.0.2.2:2525")
	if serversOf([]proto.Host{c}) == serversOf([]proto.Host{other}) {
		t.Error("their ports do not count")
	}
}

func TestWordsOfAServerCannotMakeALine(t *testing.T) {
	said := outcome.Fail(outcome.RcptRefused, statusUnknown, "no")
	said.Text = untrusted.From("no\r\n250 2.0.0 Ok\x1b[2J")
	l := remoteLeaf("a@far.example")
	if v := refusedBy(&said, &l); strings.ContainsAny(v.Text.ForLog(), "\r\n\x1b") || v.Text.Equal("") {
		t.Errorf("%s", v.Text.ForLog())
	}
}
