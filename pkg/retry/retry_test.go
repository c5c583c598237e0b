package retry

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

var start = time.Date(2026, 3, 3, 14, 5, 0, 0, time.UTC)

const day = 24 * time.Hour

var (
	ann     = Subject{Address: "ann@example.org", Domain: "example.org", Host: "mx.example.org", Sender: "me@here.example", MX: MXThere}
	pc      = Subject{Address: "bob@pc.example.org", Domain: "pc.example.org", Host: "pc.example.org", Sender: "me@here.example", MX: MXNone}
	refused = Failure{Kind: outcome.Refused}
	silent  = Failure{Kind: outcome.TimedOut}
)

func compile(t interface{ Fatal(...any) }, list ...settings.Retry) Rules {
	rules, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func every(wait, until time.Duration) []settings.Phase {
	return []settings.Phase{{Every: settings.Duration(wait), Until: settings.Duration(until)}}
}

// A course is what becomes of one message at a host that never gets better.
func course(rules Rules, who Subject, s State, arrived time.Time, f Failure) (State, []time.Time, Decision) {
	var tries []time.Time
	now := arrived
	for n := 1; ; n++ {
		tries = append(tries, now)
		var d Decision
		s, d = rules.Decide(who, s, Message{arrived, n}, f, now, 0)
		if d.Over || n > 10_000 {
			return s, tries, d
		}
		now = d.Next
	}
}

func TestWaitGrowsByFactorToCeiling(t *testing.T) {
	_, tries, _ := course(Rules{}, ann, State{}, start, silent)
	want := []time.Duration{0, 5 * time.Minute, 12*time.Minute + 30*time.Second, 23*time.Minute + 45*time.Second}
	for i, w := range want {
		if got := tries[i].Sub(start).Round(time.Second); got != w {
			t.Errorf("attempt %d after %v, want %v", i+1, got, w)
		}
	}
	n := len(tries)
	if gap := tries[n-2].Sub(tries[n-3]); gap != 4*time.Hour {
		t.Errorf("the waits end at %v, want the ceiling", gap)
	}
}

func TestLastAttemptFallsOnTheMomentOfGivingUp(t *testing.T) {
	_, tries, _ := course(Rules{}, ann, State{}, start, silent)
	if last := tries[len(tries)-1]; !last.Equal(start.Add(5 * day)) {
		t.Errorf("the last attempt is at %v", last.Sub(start))
	}
}

// Paper, section 5: a message to a host that has been down for a day begins with
// the long delay.
func TestNewMessageToAHostThatIsDownBeginsWithTheLongWait(t *testing.T) {
	s := State{}
	for now := start; now.Before(start.Add(day)); now = s.Next {
		s = Rules{}.Fail(ann, s, silent, now, 0)
	}
	m := Message{Arrived: start.Add(day + time.Minute)}
	if until, held := held(Rules{}, ann, &s, m, m.Arrived); !held || !until.Equal(s.Next) {
		t.Errorf("held %v until %v, want %v", held, until, s.Next)
	}
	s, d := Rules{}.Decide(ann, s, Message{m.Arrived, 1}, silent, s.Next, 0)
	if wait := d.Next.Sub(s.Last); wait != 4*time.Hour {
		t.Errorf("its first wait is %v", wait)
	}
}

// Paper, section 5: 6 hours instead of 6 days where the connection is always refused.
func TestRefusedForSixHoursGivesUpWhereThereIsNoMX(t *testing.T) {
	for _, c := range []struct {
		who  Subject
		f    Failure
		want time.Duration
	}{{pc, refused, 6 * time.Hour}, {ann, refused, 5 * day}, {pc, silent, 5 * day}} {
		_, tries, d := course(Rules{}, c.who, State{}, start, c.f)
		if last := tries[len(tries)-1].Sub(start); last != c.want || !d.Over {
			t.Errorf("%s, %s: given up after %v, want %v", c.who.Host, c.f.Kind, last, c.want)
		}
	}
}

func TestOtherFailureBetweenBeginsTheSixHoursAnew(t *testing.T) {
	s, d := Rules{}.Decide(pc, State{}, Message{start, 1}, silent, start, 0)
	now := start.Add(5 * time.Hour)
	s, d = Rules{}.Decide(pc, s, Message{start, 2}, refused, now, 0)
	if !d.GiveUp.Equal(now.Add(6*time.Hour)) || !s.Since.Equal(start) || !s.KindSince.Equal(now) {
		t.Errorf("gives up at %v, %+v", d.GiveUp.Sub(start), s)
	}
}

// Paper, section 5: one attempt for each later message, until something succeeds.
func TestHostThatNeverListensGetsOneAttemptPerLaterMessage(t *testing.T) {
	s, _, _ := course(Rules{}, pc, State{}, start, refused)
	arrived := start.Add(7 * time.Hour)
	if _, held := held(Rules{}, pc, &s, Message{Arrived: arrived}, arrived); held {
		t.Error("its one attempt has to wait")
	}
	s, tries, d := course(Rules{}, pc, s, arrived, refused)
	if len(tries) != 1 || !strings.Contains(d.Why, "has refused mail since 3 March 14:05") || !strings.Contains(d.Why, "given up on 3 March 20:05") {
		t.Errorf("%d attempts; %s", len(tries), d.Why)
	}
	if _, tries, _ = course(Rules{}, pc, State{}, arrived, refused); len(tries) < 5 {
		t.Errorf("%d attempts after a success", len(tries))
	}
}

// Paper, section 5: after an address's messages were returned, later ones bounce
// quickly, until something succeeds; also only where there is no MX.
func TestAddressWhoseMailWasReturnedBouncesQuickly(t *testing.T) {
	no := false
	for _, c := range []struct {
		mx     *bool
		who    Subject
		single bool
	}{{nil, ann, true}, {nil, pc, true}, {&no, pc, true}, {&no, ann, false}} {
		rules := compile(t, settings.Retry{Name: "quick", MX: c.mx, Afterwards: "once", Phases: every(time.Hour, 4*day)})
		s, _, _ := course(rules, c.who, State{}, start, silent)
		_, tries, d := course(rules, c.who, s, start.Add(6*day), silent)
		if (len(tries) == 1) != c.single || d.Once != c.single {
			t.Errorf("mx %v, %s: %d attempts, once %v", c.mx != nil, c.who.Host, len(tries), d.Once)
		}
	}
}

// A message that came before the other was given up has its own time.
func TestMessageThatCameBeforeKeepsItsTime(t *testing.T) {
	s, _, _ := course(Rules{}, pc, State{}, start, refused)
	d := Rules{}.Judge(pc, &s, Message{start.Add(5 * time.Hour), 3}, start.Add(6*time.Hour))
	if d.Over || !d.GiveUp.Equal(start.Add(11*time.Hour)) {
		t.Errorf("%+v", d)
	}
}

func TestMachineThatWasOffTriesOnceMoreAtOnce(t *testing.T) {
	d := Rules{}.Rebuilt(ann, silent, Message{start, 1}, start, start.Add(30*day), 0)
	if d.Next.After(start.Add(30*day)) || d.Over {
		t.Errorf("%+v", d)
	}
}

func TestNeverGivenUpWithoutAnAttempt(t *testing.T) {
	s := Rules{}.Fail(ann, State{}, silent, start, 0)
	m := Message{Arrived: start.Add(-30 * day)}
	if _, held := held(Rules{}, ann, &s, m, start.Add(time.Second)); held {
		t.Error("it has to wait, and would be given up untried")
	}
}

func TestReportsAreGivenUpSooner(t *testing.T) {
	who := ann
	who.Sender = ""
	_, tries, d := course(Rules{}, who, State{}, start, silent)
	if last := tries[len(tries)-1].Sub(start); last != day || d.Rule != "reports" {
		t.Errorf("given up after %v by %s", last, d.Rule)
	}
}

func TestTimeThatGreylistingNamesIsObeyedWithinBounds(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"try again in 20 minutes": 20*time.Minute + time.Second,
		"try again in 1 second":   leastNamed,
		"try again in 20 hours":   4 * time.Hour,
		"try again":               5 * time.Minute,
	} {
		f := Failure{Kind: outcome.RcptRefused, Code: 450, Text: untrusted.From(text)}
		if s := (Rules{}).Fail(ann, State{}, f, start, 0); s.Next.Sub(start) != want {
			t.Errorf("%q: %v", text, s.Next.Sub(start))
		}
	}
	f := Failure{Kind: outcome.RcptRefused, Code: 450, Text: untrusted.From("try again in 1 second")}
	s := State{}
	for range obeyedTimes + 1 {
		s = Rules{}.Fail(ann, s, f, start, 0)
	}
	if s.Next.Sub(start) != 5*time.Minute {
		t.Errorf("one who says it for ever is asked again after %v", s.Next.Sub(start))
	}
}

