package mtactl

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"filbert/pkg/retry"
)

func TestBusiestHourIsCounted(t *testing.T) {
	at := time.Date(2026, 3, 3, 14, 5, 0, 0, time.UTC)
	list := []time.Time{at, at.Add(10 * time.Minute), at.Add(59 * time.Minute), at.Add(60 * time.Minute), at.Add(5 * time.Hour)}
	if n := busiest(list); n != 3 {
		t.Errorf("%d", n)
	}
}

func TestFlagsOfASimulationAreRead(t *testing.T) {
	good := simulateQuery{down: "ann@example.org=2d", kind: "refused", mx: "false", sender: "<>", every: "12h", span: "7d"}
	w, err := good.whatIf()
	if err != nil || w.Down != 48*time.Hour || w.Every != 12*time.Hour || w.Subject.Address != "ann@example.org" || w.Subject.Sender != "" {
		t.Errorf("%+v, %v", w, err)
	}
	for name, change := range map[string]func(*simulateQuery){
		"down":  func(q *simulateQuery) { q.down = "example.org" },
		"time":  func(q *simulateQuery) { q.down = "example.org=soon" },
		"zero":  func(q *simulateQuery) { q.down = "example.org=0s" },
		"who":   func(q *simulateQuery) { q.down = "a b=2d" },
		"kind":  func(q *simulateQuery) { q.kind = "local" },
		"mx":    func(q *simulateQuery) { q.mx = "maybe" },
		"every": func(q *simulateQuery) { q.every = "-1h" },
		"for":   func(q *simulateQuery) { q.span = "" },
	} {
		q := good
		change(&q)
		if _, err := q.whatIf(); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSimulationIsPrintedAsJSON(t *testing.T) {
	q := simulateQuery{down: "pc.example.org=30d", kind: "refused", mx: "false", sender: "a@example.net", every: "12h", span: "7d"}
	w, err := q.whatIf()
	if err != nil {
		t.Fatal(err)
	}
	w.Start, w.Dice = time.Date(2026, 3, 3, 14, 5, 0, 0, time.UTC), func() float64 { return 0 }
	told := retry.Rules{}.Simulate(w)
	b, err := json.Marshal(simulated(&w, &told))
	if err != nil {
		t.Fatal(err)
	}
	var back simulation
	if err := json.Unmarshal(b, &back); err != nil || back.Rule != "never-listens" || len(back.Messages) != 15 || back.Messages[1].Returned == nil {
		t.Errorf("%v: %s", err, b)
	}
}

func TestSimulateRefusesHalfOfAQuestion(t *testing.T) {
	for _, args := range [][]string{
		{"--past", "1d", "--kind", "refused"}, {"--past", "1d", "--for", "3d"}, {"--down", "far.test=1d", "--back", "late"},
		{"--past", "1d", "--routes", "--config", "new.toml", "--back", "late"},
	} {
		code, _, errs := run(t, t.TempDir(), append([]string{"simulate"}, args...)...)
		if code != exUsage || !strings.Contains(errs, " is about ") {
			t.Errorf("%v: %d, %s", args, code, errs)
		}
	}
}
