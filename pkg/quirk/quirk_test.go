package quirk

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"filbert/pkg/untrusted"
)

var noon = time.UnixMilli(1_800_000_000_000)

func refusedEHLO() *Seen { return &Seen{EHLO: Mark{How: HowRefused, Code: 502}} }

func factsOf(seen ...*Seen) *Facts {
	f := new(Facts)
	for _, s := range seen {
		f.Learn(s, "mx.example", noon)
	}
	return f
}

func TestServerThatRefusedEHLOIsGreetedWithHELOForAWeek(t *testing.T) {
	for _, how := range []How{HowRefused, HowDropped} {
		f := factsOf(&Seen{EHLO: Mark{How: how}})
		for after, want := range map[time.Duration]bool{0: true, Lifetime - time.Second: true, Lifetime: false} {
			if got := f.Advise(noon.Add(after)).HELO; got != want {
				t.Errorf("way %d, %s later: HELO %v", how, after, got)
			}
		}
	}
}

func TestGrantedEHLOEndsHELO(t *testing.T) {
	f := factsOf(refusedEHLO(), &Seen{Greeted: true})
	if f.Advise(noon).HELO || f.EHLO.How != HowNot {
		t.Errorf("%+v", f)
	}
}

func TestServerThatOfferedSTARTTLSIsNotGreetedWithHELO(t *testing.T) {
	f := factsOf(&Seen{Greeted: true, Offered: true}, refusedEHLO())
	if f.Advise(noon).HELO {
		t.Error("one broken EHLO takes TLS away")
	}
	list := f.Conclusions(noon)
	if len(list) != 1 || !strings.Contains(list[0].String(), "EHLO each time") {
		t.Errorf("%v", list)
	}
	f.Offered = noon.Add(-Trust)
	if !f.Advise(noon).HELO {
		t.Error("what was offered long ago counts for ever")
	}
}

func TestFailedHandshakeChangesNothing(t *testing.T) {
	f := factsOf(&Seen{Greeted: true, Offered: true, TLS: Mark{How: HowBroken}})
	if f.Advise(noon) != (Advice{}) || f.TLS.How != HowBroken {
		t.Errorf("%+v", f)
	}
	f.Learn(&Seen{Greeted: true, Offered: true, Secured: true}, "", noon)
	if f.TLS.How != HowNot {
		t.Error("it is still a failure when TLS has come about")
	}
}

func TestOtherAdvice(t *testing.T) {
	f := factsOf(&Seen{OutOfStep: Mark{How: HowBroken}, TooMany: Mark{How: HowRefused, Code: 452}, Took: 7})
	if got, want := f.Advise(noon), (Advice{OneByOne: true, MaxRecipients: 7}); got != want {
		t.Errorf("%+v", got)
	}
	if got := f.Advise(noon.Add(Lifetime)); got != (Advice{}) {
		t.Errorf("a week later %+v", got)
	}
	for _, c := range f.Conclusions(noon) {
		if c.Until.IsZero() || !strings.Contains(c.String(), ", because ") {
			t.Errorf("%q", c.String())
		}
	}
}

func TestSameAgainIsNoNews(t *testing.T) {
	seen := &Seen{Greeted: true, Offered: true, Secured: true, Extensions: []string{"8BITMIME", "SIZE"}, Size: 1000}
	seen.Times.Took(Connect, 20*time.Millisecond)
	f := new(Facts)
	if !f.Learn(seen, "mx.example", noon) {
		t.Error("the first time is no news")
	}
	seen.Times.Took(Connect, 40*time.Millisecond)
	if f.Learn(seen, "mx.example", noon.Add(again-time.Second)) {
		t.Error("the same within a day is news")
	}
	if !f.Learn(seen, "mx.example", noon.Add(again)) || !f.Last.Equal(noon.Add(again)) {
		t.Error("it is not seen to be there still")
	}
	seen.Extensions = []string{"SIZE"}
	if !f.Learn(seen, "mx.example", noon.Add(again)) {
		t.Error("another extension is no news")
	}
}

func TestFailureThatComesAgainAtOnceIsNoNews(t *testing.T) {
	f := factsOf(refusedEHLO())
	if f.Learn(refusedEHLO(), "mx.example", noon.Add(time.Hour)) {
		t.Error("the same refusal within a day is news")
	}
	if !f.Learn(&Seen{EHLO: Mark{How: HowDropped}}, "mx.example", noon.Add(time.Hour)) || !f.EHLO.At.Equal(noon.Add(time.Hour)) {
		t.Error("another way is none")
	}
}

func TestTimesAreSmoothedAndFarMovesAreNews(t *testing.T) {
	f := new(Facts)
	for i, tt := range []struct {
		took, want time.Duration
		news       bool
	}{
		{100 * time.Millisecond, 100 * time.Millisecond, true}, // the first
		{200 * time.Millisecond, 125 * time.Millisecond, false},
		{20 * time.Second, 5094 * time.Millisecond, true},
	} {
		s := new(Seen)
		s.Times.Took(End, tt.took)
		if news := f.Learn(s, "", noon); news != tt.news || f.Times[End] != tt.want {
			t.Errorf("%d: %s, news %v", i, f.Times[End], news)
		}
	}
}

func TestClockThatIsSetBackMakesNothingEternal(t *testing.T) {
	f := factsOf(&Seen{Greeted: true, Offered: true})
	before := noon.Add(-365 * 24 * time.Hour)
	if !f.Learn(&Seen{Greeted: true, Offered: true}, "", before) || !f.Offered.Equal(before) {
		t.Errorf("%+v", f)
	}
}

func full() *Facts {
	f := factsOf(&Seen{Greeted: true, Offered: true, Extensions: []string{"8BITMIME", "X-A"}, Size: 5},
		&Seen{EHLO: Mark{How: HowRefused, Code: 500, Text: untrusted.From("what?\x1b")}, TLS: Mark{How: HowBroken},
			TooMany: Mark{How: HowRefused, Code: 452}, Took: 3})
	f.Times.Took(Mail, time.Second)
	return f
}

func compareText(a, b untrusted.Text) bool { return a.Equal(b.ForWire()) }

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	f := full()
	got, ok := Unmarshal(f.Marshal())
	if !ok {
		t.Fatal("it is not read")
	}
	if diff := cmp.Diff(f, got, cmp.Comparer(compareText)); diff != "" {
		t.Error(diff)
	}
}

func TestRecordThatMakesNoSenseIsNothing(t *testing.T) {
	b := full().Marshal()
	for name, bad := range map[string][]byte{
		"empty": nil, "short": b[:len(b)-1], "long": append(bytes.Clone(b), 0),
		"version":   append([]byte{recordVersion + 1}, b[1:]...),
		"nothing":   new(Facts).Marshal(),
		"extension": bytes.Replace(b, []byte("X-A"), []byte("X A"), 1),
	} {
		if _, ok := Unmarshal(bad); ok {
			t.Errorf("%s is read", name)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(full().Marshal())
	f.Add(factsOf(refusedEHLO()).Marshal())
	f.Add([]byte{recordVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, ok := Unmarshal(b)
		if !ok {
			return
		}
		again, ok := Unmarshal(facts.Marshal())
		if !ok || !bytes.Equal(again.Marshal(), facts.Marshal()) {
			t.Errorf("%+v is written otherwise", facts)
		}
		facts.Advise(noon)
		facts.Conclusions(noon)
	})
}