func TestFirstRuleThatMatchesDecides(t *testing.T) {
	yes := true
	rules := compile(t,
		settings.Retry{Name: "address", Match: []string{"ann@example.org"}, Phases: every(time.Minute, day)},
		settings.Retry{Name: "not", Match: []string{"!slow.example.org", "*.example.org"}, On: []string{"connection"}, Phases: every(time.Minute, day)},
		settings.Retry{Name: "host", Match: []string{"mx.big.example"}, MX: &yes, Phases: every(time.Minute, day)},
		settings.Retry{Name: "code", Codes: []string{"45?"}, Phases: every(time.Minute, day)},
		settings.Retry{Name: "enhanced", Codes: []string{"4.2.*"}, Phases: every(time.Minute, day)},
		settings.Retry{Name: "sender", Senders: []string{"*@shop.example"}, Phases: every(time.Minute, day)},
	)
	for _, c := range []struct {
		want string
		s    Subject
		f    Failure
	}{
		{"address", ann, silent},
		{"not", pc, refused},
		{"default", pc, Failure{Kind: outcome.DNS}},
		{"default", Subject{Domain: "slow.example.org", Host: "a.example.org", Sender: "x@y"}, refused},
		{"host", Subject{Domain: "a.example", Host: "mx.big.example", MX: MXThere, Sender: "x@y"}, silent},
		{"default", Subject{Domain: "a.example", Host: "mx.big.example", Sender: "x@y"}, silent},
		{"code", Subject{Domain: "a.example", Sender: "x@y"}, Failure{Kind: outcome.RcptRefused, Code: 451}},
		{"enhanced", Subject{Domain: "a.example", Sender: "x@y"}, Failure{Kind: outcome.RcptRefused, Code: 421, Status: smtp.Status{Class: 4, Subject: 2, Detail: 2}}},
		{"default", Subject{Domain: "a.example", Sender: "x@y"}, Failure{Kind: outcome.Quota, Status: smtp.Status{Class: 4, Subject: 2, Detail: 2}}},
		{"sender", Subject{Domain: "a.example", Sender: "x@shop.example"}, silent},
		{"reports", Subject{Domain: "a.example"}, silent},
	} {
		if got := rules.find(&c.s, c.f).name; got != c.want {
			t.Errorf("%+v %s: %s, want %s", c.s, c.f.Name(), got, c.want)
		}
	}
}

