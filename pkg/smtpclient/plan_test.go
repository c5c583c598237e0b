package smtpclient

import (
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/smtpclient/smtptest"
	"filbert/pkg/untrusted"
)

// rest is the dialogue from the reply to MAIL on, without pipelining.
const rest = `
	S: 250 ok
	C: RCPT TO:*
	S: 250 ok
	C: DATA
	S: 354 go
	DATA
	S: 250 ok`

func TestMailParameters(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offers []string
		change func(*proto.RemoteJob)
		want   string
	}{
		{"nothing offered", nil, nil, "MAIL FROM:<sender@from.test>"},
		{"SIZE", []string{"SIZE 1000"}, nil, "MAIL FROM:<sender@from.test> SIZE=25"},
		{"SIZE without a number", []string{"SIZE"}, nil, "MAIL FROM:<sender@from.test> SIZE=25"},
		{"SIZE of zero is no limit", []string{"SIZE 0"}, nil, "MAIL FROM:<sender@from.test> SIZE=25"},
		{"8BITMIME is not asked for in vain", []string{"8BITMIME"}, nil, "MAIL FROM:<sender@from.test>"},
		{"8BITMIME as needed", []string{"8BITMIME"}, func(j *proto.RemoteJob) { j.Has8Bit = true }, "MAIL FROM:<sender@from.test> BODY=8BITMIME"},
		{"8BITMIME as stated", []string{"8BITMIME"}, func(j *proto.RemoteJob) { j.Body = envelope.Body8BitMIME }, "MAIL FROM:<sender@from.test> BODY=8BITMIME"},
		// RFC 6710, section 4.2.
		{"MT-PRIORITY", []string{"MT-PRIORITY MIXER"}, func(j *proto.RemoteJob) { j.Priority = 4 }, "MAIL FROM:<sender@from.test> MT-PRIORITY=4"},
		{"MT-PRIORITY below 0", []string{"MT-PRIORITY"}, func(j *proto.RemoteJob) { j.Priority = -9 }, "MAIL FROM:<sender@from.test> MT-PRIORITY=-9"},
		{"MT-PRIORITY of 0", []string{"MT-PRIORITY"}, nil, "MAIL FROM:<sender@from.test> MT-PRIORITY=0"},
		// RFC 6710, section 4.3.
		{"MT-PRIORITY is not offered", nil, func(j *proto.RemoteJob) { j.Priority = 4 }, "MAIL FROM:<sender@from.test>"},
		{"null sender", nil, func(j *proto.RemoteJob) { j.Sender = mailaddr.Address{} }, "MAIL FROM:<>"},
		{"quoted sender", nil, func(j *proto.RemoteJob) { j.Sender = mailaddr.MustParse(`"a b"@from.test`) }, `MAIL FROM:<"a b"@from.test>`},
		{"RET and ENVID", []string{"DSN"}, func(j *proto.RemoteJob) {
			j.Return, j.EnvID = envelope.ReturnHeaders, untrusted.From("a+b=c d")
		}, "MAIL FROM:<sender@from.test> RET=HDRS ENVID=a+2Bb+3Dc+20d"},
		{"RET and ENVID without DSN", nil, func(j *proto.RemoteJob) {
			j.Return, j.EnvID = envelope.ReturnFull, untrusted.From("x")
		}, "MAIL FROM:<sender@from.test>"},
		{"line ends in ENVID stay inside", []string{"DSN"}, func(j *proto.RemoteJob) {
			j.EnvID = untrusted.From("x\r\nRCPT TO:<evil@to.test>")
		}, "MAIL FROM:<sender@from.test> ENVID=x+0D+0ARCPT+20TO:<evil@to.test>"},
		{"SMTPUTF8 is not asked for in vain", []string{"SMTPUTF8", "8BITMIME"}, func(j *proto.RemoteJob) { j.UTF8 = true }, "MAIL FROM:<sender@from.test>"},
		{"SMTPUTF8 for a sender", []string{"SMTPUTF8", "8BITMIME"}, func(j *proto.RemoteJob) {
			j.UTF8, j.Sender = true, mailaddr.MustParse("jörg@from.test")
		}, "MAIL FROM:<jörg@from.test> BODY=8BITMIME SMTPUTF8"},
		{"SMTPUTF8 for a header", []string{"SMTPUTF8", "8BITMIME"}, func(j *proto.RemoteJob) {
			j.UTF8, j.Has8Bit = true, true
			setContent(j, "Subject: grüße\r\n\r\nHello.\r\n")
		}, "MAIL FROM:<sender@from.test> BODY=8BITMIME SMTPUTF8"},
		{"a body alone needs no SMTPUTF8", []string{"SMTPUTF8", "8BITMIME"}, func(j *proto.RemoteJob) {
			j.UTF8, j.Has8Bit = true, true
			setContent(j, "Subject: hi\r\n\r\ngrüße\r\n")
		}, "MAIL FROM:<sender@from.test> BODY=8BITMIME"},
		{"a domain is written as DNS knows it", nil, func(j *proto.RemoteJob) {
			j.UTF8, j.Sender = true, mailaddr.MustParse("me@bücher.test")
		}, "MAIL FROM:<me@xn--bcher-kva.test>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, hello(tt.offers...)+"C: "+tt.want+rest)
			job := newJob(to(srv.Addr()))
			if tt.change != nil {
				tt.change(job)
			}
			want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
		})
	}
}

