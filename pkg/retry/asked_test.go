package retry

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/settings"
)

// asked answers all questions from tables ("NAME KEY"), and tells what was asked.
func asked(r Rules, s Subject, has map[string]bool) (Subject, []string) {
	s.Answers = Answers{}
	var list []string
	for q, open := r.Question(&s); open; q, open = r.Question(&s) {
		list = append(list, q.Lookup+" "+q.Key)
		s.Answers[q] = HasNot
		if has[q.Lookup+" "+q.Key] {
			s.Answers[q] = Has
		}
	}
	return s, list
}

func partners(t interface{ Fatal(...any) }) Rules {
	return compile(t,
		settings.Retry{Name: "never", Match: []string{"*.never.example"}, Phases: every(time.Hour, 2*time.Hour)},
		settings.Retry{Name: "boss", Senders: []string{"!lookup:trainees", "lookup:bosses"}, On: []string{"timeout"}, Phases: every(time.Hour, 9*day)},
		settings.Retry{Name: "partners", Match: []string{"!lookup:former", "lookup:partners"}, Phases: every(time.Hour, 14*day)},
		settings.Retry{Name: "rest", Phases: every(time.Hour, day)})
}

func TestRuleIsFoundByWhatItsLookupsSay(t *testing.T) {
	rules := partners(t)
	for name, c := range map[string]struct {
		has  []string
		rule string
	}{
		"nothing":     {nil, "rest"},
		"address":     {[]string{"partners ann@example.org"}, "partners"},
		"domain":      {[]string{"partners example.org"}, "partners"},
		"host":        {[]string{"partners mx.example.org"}, "partners"},
		"exception":   {[]string{"partners example.org", "former ann@example.org"}, "rest"},
		"other table": {[]string{"bosses example.org"}, "rest"},
		"sender":      {[]string{"bosses me@here.example", "partners example.org"}, "boss"},
		"both":        {[]string{"bosses me@here.example", "trainees me@here.example"}, "rest"},
	} {
		t.Run(name, func(t *testing.T) {
			has := map[string]bool{}
			for _, k := range c.has {
				has[k] = true
			}
			s, _ := asked(rules, ann, has)
			if got := rules.find(&s, silent); got.name != c.rule || len(got.perhaps) > 0 {
				t.Errorf("%s, perhaps %d others", got.name, len(got.perhaps))
			}
		})
	}
}

func TestOnlyWhatDecidesIsAsked(t *testing.T) {
	rules := partners(t)
	if _, list := asked(rules, Subject{Address: "x@a.never.example", Domain: "a.never.example"}, nil); len(list) > 0 {
		t.Errorf("a rule in front was for it, and %v was asked", list)
	}
	_, list := asked(rules, ann, map[string]bool{"former ann@example.org": true})
	want := []string{"trainees me@here.example", "bosses me@here.example", "former ann@example.org"}
	if len(list) != len(want) || list[2] != want[2] {
		t.Errorf("asked %v", list)
	}
	reports := ann
	reports.Sender = ""
	if _, list := asked(rules, reports, nil); len(list) != 6 || list[0] != "former ann@example.org" {
		t.Errorf("of the null sender: %v", list)
	}
	if _, list := asked(Rules{}, ann, nil); len(list) > 0 {
		t.Errorf("rules without lookups asked %v", list)
	}
}

func TestKeysAreAskedInTheFormOfTables(t *testing.T) {
	_, list := asked(partners(t), Subject{Address: "Ann@BÜCHER.example", Domain: "BÜCHER.example", Sender: "ME@Here.Example"}, nil)
	want := []string{"trainees me@here.example", "bosses me@here.example", "former ann@xn--bcher-kva.example", "former xn--bcher-kva.example"}
	for i, w := range want {
		if i >= len(list) || list[i] != w {
			t.Fatalf("asked %q, want %q", list, want)
		}
	}
}

// What a table that is away might say gives up nobody: neither may a rule behind it
// that is less patient, nor one that it would except.
func TestTableThatIsAwayGivesUpNoMail(t *testing.T) {
	rules := partners(t)
	m := Message{Arrived: start, Attempts: 5}
	known, _ := asked(rules, ann, nil)
	unknown := ann
	unknown.Answers = Answers{{"partners", "example.org"}: CannotTell}
	for name, c := range map[string]struct {
		s    Subject
		at   time.Duration
		over bool
	}{
		"known, too old":       {known, 2 * day, true},
		"unknown":              {unknown, 2 * day, false},
		"nobody asked":         {ann, 13 * day, false},
		"too old for everyone": {ann, 14 * day, true},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(c.at)
			if _, d := rules.Decide(c.s, State{}, m, silent, now, 0); d.Over != c.over {
				t.Errorf("over: %v, until %v", d.Over, d.GiveUp.Sub(start))
			} else if !d.Over && (!d.Next.After(now) || !d.GiveUp.Equal(start.Add(14*day))) {
				t.Errorf("next %v, until %v", d.Next.Sub(start), d.GiveUp.Sub(start))
			}
		})
	}
}

func TestSingleAttemptIsNotTheLastWhileATableIsAway(t *testing.T) {
	rules := compile(t,
		settings.Retry{Name: "partners", Match: []string{"lookup:partners"}, Phases: every(time.Hour, 5*day)},
		settings.Retry{Name: "rest", Phases: every(time.Hour, day), Afterwards: settings.AfterwardsOnce})
	s := State{Since: start, KindSince: start, Last: start, Next: start.Add(time.Hour), Attempts: 9, Failure: silent, GaveUp: start}
	m := Message{Arrived: start.Add(time.Hour), Attempts: 1}
	if _, d := rules.Decide(ann, s, m, silent, start.Add(time.Hour), 0); d.Over {
		t.Error("given up")
	}
	known, _ := asked(rules, ann, nil)
	if _, d := rules.Decide(known, s, m, silent, start.Add(time.Hour), 0); !d.Over {
		t.Error("not given up")
	}
}

func TestUnknownIsNeverLessPatientThanAnyAnswer(t *testing.T) {
	rules := partners(t)
	rapid.Check(t, func(t *rapid.T) {
		has := map[string]bool{}
		for _, k := range []string{"trainees me@here.example", "bosses me@here.example", "former example.org", "partners mx.example.org"} {
			has[k] = rapid.Bool().Draw(t, k)
		}
		full, _ := asked(rules, ann, has)
		part := ann
		part.Answers = Answers{}
		for q, a := range full.Answers {
			if rapid.Bool().Draw(t, "away "+q.Lookup+q.Key) {
				a = CannotTell
			}
			part.Answers[q] = a
		}
		m := Message{Arrived: start, Attempts: 3}
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(20*day)).Draw(t, "now")))
		s := State{Since: start, KindSince: start, Last: start, Failure: silent, Attempts: 3}
		_, sure := rules.Decide(full, s, m, silent, now, 0)
		_, unsure := rules.Decide(part, s, m, silent, now, 0)
		if unsure.Over && !sure.Over || unsure.GiveUp.Before(sure.GiveUp) {
			t.Fatalf("unsure %+v, sure %+v", unsure, sure)
		}
	})
}

func TestRulesWithoutLookupsAllocateNothing(t *testing.T) {
	rules := compile(t, settings.Retry{Name: "x", Match: []string{"*.x.example"}, Senders: []string{"a@b.example"}, Phases: every(time.Hour, day)})
	s, m := State{Since: start, Last: start, Next: start.Add(time.Hour), Failure: silent}, Message{start, 1}
	if n := testing.AllocsPerRun(100, func() { rules.May(pc, &s, m, start) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