// Every kind that pkg/outcome has is one that a rule can name, or never that of
// a failure that is tried again.
func TestEveryTemporaryOutcomeHasExactlyOneName(t *testing.T) {
	never := []string{"", "busy", "expired", "cancelled", "returned", "order", "aborted"}
	file, err := parser.ParseFile(token.NewFileSet(), "../outcome/outcome.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		lit, ok := v.Values[0].(*ast.BasicLit)
		if id, typed := v.Type.(*ast.Ident); !ok || !typed || id.Name != "Kind" {
			return true
		}
		kind, _ := strconv.Unquote(lit.Value)
		n++
		names := 0
		for _, k := range kinds {
			if string(k.of) == kind && kind != "" {
				names++
			}
		}
		if want := 1; slices.Contains(never, kind) == (names == want) {
			t.Errorf("%q has %d names", kind, names)
		}
		if name := (Failure{Kind: outcome.Kind(kind)}).Name(); !slices.Contains(Kinds(), name) {
			t.Errorf("%q is called %q, which no rule can say", kind, name)
		}
		return true
	})
	if n < 25 {
		t.Errorf("only %d kinds found", n)
	}
	for _, name := range Kinds() {
		f, ok := KindOf(name)
		if _, group := groups[name]; ok == group || ok && f.Name() != name {
			t.Errorf("%s comes back as %s", name, f.Name())
		}
	}
}

func TestDecisionOfSeveralHostsIsThatOfTheBest(t *testing.T) {
	at := func(h int) time.Time { return start.Add(time.Duration(h) * time.Hour) }
	d := Combine([]Decision{{Next: at(3), GiveUp: at(5), Rule: "a"}, {Over: true, Next: at(1), GiveUp: at(2)}, {Next: at(2), GiveUp: at(4), Rule: "b"}})
	if d.Over || !d.Next.Equal(at(2)) || !d.GiveUp.Equal(at(5)) || d.Rule != "b" || d.Final {
		t.Errorf("%+v", d)
	}
	if d := Combine([]Decision{{Over: true, Next: at(1)}, {Over: true, Next: at(2)}}); !d.Over {
		t.Error("all gave up")
	}
}

func held(r Rules, who Subject, s *State, m Message, now time.Time) (time.Time, bool) {
	leave, until := r.May(who, s, m, now)
	return until, leave == Wait
}

// anyRule draws a rule that Check takes.
func anyRule(t *rapid.T) settings.Retry {
	r := settings.Retry{Name: "drawn", On: rapid.SliceOfN(rapid.SampledFrom(Kinds()), 0, 2).Draw(t, "on")}
	r.Afterwards = rapid.SampledFrom([]string{"", "once", "again"}).Draw(t, "afterwards")
	jitter := rapid.IntRange(0, 100).Draw(t, "jitter")
	r.Jitter = &jitter
	until := settings.Duration(0)
	for range rapid.IntRange(1, 4).Draw(t, "phases") {
		wait := settings.Duration(rapid.Int64Range(int64(time.Second), int64(5*time.Hour)).Draw(t, "wait"))
		until += wait + settings.Duration(rapid.Int64Range(int64(time.Second), int64(day)).Draw(t, "until"))
		p := settings.Phase{Until: until}
		if rapid.Bool().Draw(t, "grows") {
			p.From, p.Factor = wait, rapid.Float64Range(1, 10).Draw(t, "factor")
			p.Max = wait + settings.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "max"))
		} else {
			p.Every = wait
		}
		r.Phases = append(r.Phases, p)
	}
	return r
}

