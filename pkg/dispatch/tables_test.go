package dispatch

import (
	"slices"
	"testing"
	"time"

	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// withTables gives a router lookups: "NAME KEY", and those that are away.
func (w *far) withTables(has, away *[]string) (asked *[]string) {
	asked = new([]string)
	w.d.router = agent(func(req, reply ipc.Message) error {
		q, is := req.(*proto.LookupQuery)
		if !is {
			return w.routes(req, reply)
		}
		*asked = append(*asked, q.Name+" "+q.Key)
		a := reply.(*proto.LookupAnswer)
		if slices.Contains(*away, q.Name) {
			a.Trouble = "the table is away"
			return nil
		}
		a.Found = slices.Contains(*has, q.Name+" "+q.Key)
		return nil
	})
	return asked
}

func phases(wait, until time.Duration) []settings.Phase {
	return []settings.Phase{{Every: settings.Duration(wait), Until: settings.Duration(until)}}
}

var partnerRules = []settings.Retry{
	{Name: "partners", Match: []string{"lookup:partners"}, Phases: phases(time.Hour, 14*24*time.Hour)},
	{Name: "hasty", Phases: phases(time.Minute, 10*time.Minute)},
}

func TestTableChoosesTheRuleAndItsChangeCounts(t *testing.T) {
	w := newFar(t, partnerRules...)
	has, away := []string{"partners x.example"}, []string{}
	asked := w.withTables(&has, &away)
	w.bothDown(outcome.Refused)
	id, s := w.arrive("a@x.example")
	if in(s, w.d.now()) != time.Hour {
		t.Errorf("a partner's is due in %v", in(s, w.d.now()))
	}
	if want := []string{"partners a@x.example", "partners x.example"}; !slices.Equal(*asked, want) {
		t.Errorf("asked %v, want each key once: %v", *asked, want)
	}
	has = nil
	w.pass(time.Hour)
	if s := w.due(id); s.State == proto.SettledWaiting {
		t.Errorf("no partner any more, and it still waits, due in %v", in(s, w.d.now()))
	}
}

func TestTableThatIsAwayMakesNoFailureOfADeferral(t *testing.T) {
	w := newFar(t, partnerRules...)
	has, away := []string{}, []string{"partners"}
	asked := w.withTables(&has, &away)
	w.bothDown(outcome.Refused)
	id, s := w.arrive("a@x.example")
	if in(s, w.d.now()) != time.Minute || len(*asked) != 1 {
		t.Errorf("due in %v, asked %v", in(s, w.d.now()), *asked)
	}
	for range 20 {
		w.pass(time.Hour)
		if s = w.due(id); s.State != proto.SettledWaiting {
			t.Fatalf("state %d, reports %+v", s.State, w.reports)
		}
	}
	away = nil
	w.pass(time.Hour)
	if s = w.due(id); s.State == proto.SettledWaiting {
		t.Errorf("it is known to be no partner's, and still waits")
	}
}

func TestDeliveriesAskNoTables(t *testing.T) {
	w := newFar(t, partnerRules...)
	has, away := []string{}, []string{"partners"}
	asked := w.withTables(&has, &away)
	for _, to := range []string{"a@x.example", "b@y.example"} {
		if _, s := w.arrive(to); s.State == proto.SettledWaiting {
			t.Error("it waits")
		}
	}
	if len(*asked) > 0 {
		t.Errorf("asked %v", *asked)
	}
}
