package callout

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// next is the world of the next run, with the records of this one.
func (w *world) next(t *testing.T) *world {
	t.Helper()
	n := newWorld()
	n.at = w.at
	list := w.memory.TakeChanged(1000, w.at)
	for i, r := range list {
		var ok bool
		if list[i], ok = Unmarshal(r.Marshal()); !ok {
			t.Fatalf("%+v makes no sense", r)
		}
	}
	if !n.memory.Recall(list, 0, n.at) {
		t.Fatal("not recalled")
	}
	return n
}

func TestNextRunAsksNobodyAgain(t *testing.T) {
	w := newWorld()
	w.says = yes
	_, _ = w.ask(t, "ann@far.example", "mx")
	w.says = no
	_, _ = w.ask(t, "bob@far.example", "mx")
	w.says = all
	_, _ = w.ask(t, "cat@all.example", "mx")
	n := w.next(t)
	for addr, want := range map[string]Answer{"ann@far.example": yes, "bob@far.example": no, "dan@all.example": all} {
		a, err := n.ask(t, addr, "mx")
		if err != nil || !a.Remembered || a.Outcome != want.Outcome || a.AcceptsAll != want.AcceptsAll {
			t.Errorf("%s: %+v, %v", addr, a, err)
		}
	}
	n.says = no
	if _, _ = n.ask(t, "eve@far.example", "mx"); n.probes != 0 || len(n.asked) != 1 {
		t.Errorf("a new address: %d probes, asked %v", n.probes, n.asked)
	}
	if list := n.memory.TakeChanged(10, n.at); len(list) != 1 {
		t.Errorf("%d records are kept again", len(list))
	}
}

func TestWhatCouldNotBeFoundOutIsNotKept(t *testing.T) {
	w := newWorld()
	w.says = unsure
	_, _ = w.ask(t, "ann@far.example", "mx")
	if list := w.memory.TakeChanged(10, w.at); len(list) != 0 {
		t.Errorf("%d records", len(list))
	}
}

func TestAnswersKeepTheirTimeOverRuns(t *testing.T) {
	w := newWorld()
	w.says = no
	_, _ = w.ask(t, "ann@far.example", "mx")
	n := w.next(t)
	n.at = n.at.Add(2*time.Hour - 1e6)
	if a, _ := n.ask(t, "ann@far.example", "mx"); !a.Remembered {
		t.Error("forgotten early")
	}
	n.at = n.at.Add(1e6)
	if a, _ := n.ask(t, "ann@far.example", "mx"); a.Remembered {
		t.Error("remembered for too long")
	}
}

func TestAnswersAreBelievedForNoLongerThanConfiguredNow(t *testing.T) {
	w := newWorld()
	w.says = yes
	_, _ = w.ask(t, "ann@far.example", "mx")
	list := w.memory.TakeChanged(10, w.at)
	n := newWorld()
	n.memory.SetLimits(Limits{KeepYes: time.Hour, KeepNo: time.Hour, PerDomain: 2})
	if n.memory.Recall(list, 0, w.at.Add(time.Hour)); n.memory.Len() != 0 {
		t.Error("what is too old by now was recalled")
	}
	if n.memory.Recall(list, 0, w.at.Add(-time.Hour)); n.memory.Len() != 0 {
		t.Error("what was answered in the future was recalled")
	}
	if n.memory.Recall(list, 0, w.at.Add(time.Minute)); n.memory.Len() != 2 {
		t.Errorf("%d answers", n.memory.Len())
	}
}

func TestRecalledAnswersTakeNoPlaceOfNewOnes(t *testing.T) {
	w := newWorld()
	w.says = no
	_, _ = w.ask(t, "ann@far.example", "mx")
	old := w.memory.TakeChanged(10, w.at)
	n := newWorld()
	n.says = yes
	_, _ = n.ask(t, "ann@far.example", "mx")
	n.memory.Recall(old, 0, n.at)
	if a, _ := n.ask(t, "ann@far.example", "mx"); a.Outcome.Class != yes.Outcome.Class {
		t.Errorf("%+v", a)
	}
}

func TestRecallIsBounded(t *testing.T) {
	w := newWorld()
	w.says = yes
	for i := range 20 {
		_, _ = w.ask(t, fmt.Sprintf("a@d%d.example", i), "mx")
	}
	n := newWorld()
	n.memory.most = 10
	if n.memory.Recall(w.memory.TakeChanged(1000, w.at), 0, w.at); n.memory.Len() != 10 {
		t.Errorf("%d answers", n.memory.Len())
	}
}

func TestForgottenAnswersAreAskedForAgain(t *testing.T) {
	w := newWorld()
	w.says = yes
	_, _ = w.ask(t, "ann@far.example", "mx")
	_, _ = w.ask(t, "bob@far.example", "mx")
	w.memory.Forget(func(key string) bool { return strings.HasPrefix(key, "far.example ann@far.example ") })
	_, _ = w.ask(t, "ann@far.example", "mx")
	_, _ = w.ask(t, "bob@far.example", "mx")
	if len(w.asked) != 3 || w.asked[2] != "ann@far.example" || w.probes != 1 {
		t.Errorf("asked %v, %d probes", w.asked, w.probes)
	}
}

// What was on its way to mtadb, or from it, when it was forgotten.
func TestForgottenAnswersDoNotComeBack(t *testing.T) {
	w := newWorld()
	w.says = yes
	_, _ = w.ask(t, "ann@far.example", "mx")
	on := w.memory.TakeChanged(10, w.at)
	before := w.memory.Forgets()
	w.memory.Forget(func(string) bool { return true })
	if gone := w.memory.Outdated(on); len(gone) != len(on) {
		t.Errorf("%d of %d are outdated", len(gone), len(on))
	}
	if w.memory.GiveBack(on); len(w.memory.TakeChanged(10, w.at)) != 0 {
		t.Error("kept again")
	}
	if w.memory.Recall(on, before, w.at) || w.memory.Len() != 0 {
		t.Error("recalled again")
	}
}

func TestWhatCouldNotBeKeptIsKeptLater(t *testing.T) {
	w := newWorld()
	w.says = yes
	for i := range 5 {
		_, _ = w.ask(t, fmt.Sprintf("a%d@far.example", i), "mx")
	}
	first := w.memory.TakeChanged(4, w.at)
	rest := w.memory.TakeChanged(4, w.at)
	if len(first) != 4 || len(rest) != 2 {
		t.Fatalf("%d and %d records", len(first), len(rest))
	}
	w.memory.GiveBack(first)
	if again := w.memory.TakeChanged(100, w.at); len(again) != 4 {
		t.Errorf("%d records", len(again))
	}
	w.memory.GiveBack(first)
	if again := w.memory.TakeChanged(100, w.at.Add(24*time.Hour)); len(again) != 0 {
		t.Errorf("%d records that nobody would read", len(again))
	}
}
