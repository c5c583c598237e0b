package smtpclient

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

func lmtpHello(ext ...string) string {
	return strings.Replace(hello(ext...), "EHLO", "LHLO", 1)
}

func lmtpJob(s *smtptest.Script, rcpts ...string) *proto.RemoteJob {
	job := newJob(to(s.Addr()), rcpts...)
	job.Transport = "lmtp"
	return job
}

func lmtpDialogue(afterDot string) string {
	return strings.Replace(pipelined("250 ok", "250 ok", "250 ok", "354 go"), "EHLO", "LHLO", 1) + "DATA\n" + afterDot
}

func TestLMTPReplyForEachRecipient(t *testing.T) {
	for _, tt := range []struct{ name, afterDot, a, b string }{
		{"both", "S: 250 2.0.0 a\nS: 250 2.0.0 b", "delivered 250 2.0.0", "delivered 250 2.0.0"},
		{"one over quota", "S: 250 2.0.0 a\nS: 552 5.2.2 full", "delivered 250 2.0.0", "failed data 552 5.2.2"},
		{"one for later", "S: 452 4.2.2 full\nS: 250 2.0.0 b", "deferred data 452 4.2.2", "delivered 250 2.0.0"},
		{"lost between", "S: 250 2.0.0 a\nCLOSE", "delivered 250 2.0.0", "deferred lost 4.4.2"},
		{"nonsense between", "S: 250 2.0.0 a\nS: yes", "delivered 250 2.0.0", "deferred protocol 4.5.0"},
		{"421 first", "S: 421 4.3.2 closing\nCLOSE", "deferred data 421 4.3.2", "deferred data 421 4.3.2"},
		{"one reply too many", "S~ 250 2.0.0 a\\r\\n250 2.0.0 b\\r\\n250 2.0.0 c\\r\\n", "delivered 250 2.0.0", "delivered 250 2.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, lmtpDialogue(tt.afterDot))
			want(t, deliver(t, newClient(t), lmtpJob(srv, "a@to.test", "b@to.test")), tt.a, tt.b)
		})
	}
}

func TestLMTPRepliesOnlyForTheAccepted(t *testing.T) {
	srv := smtptest.Play(t, strings.Replace(pipelined("250 ok", "550 5.1.1 who?", "250 ok", "354 go"), "EHLO", "LHLO", 1)+
		"DATA\nS: 250 2.0.0 b")
	want(t, deliver(t, newClient(t), lmtpJob(srv, "a@to.test", "b@to.test")), "failed rcpt 550 5.1.1", "delivered 250 2.0.0")
}

func TestLMTPHasNoHELO(t *testing.T) {
	srv := smtptest.Play(t, "S: 220 hi\nC: LHLO client.test\nS: 500 5.5.1 what?")
	want(t, deliver(t, newClient(t), lmtpJob(srv)), "deferred helo 500 4.5.1")
}

func TestLMTPByBDAT(t *testing.T) {
	srv := smtptest.Play(t, lmtpHello("CHUNKING", "PIPELINING")+`
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<a@to.test>
		C: RCPT TO:<b@to.test>
		S: 250 ok
		S: 250 ok
		S: 250 ok
		C: BDAT 25 LAST
		BDAT 25
		S: 250 2.0.0 a
		S: 450 4.2.0 b`)
	want(t, deliver(t, newClient(t), lmtpJob(srv, "a@to.test", "b@to.test")), "delivered 250 2.0.0", "deferred data 450 4.2.0")
}

func TestLMTPOverUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lmtp")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	sink := smtptest.Drink(t, smtptest.Options{LMTP: true, Listener: l})
	c := newClient(t, transport("lmtp", func(tr *settings.Transport) { tr.Socket = path }))
	for range 2 {
		job := newJob(nil, "a@to.test", "b@to.test")
		job.Transport = "lmtp"
		want(t, deliver(t, c, job), "delivered 250 2.0.0", "delivered 250 2.0.0")
	}
	if sink.Count() != 2 || sink.Conns() != 1 {
		t.Errorf("%d messages over %d connections", sink.Count(), sink.Conns())
	}
}

func TestMissingSocketDefers(t *testing.T) {
	c := newClient(t, transport("lmtp", func(tr *settings.Transport) { tr.Socket = filepath.Join(t.TempDir(), "none") }))
	job := newJob(nil)
	job.Transport = "lmtp"
	want(t, deliver(t, c, job), "deferred refused 4.4.1")
}

func TestLMTPHostOfTheTransport(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{LMTP: true})
	_, port, _ := net.SplitHostPort(sink.Addr().String())
	for host, wants := range map[string]string{
		"localhost:" + port: "delivered 250 2.0.0",
		"127.0.0.1:" + port: "delivered 250 2.0.0",
		"a.name:24":         "deferred internal 4.3.0",
		"":                  "deferred internal 4.3.0",
	} {
		c := newClient(t, transport("lmtp", func(tr *settings.Transport) { tr.Host = host }))
		job := newJob(nil)
		job.Transport = "lmtp"
		want(t, deliver(t, c, job), wants)
	}
}
