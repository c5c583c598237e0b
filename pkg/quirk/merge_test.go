package quirk

import (
	"testing"
	"time"
)

// Whoever breaks EHLO while the memory is away has not made the server one without TLS.
func TestOfferOfSTARTTLSIsNotLostBeforeItIsRecalled(t *testing.T) {
	f := factsOf(refusedEHLO())
	if !f.Advise(noon).HELO {
		t.Fatal("no advice to begin with")
	}
	old := factsOf(&Seen{Greeted: true, Offered: true, Extensions: []string{"STARTTLS"}})
	old.First = noon.Add(-time.Hour)
	f.Recall(old)
	if f.Advise(noon).HELO || !f.First.Equal(old.First) || len(f.Extensions) != 1 || f.EHLO.How != HowRefused {
		t.Errorf("%+v", f)
	}
}

func TestNewerFactsStand(t *testing.T) {
	f := factsOf(&Seen{Greeted: true, Offered: true, Secured: true, Extensions: []string{"SIZE"}, Size: 9, TooMany: Mark{How: HowRefused}, Took: 2})
	old := factsOf(refusedEHLO(), &Seen{TLS: Mark{How: HowBroken}, TooMany: Mark{How: HowRefused}, Took: 7, OutOfStep: Mark{How: HowBroken}})
	f.Recall(old)
	if f.EHLO.How != HowNot || f.TLS.How != HowNot || f.Took != 2 || f.Size != 9 || f.OutOfStep.How != HowBroken {
		t.Errorf("%+v", f)
	}
}
