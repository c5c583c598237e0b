package smtpclient

import (
	"testing"

	"filbert/pkg/smtpclient/smtptest"
)

func TestPlainDialogueDelivers(t *testing.T) {
	srv := smtptest.Play(t, hello()+`
		C: MAIL FROM:<sender@from.test>
		S: 250 ok
		C: RCPT TO:<rcpt@to.test>
		S: 250 ok
		C: DATA
		S: 354 go
		DATA
		S: 250 2.6.0 queued as 17`)
	outs := deliver(t, newClient(t), newJob(to(srv.Addr())))
	want(t, outs, "delivered 250 2.6.0")
	if got := srv.Content(); len(got) != 1 || got[0] != testContent {
		t.Errorf("content %q", got)
	}
	o := outs[0]
	if o.Remote != "mx1.to.test" || o.RemoteIP != "127.0.0.1" || o.Transport != "smtp" || !o.Relayed || o.DSNPassed {
		t.Errorf("outcome %+v", o)
	}
}
