package smtpclient

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/service/servicetest"
	"filbert/pkg/settings"
	"filbert/pkg/smtpclient/smtptest"
)

func startDaemon(t *testing.T) (*servicetest.Suite, *ipc.Client) {
	s := settings.Default()
	s.Hostname = "client.test"
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", TimeoutScale: 1}}
	suite := servicetest.New(t, s, nil)
	suite.Start(proto.SMTPClient, New())
	return suite, suite.Client(string(proto.Dispatch), proto.SMTPClient, ipc.ClientOptions{})
}

func TestManyJobsOverOneConnection(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	_, client := startDaemon(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			var done proto.RemoteDone
			if err := client.Call(ctx, newJob(to(sink.Addr()), "a@to.test", "b@to.test"), &done); err != nil {
				t.Error(err)
				return
			}
			want(t, done.Outcomes, "delivered 250 2.0.0", "delivered 250 2.0.0")
		})
	}
	wg.Wait()
	if sink.Count() != 200 {
		t.Errorf("%d messages arrived", sink.Count())
	}
}

func TestLargeContentComesAsDescriptor(t *testing.T) {
	sink := smtptest.Drink(t, smtptest.Options{})
	_, client := startDaemon(t)
	job := newJob(to(sink.Addr()))
	big := bigContent()
	f := inFile(t, job, big)
	var done proto.RemoteDone
	if err := client.Call(t.Context(), job, &done, f); err != nil {
		t.Fatal(err)
	}
	want(t, done.Outcomes, "delivered 250 2.0.0")
	if sink.Mails()[0].Content != big {
		t.Error("changed on its way")
	}
}

func TestJobsAreFinishedOnDrain(t *testing.T) {
	release := make(chan struct{})
	srv := smtptest.Play(t, hello("PIPELINING")+"C: MAIL*\nC: RCPT*\nC: DATA\nS: 250 ok\nS: 250 ok\nS: 354 go\nDATA\nPAUSE\nS: 250 ok")
	srv.Pause = release
	suite, client := startDaemon(t)
	got := make(chan []outcome.Outcome, 1)
	go func() {
		var done proto.RemoteDone
		if err := client.Call(context.Background(), newJob(to(srv.Addr())), &done); err != nil {
			t.Error(err)
		}
		got <- done.Outcomes
	}()
	<-srv.Paused
	stopped := make(chan error, 1)
	go func() { stopped <- suite.Stop(proto.SMTPClient) }()
	close(release)
	want(t, <-got, "delivered 250 2.0.0")
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestOnlyDispatchAndRouterMayCall(t *testing.T) {
	for _, caller := range proto.Services() {
		may := caller == proto.Dispatch || caller == proto.Router
		if proto.MayCall(caller, proto.SMTPClient) != may {
			t.Errorf("%s: %v", caller, !may)
		}
	}
}

func TestEachCallerHasItsOwnKindOfCall(t *testing.T) {
	suite, dispatch := startDaemon(t)
	router := suite.Client(string(proto.Router), proto.SMTPClient, ipc.ClientOptions{})
	var done proto.RemoteDone
	if err := router.Call(t.Context(), newJob(to(nobody(t))), &done); err == nil {
		t.Error("router has mail delivered")
	}
	var answer proto.CalloutAnswer
	if err := dispatch.Call(t.Context(), newQuery(to(nobody(t))), &answer); err == nil {
		t.Error("dispatch has called out")
	}
	if err := router.Call(t.Context(), newQuery(to(nobody(t))), &answer); err != nil || answer.Outcome.Class != outcome.Deferred {
		t.Errorf("%v, %v", answer.Outcome.Class, err)
	}
}

func TestJobWithoutItsDescriptorEndsTheConnection(t *testing.T) {
	_, client := startDaemon(t)
	job := newJob(to(nobody(t)))
	job.Content = proto.Content{Size: 1 << 20}
	var done proto.RemoteDone
	if err := client.Call(t.Context(), job, &done); err == nil {
		t.Error("answered")
	}
}

func TestConfinementHasNoFilesAndNoPrograms(t *testing.T) {
	s := settings.Default()
	dir := t.TempDir()
	s.Transports = map[string]settings.Transport{
		"lmtp": {Driver: "lmtp", Socket: dir + "/lmtp"}, "smtp": {Driver: "smtp"},
		// A server that is not installed yet is no reason not to start.
		"later": {Driver: "lmtp", Socket: dir + "/later/lmtp"},
	}
	p := servicetest.New(t, s, nil).Start(proto.SMTPClient, New())
	spec := New().Confinement(p)
	if len(spec.Read)+len(spec.Write)+len(spec.Exec)+len(spec.BindTCP)+len(spec.Keep) != 0 {
		t.Errorf("%+v", spec)
	}
	if strings.Join(spec.Sockets, " ") != dir {
		t.Errorf("sockets %v", spec.Sockets)
	}
}