func anyFailure(t *rapid.T) Failure {
	f, _ := KindOf(rapid.SampledFrom(Kinds()[:len(kinds)]).Draw(t, "kind"))
	if rapid.Bool().Draw(t, "reply") {
		f.Code, f.Text = 450, untrusted.From(rapid.SampledFrom([]string{"", "try again in 3 hours", "retry in 1s"}).Draw(t, "text"))
	}
	return f
}

func TestNoClockMakesAWaitNegativeOrTooLong(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := compile(t, anyRule(t))
		now, s := start, State{}
		for range rapid.IntRange(1, 30).Draw(t, "failures") {
			f := anyFailure(t)
			dice := rapid.Float64Range(0, 1).Draw(t, "dice")
			var d Decision
			s, d = rules.Decide(ann, s, Message{start, s.Attempts + 1}, f, now, dice)
			x := rules.find(&ann, f)
			longest := x.stretched(x.phases.longest(), 1)
			if wait := s.Next.Sub(now); wait <= 0 || wait > longest {
				t.Fatalf("waits %v of at most %v", wait, longest)
			}
			if !d.Over && (d.Next.Before(now) || d.Next.Sub(now) > longest) {
				t.Fatalf("the message waits %v of at most %v", d.Next.Sub(now), longest)
			}
			// The clock is set to anything.
			now = now.Add(time.Duration(rapid.Int64Range(-int64(40*day), int64(40*day)).Draw(t, "step")))
			if until, held := held(rules, ann, &s, Message{Arrived: start}, now); held && (!until.After(now) || until.Sub(now) > longest) {
				t.Fatalf("held for %v of at most %v", until.Sub(now), longest)
			}
		}
	})
}

func TestEveryMessageEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := anyRule(t)
		rules := compile(t, r)
		f := func() Failure { return anyFailure(t) }
		if rapid.Bool().Draw(t, "same") {
			one := f()
			f = func() Failure { return one }
		}
		most := max(5*day, r.Phases[len(r.Phases)-1].Until.D())
		s, now := State{}, start
		for n := 1; ; n++ {
			var d Decision
			s, d = rules.Decide(ann, s, Message{start, n}, f(), now, 0.5)
			if d.Over {
				return
			}
			if now.Sub(start) > most {
				t.Fatalf("still tried after %v; the rules say %v", now.Sub(start), most)
			}
			if !d.Next.After(now) {
				t.Fatalf("attempt after attempt at %v", now)
			}
			if n > 2000 {
				return // a wait of seconds: rapid has no time to see the end
			}
			now = d.Next
		}
	})
}

func TestPhasesNeverGoBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := compilePhases(anyRule(t).Complete().Phases)
		a := time.Duration(rapid.Int64Range(0, int64(10*day)).Draw(t, "a"))
		b := a + time.Duration(rapid.Int64Range(0, int64(day)).Draw(t, "b"))
		pa, pb := l.at(a), l.at(b)
		if pb.begins < pa.begins || pa == pb && l.wait(b) < l.wait(a) {
			t.Fatalf("%v: %v, %v: %v", a, l.wait(a), b, l.wait(b))
		}
	})
}

func TestBuiltInRulesAreRules(t *testing.T) {
	for _, r := range settings.DefaultRetry() {
		if p := Check(&r); len(p) > 0 {
			t.Errorf("%s: %v", r.Name, p)
		}
	}
}

func TestARecordSaysWhatTheStateSays(t *testing.T) {
	want := Record{State: State{Since: start, KindSince: start.Add(time.Hour), Last: start.Add(2 * time.Hour), Next: start.Add(3 * time.Hour), Attempts: 7}, Host: "mx.example", Hops: []string{"a.example", "b.example"}}
	got, ok := UnmarshalRecord(want.Marshal())
	if !ok || !got.State.Since.Equal(want.State.Since) || !got.State.KindSince.Equal(want.State.KindSince) || !got.State.Last.Equal(want.State.Last) ||
		!got.State.Next.Equal(want.State.Next) || !got.State.GaveUp.IsZero() || got.State.Attempts != 7 || got.Host != want.Host || len(got.Hops) != 2 {
		t.Errorf("%+v", got)
	}
	other := want.Marshal()
	other[0]++
	if _, ok := UnmarshalRecord(other); ok {
		t.Error("a record of another version was read")
	}
	if _, ok := UnmarshalRecord(append(want.Marshal(), 0)); ok {
		t.Error("octets behind the record were passed over")
	}
}
