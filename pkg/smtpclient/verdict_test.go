package smtpclient

import (
	"strings"
	"testing"

	"filbert/pkg/smtpclient/smtptest"
)

// pipelined is a dialogue up to the replies to MAIL, two RCPT and DATA.
func pipelined(mail, rcpt1, rcpt2, data string) string {
	s := hello("PIPELINING") + `
		C: MAIL FROM:<sender@from.test>
		C: RCPT TO:<a@to.test>
		C: RCPT TO:<b@to.test>
		C: DATA
	`
	for _, reply := range []string{mail, rcpt1, rcpt2, data} {
		if reply != "" {
			s += "S: " + reply + "\n"
		}
	}
	return s
}

func TestWhatReplyMeans(t *testing.T) {
	const lost = "deferred lost 4.4.2"
	const protocol = "deferred protocol 4.5.0"
	for _, tt := range []struct {
		name, script string
		a, b         string
	}{
		{"all accepted", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 250 2.0.0 ok",
			"delivered 250 2.0.0", "delivered 250 2.0.0"},
		{"one recipient refused for good", pipelined("250 ok", "550 5.1.1 who?", "250 ok", "354 go") + "DATA\nS: 250 ok",
			"failed rcpt 550 5.1.1", "delivered 250 2.0.0"},
		{"one recipient refused for now", pipelined("250 ok", "250 ok", "450 4.2.1 later", "354 go") + "DATA\nS: 250 ok",
			"delivered 250 2.0.0", "deferred rcpt 450 4.2.1"},
		{"all recipients refused", pipelined("250 ok", "550 5.1.1 who?", "450 later", "503 no recipients"),
			"failed rcpt 550 5.1.1", "deferred rcpt 450 4.0.0"},
		{"refused MAIL decides over the 503s behind it", pipelined("550 5.7.1 not you", "503 5.5.1 MAIL first", "503 MAIL first", "503 RCPT first"),
			"failed mail 550 5.7.1", "failed mail 550 5.7.1"},
		{"MAIL refused for now decides too", pipelined("451 4.3.2 later", "503 5.5.1 MAIL first", "550 eh", "503 RCPT first"),
			"deferred mail 451 4.3.2", "deferred mail 451 4.3.2"},
		{"DATA refused for good", pipelined("250 ok", "250 ok", "550 5.1.1 who?", "554 5.7.1 no"),
			"failed data 554 5.7.1", "failed rcpt 550 5.1.1"},
		{"DATA refused for now", pipelined("250 ok", "250 ok", "250 ok", "451 no"),
			"deferred data 451 4.0.0", "deferred data 451 4.0.0"},
		{"content refused for good", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 554 5.7.1 spam",
			"failed data 554 5.7.1", "failed data 554 5.7.1"},
		{"content refused for now", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 451 4.3.0 later",
			"deferred data 451 4.3.0", "deferred data 451 4.3.0"},
		{"enhanced status of another class is not believed", pipelined("250 ok", "450 5.1.1 who?", "550 4.2.1 hm", "503 no"),
			"deferred rcpt 450 4.0.0", "failed rcpt 550 5.0.0"},

		{"2xx to DATA never releases the text", pipelined("250 ok", "250 ok", "250 ok", "250 ok"),
			"deferred protocol 250 4.0.0", "deferred protocol 250 4.0.0"},
		{"354 to RCPT is nonsense", pipelined("250 ok", "354 go", "250 ok", "354 go"),
			"deferred protocol 354 4.0.0", "deferred protocol 354 4.0.0"},
		{"354 to MAIL is nonsense", pipelined("354 go", "", "", "") + "DRAIN",
			"deferred protocol 354 4.0.0", "deferred protocol 354 4.0.0"},
		{"3xx to the dot is nonsense", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 354 more",
			"deferred protocol 354 4.0.0", "deferred protocol 354 4.0.0"},
		{"503 out of the blue is nonsense", pipelined("250 ok", "503 5.5.1 sequence", "250 ok", "354 go"),
			"deferred protocol 503 4.5.1", "deferred protocol 503 4.5.1"},
		{"6xx is no reply", pipelined("250 ok", "650 ok", "250 ok", "354 go"), protocol, protocol},
		{"1xx is no reply", pipelined("150 ok", "250 ok", "250 ok", "354 go"), protocol, protocol},
		{"recipient accepted without a sender is nonsense", pipelined("451 4.3.2 later", "250 ok", "250 ok", "354 go"),
			"deferred mail 451 4.3.2", "deferred mail 451 4.3.2"},

		{"a line without a code", pipelined("250 ok", "ok", "250 ok", "354 go"), protocol, protocol},
		{"a line without a code inside a reply", pipelined("250-ok", "and more", "250 ok", "354 go"), protocol, protocol},
		{"two digits", pipelined("250 ok", "25 ok", "250 ok", "354 go"), protocol, protocol},
		{"a letter behind the code", pipelined("250 ok", "250ok", "250 ok", "354 go"), protocol, protocol},
		{"bare LF", pipelined("250 ok", "250 ok", "250 ok", "") + `S~ 354 go\n`, protocol, protocol},
		{"bare CR", pipelined("250 ok", "250 ok", "250 ok", "") + `S~ 354 \rgo\r\n`, protocol, protocol},
		{"a line without end", pipelined("250 ok", "250 ok", "250 ok", "") + "S: 354 " + strings.Repeat("x", 5000), protocol, protocol},
		{"a reply without end", pipelined("250 ok", "250 ok", "250 ok", "") + "S~ " + strings.Repeat(`354-go\r\n`, 200), protocol, protocol},
		{"reply to the dot without a code", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: ok",
			protocol, protocol},
		{"second reply to one command", pipelined("250 ok", "250 ok", "250 ok", "") + `S~ 354 go\r\n250 ok\r\n`, protocol, protocol},

		{"differing codes: the worse counts, last", pipelined("250 ok", "250-ok\nS: 550 no", "250 ok", "354 go") + "DATA\nS: 250 ok",
			"failed rcpt 550 5.0.0", "delivered 250 2.0.0"},
		{"differing codes: the worse counts, first", pipelined("250 ok", "450-wait\nS: 250 ok", "250 ok", "354 go") + "DATA\nS: 250 ok",
			"deferred rcpt 450 4.0.0", "delivered 250 2.0.0"},
		{"code without text", pipelined("250", "250", "250", "354") + "DATA\nS: 250",
			"delivered 250 2.0.0", "delivered 250 2.0.0"},

		{"421 to MAIL", pipelined("421 4.3.2 closing", "", "", "") + "CLOSE",
			"deferred mail 421 4.3.2", "deferred mail 421 4.3.2"},
		{"421 to the second RCPT takes all along", pipelined("250 ok", "250 ok", "421 4.3.2 closing", "") + "CLOSE",
			"deferred rcpt 421 4.3.2", "deferred rcpt 421 4.3.2"},
		{"421 behind a final refusal leaves that", pipelined("250 ok", "550 5.1.1 who?", "421 4.3.2 closing", "") + "CLOSE",
			"failed rcpt 550 5.1.1", "deferred rcpt 421 4.3.2"},
		{"421 to the dot", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 421 4.3.2 closing\nCLOSE",
			"deferred data 421 4.3.2", "deferred data 421 4.3.2"},

		{"lost before the replies", pipelined("", "", "", "") + "CLOSE", lost, lost},
		{"reset before the replies", pipelined("", "", "", "") + "RESET", lost, lost},
		{"lost after a final refusal", pipelined("250 ok", "550 5.1.1 who?", "", "") + "CLOSE", "failed rcpt 550 5.1.1", lost},
		{"lost after the dot", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nCLOSE", lost, lost},
		{"lost inside the reply to the dot", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS~ 250 o\nCLOSE", lost, lost},
		{"lost inside a multi-line reply to the dot", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 250-ok\nCLOSE", lost, lost},
		{"250 to the dot counts though the server dies", pipelined("250 ok", "250 ok", "250 ok", "354 go") + "DATA\nS: 250 ok\nRESET",
			"delivered 250 2.0.0", "delivered 250 2.0.0"},
		{"250 to the dot counts though more follows", pipelined("250 ok", "250 ok", "250 ok", "354 go") + `DATA` + "\n" + `S~ 250 ok\r\n550 no\r\n`,
			"delivered 250 2.0.0", "delivered 250 2.0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, tt.script)
			want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")), tt.a, tt.b)
		})
	}
}

func TestNothingFollowsNonsense(t *testing.T) {
	// The script fails on any line it does not know, so that the client is
	// held to closing without a word where the replies are out of step.
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", "250 ok", "250 ok"))
	deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test"))
	srv.Wait()
	if len(srv.Content()) != 0 {
		t.Error("content was sent")
	}
}

func TestDataWithoutRecipientsGetsEmptyEnd(t *testing.T) {
	// RFC 2920, section 3.1: after 354 with no recipient, a dot alone.
	srv := smtptest.Play(t, pipelined("250 ok", "550 5.1.1 who?", "550 5.1.1 who?", "354 go")+`
		C: .
		S: 250 2.0.0 ok`)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"failed rcpt 550 5.1.1", "failed rcpt 550 5.1.1")
	srv.Wait()
}

func TestDataBehindRefusedMailGetsEmptyEnd(t *testing.T) {
	srv := smtptest.Play(t, pipelined("451 4.3.2 later", "503 no", "503 no", "354 go")+`
		C: .
		S: 250 2.0.0 ok`)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"deferred mail 451 4.3.2", "deferred mail 451 4.3.2")
	srv.Wait()
}

