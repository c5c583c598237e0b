package smtpclient

import (
	"testing"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/smtpclient/smtptest"
)

// A server that is silent after the whole message would keep the job for ten minutes.
func TestAbandonedJobEndsAtOnceAndNoOtherServerIsTried(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	srv := smtptest.Play(t, hello("PIPELINING")+"C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nDATA\nPAUSE\nCLOSE")
	srv.Pause = release
	other := smtptest.Drink(t, smtptest.Options{})
	_, client := startDaemon(t)
	job := newJob(to(srv.Addr(), other.Addr()))
	got := make(chan []outcome.Outcome, 1)
	go func() {
		var done proto.RemoteDone
		if err := client.Call(t.Context(), job, &done); err != nil {
			t.Error(err)
		}
		got <- done.Outcomes
	}()
	<-srv.Paused
	var n proto.Abandoned
	if err := client.Call(t.Context(), &proto.Abandon{ID: queueid.ID(7)}, &n); err != nil || n.Count != 0 {
		t.Fatalf("another message: %d jobs, %v", n.Count, err)
	}
	if err := client.Call(t.Context(), &proto.Abandon{ID: job.ID}, &n); err != nil || n.Count != 1 {
		t.Fatalf("%d jobs, %v", n.Count, err)
	}
	select {
	case outs := <-got:
		if len(outs) != 1 || !outs[0].Temporary() {
			t.Errorf("%+v", outs)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
	if other.Count() != 0 {
		t.Error("the next server got it")
	}
}
