package ledger

import (
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func rcpt(address string) envelope.Recipient {
	return envelope.Recipient{Address: mailaddr.MustParse(address)}
}

// read reads lines, and an error for each nil one.
func read(env *envelope.Envelope, lines ...*spool.LogLine) *Ledger {
	return Read(env, func(yield func(spool.LogLine, error) bool) {
		for _, l := range lines {
			if l == nil {
				if !yield(spool.LogLine{}, spool.ErrBadLine) {
					return
				}
				continue
			}
			if !yield(*l, nil) {
				return
			}
		}
	})
}

func line(minute int, verb spool.Verb, n int, name untrusted.Text) *spool.LogLine {
	return &spool.LogLine{Time: noon.Add(time.Duration(minute) * time.Minute), Verb: verb, Recipient: n, Address: name}
}

func TestRecipientIsDoneByItsOwnLineAlone(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example")}}
	own, other := KeyText(&env.Recipients[0]), untrusted.From("b@x.example")
	for _, c := range []struct {
		verb spool.Verb
		name untrusted.Text
		done bool
	}{
		{spool.Delivered, own, true},
		{spool.Expanded, own, true},
		{spool.Reported, own, true},
		{spool.Failed, own, false}, // a report is owed
		{spool.DeferredV, own, false},
		{spool.Delivered, other, false}, // a child of its
		{spool.Reported, other, false},
	} {
		if l := read(env, line(0, c.verb, 0, c.name)); l.States[0].Done != c.done {
			t.Errorf("%s %d bytes: done %v", c.verb, c.name.Len(), l.States[0].Done)
		}
	}
}

func TestLinesThatMakeNoSenseCostKnowledgeOnly(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example")}}
	own := KeyText(&env.Recipients[0])
	l := read(env, nil, line(0, spool.Delivered, 7, own), line(0, spool.Delivered, -5, own))
	if l.Bad != 3 || len(l.Waiting()) != 1 {
		t.Errorf("%d bad, %d waiting", l.Bad, len(l.Waiting()))
	}
}

func TestLinesOfOneTimeAreOneAttempt(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example"), rcpt("b@x.example")}}
	a, b := KeyText(&env.Recipients[0]), KeyText(&env.Recipients[1])
	l := read(env, line(0, spool.DeferredV, 0, a), line(0, spool.DeferredV, 1, b), line(5, spool.Failed, 0, a),
		line(6, spool.Reported, 0, a), line(6, spool.Warned, spool.WholeMessage, untrusted.Text{}))
	if l.Attempts != 2 || !l.LastAttempt.Equal(noon.Add(5*time.Minute)) || l.Warned != 1 {
		t.Errorf("%d attempts, the last at %v, %d warnings", l.Attempts, l.LastAttempt, l.Warned)
	}
}

func TestChildIsNeverTakenForItsParent(t *testing.T) {
	ann := rcpt("ann@x.example")
	pipe := func(user string) *envelope.Recipient {
		return &envelope.Recipient{Address: ann.Address, Kind: envelope.TargetPipe, Target: "/bin/vacation", User: user}
	}
	file := &envelope.Recipient{Address: ann.Address, Kind: envelope.TargetFile, Target: "/bin/vacation"}
	seen := map[untrusted.Text]bool{KeyText(&ann): true}
	for _, child := range []*envelope.Recipient{&ann, pipe(""), pipe("a"), pipe("b"), file} {
		k := ChildKey(&ann, child)
		if seen[k] {
			t.Errorf("two have one name: %q", k.ForTerminal())
		}
		seen[k] = true
	}
}

func TestServedChildIsServedForEveryParent(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("one@x.example"), rcpt("two@x.example")}}
	child := rcpt("c@y.example")
	l := read(env, line(0, spool.Delivered, 0, ChildKey(&env.Recipients[0], &child)))
	if !l.ServedChild(&env.Recipients[1], &child) {
		t.Error("the member of two lists would be served twice")
	}
	deferred := read(env, line(0, spool.DeferredV, 0, ChildKey(&env.Recipients[0], &child)))
	if deferred.ServedChild(&env.Recipients[1], &child) {
		t.Error("one that waits is not served")
	}
}

