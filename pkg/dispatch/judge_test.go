package dispatch

import (
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// hourOfRefusals is a rule for machines that refuse: an hour, and one attempt afterwards.
func hourOfRefusals() settings.Retry {
	return settings.Retry{Name: "refused", On: []string{"refused"}, Afterwards: settings.AfterwardsOnce, Phases: []settings.Phase{
		{Every: settings.Duration(15 * time.Minute), Until: settings.Duration(time.Hour)},
	}}
}

// A server that talks to us and puts the message off is no machine that refuses, though
// the one that was asked behind it is.
func TestServerThatAnswersKeepsMailAliveBesideOneThatRefuses(t *testing.T) {
	w := newFar(t, hourOfRefusals())
	refused := outcome.Defer(outcome.Refused, statusNoAnswer, "connection refused")
	w.d.remote = agent(func(req, reply ipc.Message) error {
		job, done := req.(*proto.RemoteJob), reply.(*proto.RemoteDone)
		for n := range job.Hosts {
			tried := proto.HostTried{Addr: job.Hosts[n].Addr, Name: job.Hosts[n].Name}
			if tried.Name == "b.example" {
				tried.Failure = refused
			}
			done.Tried = append(done.Tried, tried)
		}
		for range job.Recipients {
			done.Outcomes = append(done.Outcomes, refused)
		}
		return nil
	})
	id, s := w.arrive("a@x.example")
	for age := time.Duration(0); age < 4*time.Hour && s.State == proto.SettledWaiting; {
		wait := max(in(s, w.d.now()), time.Minute)
		w.pass(wait)
		age += wait
		s = w.due(id)
	}
	if s.State != proto.SettledWaiting || len(w.reports) != 0 {
		t.Fatalf("given up: state %d, %d reports", s.State, len(w.reports))
	}
}
