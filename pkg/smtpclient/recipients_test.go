package smtpclient

import (
	"fmt"
	"testing"

	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

func TestTooManyRecipientsFollowOnTheSameConnection(t *testing.T) {
	for _, code := range []string{"452 4.5.3 too many", "452 too many", "552 5.5.3 too many", "552 too many"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			srv := smtptest.Play(t, pipelined("250 ok", "250 ok", code, "354 go")+`
				DATA
				S: 250 2.0.0 first
				C: MAIL FROM:<sender@from.test>
				C: RCPT TO:<b@to.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				DATA
				S: 250 2.0.0 second`)
			want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
				"delivered 250 2.0.0", "delivered 250 2.0.0")
			if n := len(srv.Content()); n != 2 {
				t.Errorf("sent %d times", n)
			}
		})
	}
}

func TestTooManyWithoutProgressDefers(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "552 too many", "452 4.5.3 too many", "503 no"))
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"deferred rcpt 552 4.0.0", "deferred rcpt 452 4.5.3")
}

func TestFullMailboxOrDiskIsNotTooMany(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", "452 4.2.2 mailbox full", "354 go")+"DATA\nS: 250 ok")
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"delivered 250 2.0.0", "deferred rcpt 452 4.2.2")
}

func TestFullDiskEndsTheSeries(t *testing.T) {
	srv := smtptest.Play(t, pipelined("250 ok", "250 ok", "452 4.5.3 too many", "354 go")+"DATA\nS: 452 4.3.1 disk full")
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test")),
		"deferred data 452 4.3.1", "deferred rcpt 452 4.5.3")
}

func TestServersLimitIsLearned(t *testing.T) {
	// Two of five are taken: the rest come two by two, not five, three, one.
	script := hello("PIPELINING") + "C: MAIL*\n"
	for i := range 5 {
		script += fmt.Sprintf("C: RCPT TO:<%d@to.test>\n", i)
	}
	script += "C: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\n"
	for range 3 {
		script += "S: 452 4.5.3 too many\n"
	}
	script += "S: 354 go\nDATA\nS: 250 ok\n"
	script += "C: MAIL*\nC: RCPT TO:<2@to.test>\nC: RCPT TO:<3@to.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 250 ok\nS: 354 go\nDATA\nS: 250 ok\n"
	script += "C: MAIL*\nC: RCPT TO:<4@to.test>\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nDATA\nS: 250 ok\n"
	srv := smtptest.Play(t, script)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "0@to.test", "1@to.test", "2@to.test", "3@to.test", "4@to.test")),
		"delivered 250 2.0.0", "delivered 250 2.0.0", "delivered 250 2.0.0", "delivered 250 2.0.0", "delivered 250 2.0.0")
}

func TestServerThatHangsUpOnTooManyGetsFewer(t *testing.T) {
	for _, last := range []string{"421 4.7.0 too many errors", "421 4.7.0 too many errors\nS: 421 gone", "CLOSE"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			end := "S: " + last
			if last == "CLOSE" {
				end = last
			}
			srv := smtptest.Play(t, hello("PIPELINING")+`
				C: MAIL*
				C: RCPT TO:<a@to.test>
				C: RCPT TO:<b@to.test>
				C: RCPT TO:<c@to.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 452 4.5.3 too many
				`+end, hello("PIPELINING")+`
				C: MAIL*
				C: RCPT TO:<a@to.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				DATA
				S: 250 ok
				C: MAIL*
				C: RCPT TO:<b@to.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				DATA
				S: 250 ok
				C: MAIL*
				C: RCPT TO:<c@to.test>
				C: DATA
				S: 250 ok
				S: 250 ok
				S: 354 go
				DATA
				S: 250 ok`)
			want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test", "c@to.test")),
				"delivered 250 2.0.0", "delivered 250 2.0.0", "delivered 250 2.0.0")
		})
	}
}

func TestServerThatHangsUpOnFewerDefers(t *testing.T) {
	once := hello("PIPELINING") + "C: MAIL*\nC: RCPT TO:<a@to.test>\nC: RCPT TO:<b@to.test>\nC: RCPT TO:<c@to.test>\nC: DATA\n" +
		"S: 250 ok\nS: 250 ok\nS: 452 4.5.3 too many\nS: 421 4.7.0 enough"
	again := hello("PIPELINING") + "C: MAIL*\nC: RCPT TO:<a@to.test>\nC: DATA\nS: 250 ok\nS: 452 4.5.3 too many\nS: 421 4.7.0 enough"
	srv := smtptest.Play(t, once, again)
	want(t, deliver(t, newClient(t), newJob(to(srv.Addr()), "a@to.test", "b@to.test", "c@to.test")),
		"deferred rcpt 452 4.5.3", "deferred data 421 4.7.0", "deferred data 421 4.7.0")
}

func TestRecipientsAreSplitAtTheTransportsLimit(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.MaxRecipients = 2 }))
	deliver(t, c, newJob(to(sink.Addr()), "a@to.test", "b@to.test", "c@to.test"))
	if m := sink.Mails(); len(m) != 2 || len(m[0].To) != 2 || len(m[1].To) != 1 {
		t.Errorf("%+v", m)
	}
}

func TestLIMITSIsKept(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{Extensions: []string{"PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=1"}})
	deliver(t, newClient(t), newJob(to(sink.Addr()), "a@to.test", "b@to.test", "c@to.test"))
	if m := sink.Mails(); len(m) != 2 || len(m[0].To) != 2 {
		t.Errorf("%+v", m)
	}
}

func TestThousandRecipientsArePipelinedInWindows(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	c := newClient(t, transport("smtp", func(tr *settings.Transport) { tr.MaxRecipients = 1000 }))
	var rcpts []string
	for i := range 1000 {
		rcpts = append(rcpts, fmt.Sprintf("user%d@to.test", i))
	}
	for _, o := range deliver(t, c, newJob(to(sink.Addr()), rcpts...)) {
		if say(o) != "delivered 250 2.0.0" {
			t.Fatal(say(o))
		}
	}
	if m := sink.Mails(); len(m) != 1 || len(m[0].To) != 1000 {
		t.Errorf("%d messages", len(m))
	}
}