func TestHoldIsForgottenWithTheRelease(t *testing.T) {
	env := &envelope.Envelope{}
	held := line(0, spool.Held, spool.WholeMessage, untrusted.Text{})
	held.Outcome = outcome.Outcome{Text: untrusted.From("why")}
	if l := read(env, held); !l.HeldFor.Equal("why") {
		t.Error("no reason")
	}
	if l := read(env, held, line(1, spool.Released, spool.WholeMessage, untrusted.Text{})); !l.HeldFor.IsEmpty() {
		t.Error("a reason after the release")
	}
}

// The first lines of an attempt may be written while it goes on.
func TestAttemptThatGoesOnIsCountedOnce(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example"), rcpt("b@x.example"), rcpt("c@x.example")}}
	a, b, c := KeyText(&env.Recipients[0]), KeyText(&env.Recipients[1]), KeyText(&env.Recipients[2])
	onward := func(minute int) *spool.LogLine {
		return line(minute, spool.Ongoing, spool.WholeMessage, untrusted.Text{})
	}
	lines := []*spool.LogLine{line(0, spool.Delivered, 0, a), onward(0), line(1, spool.Delivered, 1, b), onward(1)}
	l := read(env, lines...)
	if l.Attempts != 1 || !l.Ongoing || len(l.Waiting()) != 1 {
		t.Errorf("%d attempts, ongoing %v, waiting %v", l.Attempts, l.Ongoing, l.Waiting())
	}
	if o := l.States[2].Last; o.Class != outcome.Deferred || o.Kind != outcome.Busy {
		t.Errorf("of who is still owed it says %+v", o)
	}
	l = read(env, append(lines, line(5, spool.DeferredV, 2, c), line(9, spool.DeferredV, 2, c))...)
	if l.Attempts != 2 || l.Ongoing || !l.LastAttempt.Equal(noon.Add(9*time.Minute)) {
		t.Errorf("in the end %d attempts, ongoing %v", l.Attempts, l.Ongoing)
	}
}

func TestCancellingIsNoAttempt(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example"), rcpt("b@x.example")}}
	a, b := KeyText(&env.Recipients[0]), KeyText(&env.Recipients[1])
	l := read(env, line(0, spool.DeferredV, 0, a), line(0, spool.DeferredV, 1, b), line(5, spool.Cancelled, 0, a))
	if w := l.Waiting(); len(w) != 1 || w[0] != 1 {
		t.Errorf("waiting %v", w)
	}
	if l.Attempts != 1 || !l.LastAttempt.Equal(noon) {
		t.Errorf("%d attempts, the last at %v", l.Attempts, l.LastAttempt)
	}
}

func TestRedirectedRecipientHasItsNewAddressAndItsPast(t *testing.T) {
	env := &envelope.Envelope{Recipients: []envelope.Recipient{rcpt("a@x.example"), rcpt("b@x.example")}}
	a := KeyText(&env.Recipients[0])
	to := untrusted.From("c@y.example")
	l := read(env, line(0, spool.DeferredV, 0, a), line(5, spool.Redirected, 0, to), line(6, spool.Delivered, 0, a))
	if got := env.Recipients[0].Address.String(); got != "c@y.example" || l.Attempts != 2 || len(l.Waiting()) != 2 {
		t.Errorf("%s, %d attempts, waiting %v", got, l.Attempts, l.Waiting())
	}
	if l = read(env, line(7, spool.Delivered, 0, to)); len(l.Waiting()) != 1 {
		t.Errorf("waiting %v", l.Waiting())
	}
	l = read(env, line(8, spool.Redirected, 9, to), line(8, spool.Redirected, 1, untrusted.From("no address")))
	if l.Bad != 2 || env.Recipients[1].Address.String() != "b@x.example" {
		t.Errorf("%d bad lines, %s", l.Bad, env.Recipients[1].Address)
	}
}
