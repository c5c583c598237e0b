package smtpclient

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

const testContent = "Subject: test\r\n\r\nHello.\r\n"

// newClient has the transports smtp and lmtp, with time-outs of some seconds.
func newClient(t testing.TB, change ...func(*settings.Settings)) *Client {
	t.Helper()
	s := settings.Default()
	s.Hostname = "client.test"
	s.Transports = map[string]settings.Transport{
		"smtp": {Driver: "smtp", TimeoutScale: 1},
		"lmtp": {Driver: "lmtp", TimeoutScale: 1},
		"disk": {Driver: "maildir"},
	}
	for _, f := range change {
		f(s)
	}
	c, err := NewClient(s, service.NewScoreboard(time.Now), event.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// transport changes a transport of newClient's.
func transport(name string, change func(*settings.Transport)) func(*settings.Settings) {
	return func(s *settings.Settings) {
		t := s.Transports[name]
		change(&t)
		s.Transports[name] = t
	}
}

// newJob goes from sender@from.test to recipients at to.test.
func newJob(servers []netip.AddrPort, rcpts ...string) *proto.RemoteJob {
	if len(rcpts) == 0 {
		rcpts = []string{"rcpt@to.test"}
	}
	job := &proto.RemoteJob{
		ID:        queueid.ID(1 << 40),
		Sender:    mailaddr.MustParse("sender@from.test"),
		Transport: "smtp",
		NextHop:   "to.test",
	}
	for i, addr := range servers {
		job.Hosts = append(job.Hosts, proto.Host{Name: "mx" + string(rune('1'+i)) + ".to.test", Addr: addr, Pref: uint16(i)})
	}
	for _, r := range rcpts {
		job.Recipients = append(job.Recipients, envelope.Recipient{Address: mailaddr.MustParse(r)})
	}
	setContent(job, testContent)
	return job
}

func setContent(job *proto.RemoteJob, content string) {
	job.Content = proto.Content{Inline: []byte(content), Size: int64(len(content))}
}

func to(addrs ...netip.AddrPort) []netip.AddrPort { return addrs }

func deliver(t testing.TB, c *Client, job *proto.RemoteJob) []outcome.Outcome {
	t.Helper()
	outs := c.Deliver(context.Background(), job, nil).Outcomes
	if len(outs) != len(job.Recipients) {
		t.Fatalf("%d outcomes for %d recipients", len(outs), len(job.Recipients))
	}
	return outs
}

// say is an outcome as one word list: "failed rcpt 550 5.1.1".
func say(o outcome.Outcome) string {
	words := []string{o.Class.String()}
	if o.Kind != "" {
		words = append(words, string(o.Kind))
	}
	if o.Code != 0 {
		words = append(words, string(rune('0'+o.Code/100))+string(rune('0'+o.Code/10%10))+string(rune('0'+o.Code%10)))
	}
	return strings.Join(append(words, o.Status.String()), " ")
}

func want(t testing.TB, got []outcome.Outcome, wants ...string) {
	t.Helper()
	if len(got) != len(wants) {
		t.Fatalf("%d outcomes, want %d", len(got), len(wants))
	}
	for i := range got {
		if say(got[i]) != wants[i] {
			t.Errorf("recipient %d: %s (%s), want %s", i, say(got[i]), got[i].Text.ForLog(), wants[i])
		}
	}
}

// hello is the beginning of most dialogues.
func hello(extensions ...string) string {
	var b strings.Builder
	b.WriteString("S: 220 server.test ESMTP\nC: EHLO client.test\n")
	lines := append([]string{"server.test"}, extensions...)
	for i, e := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		b.WriteString("S: 250" + sep + e + "\n")
	}
	return b.String()
}
