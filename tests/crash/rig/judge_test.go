package rig

import (
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

func sent(f fate, to ...string) *Attempt {
	return &Attempt{token: "t1", how: "data", to: to, fate: f, began: at(0), ended: at(10)}
}

func arrived(rcpt string, ms int) Copy {
	return Copy{token: "t1", rcpt: rcpt, kind: whereOf(rcpt), at: at(ms), id: "A"}
}

// The judge must find what it is there for.
func TestTheJudgeFindsBrokenPromises(t *testing.T) {
	alice, far, nobody := "alice@home.test", "r1@far.test", "nobody-1@far.test"
	for name, c := range map[string]struct {
		sent   *Attempt
		copies []Copy
		kills  []Killed
		want   string // "": no violation
	}{
		"all is well":          {sent(acked, alice, far), []Copy{arrived(alice, 20), arrived(far, 20)}, nil, ""},
		"lost":                 {sent(acked, alice), nil, nil, "LOST for <alice@home.test>"},
		"lost for one":         {sent(acked, alice, far), []Copy{arrived(alice, 20)}, nil, "LOST for <r1@far.test>"},
		"lost for a member":    {sent(acked, team), []Copy{arrived(alice, 20)}, nil, "LOST for <bob@home.test>"},
		"no report":            {sent(acked, nobody), nil, nil, "LOST for <nobody-1@far.test>"},
		"a report":             {sent(acked, nobody), []Copy{arrived(nobody, 20)}, nil, ""},
		"half":                 {sent(acked, alice), []Copy{{token: "t1", rcpt: alice, at: at(20), wrong: "half"}}, nil, "half"},
		"nobody's":             {sent(acked, alice), []Copy{arrived(alice, 20), {token: "t2", rcpt: alice, at: at(20)}}, nil, "nobody sent it"},
		"to a stranger":        {sent(acked, alice), []Copy{arrived(alice, 20), arrived(far, 20)}, nil, "nobody sent it"},
		"reported though well": {sent(acked, alice), []Copy{{token: "t1", rcpt: alice, kind: toReport, at: at(20)}}, nil, "somebody else"},
		"never handed in":      {sent(never, alice), []Copy{arrived(alice, 20)}, nil, "reached 1 of 1"},
		"never, and nowhere":   {sent(never, alice), nil, nil, ""},
		"unknown, nowhere":     {sent(unknown, alice, far), nil, nil, ""},
		"unknown, all":         {sent(unknown, alice, far), []Copy{arrived(alice, 20), arrived(far, 20)}, nil, ""},
		"unknown, some":        {sent(unknown, alice, far), []Copy{arrived(alice, 20)}, nil, "it was ours"},
		"twice":                {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000)}, nil, "no kill explains it"},
		"twice for a kill":     {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000)}, []Killed{{"dispatch", at(1500)}}, ""},
		"killed before":        {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000)}, []Killed{{"dispatch", at(100)}}, "no kill"},
		"killed after":         {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000)}, []Killed{{"dispatch", at(6000)}}, "no kill"},
		"killed without harm":  {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000)}, []Killed{{"qmgr", at(1500)}, {"smtp-client", at(1500)}}, "no kill"},
		"third without a kill": {sent(acked, alice), []Copy{arrived(alice, 1000), arrived(alice, 5000), arrived(alice, 9000)},
			[]Killed{{"dispatch", at(1500)}}, "no kill"},
		"not said": {sent(acked, far), []Copy{{token: "t1", rcpt: far, kind: toRemote, at: at(20), unsaid: true}, arrived(far, 90)}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge([]*Attempt{c.sent}, c.copies, ByKills(c.kills))
			var got []string
			for _, x := range v.Violations {
				got = append(got, x.What)
			}
			text := strings.Join(got, "\n")
			if (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
				t.Fatalf("got %q, want %q", text, c.want)
			}
		})
	}
}

func TestAMessageThatWasChangedIsFound(t *testing.T) {
	a := &Attempt{token: "t1", how: "data", to: []string{"alice@home.test"}, body: bodyOf("t1", 3000)}
	whole := "Received: from x\n" + a.text()
	if wrong := examine(whole); wrong != "" {
		t.Fatalf("the whole message: %s", wrong)
	}
	for name, text := range map[string]string{
		"cut":             whole[:len(whole)-1],
		"cut early":       whole[:200],
		"cut in a header": whole[:60],
		"one octet":       whole[:len(whole)-30] + "X" + whole[len(whole)-29:],
		"longer":          whole + "\n",
		"empty":           "",
	} {
		if examine(text) == "" {
			t.Errorf("%s: nothing was found", name)
		}
	}
}

func TestAReportIsUnderstood(t *testing.T) {
	report := "From: x\nContent-Type: multipart/report; boundary=\"b1\"\n\n--b1\n\nwords\n--b1\n" +
		"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nFinal-Recipient: rfc822; nobody-1@far.test\nAction: failed\n\n" +
		"Final-Recipient: rfc822;nobody-2@far.test\nAction: failed\n\n--b1\n\nX-Token: t1\n\n--b1--\n"
	got := reportCopies(report, noon, "x")
	if len(got) != 2 || got[1].rcpt != "nobody-2@far.test" || got[1].token != "t1" || got[1].wrong != "" {
		t.Fatalf("got %+v", got)
	}
	if half := reportCopies(report[:len(report)-10], noon, "x"); len(half) != 1 || half[0].wrong == "" {
		t.Fatalf("half a report: %+v", half)
	}
	if delayed := reportCopies(strings.ReplaceAll(report, "failed", "delayed"), noon, "x"); delayed[0].wrong == "" {
		t.Fatalf("a warning: %+v", delayed)
	}
}