func TestRcptParameters(t *testing.T) {
	for _, tt := range []struct {
		name string
		rcpt envelope.Recipient
		want string
	}{
		{"none", envelope.Recipient{}, ""},
		{"never", envelope.Recipient{Notify: envelope.NotifyNever}, " NOTIFY=NEVER"},
		{"set", envelope.Recipient{Notify: envelope.NotifySuccess | envelope.NotifyDelay}, " NOTIFY=SUCCESS,DELAY"},
		{"all", envelope.Recipient{Notify: envelope.NotifySuccess | envelope.NotifyFailure | envelope.NotifyDelay}, " NOTIFY=SUCCESS,FAILURE,DELAY"},
		{"orcpt", envelope.Recipient{OrigType: "rfc822", Orig: untrusted.From("a+b@c.test")}, " ORCPT=rfc822;a+2Bb@c.test"},
		{"orcpt utf-8", envelope.Recipient{OrigType: "utf-8", Orig: untrusted.From("jörg@c.test")}, ` ORCPT=utf-8;j\x{F6}rg@c.test`},
		{"orcpt with a line end in it", envelope.Recipient{OrigType: "rfc822", Orig: untrusted.From("a\r\nQUIT")}, " ORCPT=rfc822;a+0D+0AQUIT"},
		{"orcpt with a line end in its type", envelope.Recipient{OrigType: "rfc822\r\n", Orig: untrusted.From("a")}, ""},
		{"orcpt too long", envelope.Recipient{OrigType: "rfc822", Orig: untrusted.From(strings.Repeat("=", 300))}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.rcpt.Address = mailaddr.MustParse("rcpt@to.test")
			p := plan{dsn: true}
			if got := string(p.appendRcpt(nil, &tt.rcpt)); got != "RCPT TO:<rcpt@to.test>"+tt.want+"\r\n" {
				t.Errorf("%q", got)
			}
			p.dsn = false
			if got := string(p.appendRcpt(nil, &tt.rcpt)); got != "RCPT TO:<rcpt@to.test>\r\n" {
				t.Errorf("without DSN: %q", got)
			}
		})
	}
}