func TestLossAfterTheDotSaysSo(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", "250 ok", "354 go")+"DATA\nCLOSE")
	outs := deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test"))
	if text := outs[0].Text.ForLog(); !strings.Contains(text, "may have been delivered") {
		t.Error(text)
	}
}

func TestLossAfterTheDotAsksNoOtherHost(t *testing.T) {
	first := smtptest.Play(t, pipelined("250 ok", "250 ok", "250 ok", "354 go")+"DATA\nCLOSE")
	second := smtptest.Play(t)
	want(t, deliver(t, newClient(t), newJob(to(first.Addr(), second.Addr()), "a@to.test", "b@to.test")),
		"deferred lost 4.4.2", "deferred lost 4.4.2")
}

func TestServersWordsAreCleaned(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", `550 5.1.1 `+"\x1b[2J\x00"+` who?`, "450 "+strings.Repeat("x", 1500)))
	outs := deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test"))
	if got := outs[1].Text.ForLog(); strings.ContainsAny(got, "\x1b\x00") {
		t.Errorf("%q", got)
	}
	if n := outs[0].Text.Len(); n > maxText {
		t.Errorf("%d octets of a server's words were kept", n)
	}
}

func TestWithoutPipeliningOneCommandAtATime(t *testing.T) {
	srv := smtptest.Play(t, hello()+`
		C: MAIL FROM:<sender@from.test>
		S: 250 ok
		C: RCPT TO:<a@to.test>
		S: 550 5.1.1 who?
		C: RCPT TO:<b@to.test>
		S: 450 4.2.1 later`)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"failed rcpt 550 5.1.1", "deferred rcpt 450 4.2.1")
	c.Close()
	srv.Wait()
}

func TestWithoutPipeliningRefusedMailEndsIt(t *testing.T) {
	srv := smtptest.Play(t, hello()+`
		C: MAIL FROM:<sender@from.test>
		S: 550 5.7.1 not you`)
	c := newClient(t)
	want(t, deliver(t, c, newJob(to(srv.Addr()))), "failed mail 550 5.7.1")
	c.Close()
	srv.Wait()
}