func TestDSNIsPassedOrRelayed(t *testing.T) {
	for _, tt := range []struct {
		offer             string
		lmtp              bool
		passed, isRelayed bool
	}{{"DSN", false, true, false}, {"HELP", false, false, true}, {"HELP", true, false, false}, {"DSN", true, true, false}} {
		sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{tt.offer}, LMTP: tt.lmtp})
		job := newJob(to(sink.Addr()))
		if tt.lmtp {
			job.Transport = "lmtp"
		}
		if o := deliver(t, newClient(t), job)[0]; o.DSNPassed != tt.passed || o.Relayed != tt.isRelayed {
			t.Errorf("%s, lmtp %v: passed %v, relayed %v", tt.offer, tt.lmtp, o.DSNPassed, o.Relayed)
		}
	}
}

// TestUnfitMessageIsRefusedUnsent: the dialogue ends before MAIL.
func TestUnfitMessageIsRefusedUnsent(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offers []string
		change func(*proto.RemoteJob)
		want   string
	}{
		{"too big", []string{"SIZE 24"}, func(*proto.RemoteJob) {}, "failed content 5.3.4"},
		{"long line", []string{"8BITMIME"}, func(j *proto.RemoteJob) { j.LongLine = true }, "failed content 5.6.0"},
		{"long line with CHUNKING", []string{"CHUNKING"}, func(j *proto.RemoteJob) { j.LongLine = true }, "failed content 5.6.0"},
		{"8-bit multipart without 8BITMIME", nil, func(j *proto.RemoteJob) {
			j.Has8Bit = true
			setContent(j, "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\ngrüße\r\n--x--\r\n")
		}, "failed content 5.6.3"},
		{"binary without BINARYMIME", []string{"CHUNKING", "8BITMIME"}, func(j *proto.RemoteJob) { j.Body = envelope.BodyBinary }, "failed content 5.6.3"},
		{"sender without SMTPUTF8", []string{"8BITMIME"}, func(j *proto.RemoteJob) {
			j.UTF8, j.Sender = true, mailaddr.MustParse("jörg@from.test")
		}, "failed content 5.6.7"},
		{"header without SMTPUTF8", []string{"8BITMIME"}, func(j *proto.RemoteJob) {
			j.UTF8, j.Has8Bit = true, true
			setContent(j, "Subject: grüße\r\n\r\nHello.\r\n")
		}, "failed content 5.6.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, hello(tt.offers...))
			job := newJob(to(srv.Addr()))
			tt.change(job)
			c := newClient(t)
			want(t, deliver(t, c, job), tt.want)
			c.Close()
			srv.Wait()
		})
	}
}

func TestRecipientWithoutSMTPUTF8FailsAlone(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	want(t, deliver(t, newClient(t), newJob(to(sink.Addr()), "jörg@to.test", "b@to.test", "c@bücher.test")),
		"failed content 5.6.7", "delivered 250 2.0.0", "delivered 250 2.0.0")
	if m := sink.Mails(); len(m) != 1 || len(m[0].To) != 2 || m[0].To[1] != "<c@xn--bcher-kva.test>" {
		t.Errorf("%+v", m)
	}
}

func TestLongLinePassesLMTP(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{LMTP: true})
	job := newJob(to(sink.Addr()))
	job.Transport, job.LongLine = "lmtp", true
	long := strings.Repeat("x", 5000) + "\r\n"
	setContent(job, "Subject: x\r\n\r\n"+long)
	want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
	if m := sink.Mails(); !strings.HasSuffix(m[0].Content, long) {
		t.Error("changed on its way")
	}
}

func TestSimpleTextIsConvertedTo7Bit(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"SIZE 1000", "CHUNKING", "PIPELINING"}})
	job := newJob(to(sink.Addr()))
	job.Has8Bit = true
	setContent(job, "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n.grüße\r\n")
	want(t, deliver(t, newClient(t), job), "delivered 250 2.0.0")
	m := sink.Mails()
	if len(m) != 1 || !strings.Contains(m[0].Content, "gr=C3=BC=C3=9Fe") || !strings.Contains(m[0].Content, "quoted-printable") {
		t.Errorf("%+v", m)
	}
	if m[0].From != "<sender@from.test>" {
		t.Errorf("MAIL FROM:%s: the size after conversion is not known", m[0].From)
	}
}
