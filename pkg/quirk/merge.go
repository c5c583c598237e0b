package quirk

import "time"

// Recall adds what an earlier run knew of the server to what this one has learned of it
// before it could ask. Newer facts stand; that STARTTLS was offered is never lost, as whoever
// breaks an EHLO while the memory is away would gain by that.
func (f *Facts) Recall(old *Facts) {
	if f.Greeted.IsZero() { // this run has not seen EHLO granted
		f.Extensions, f.Size = old.Extensions, old.Size
		f.EHLO.recall(&old.EHLO)
	}
	if f.Secured.IsZero() {
		f.TLS.recall(&old.TLS)
	}
	f.OutOfStep.recall(&old.OutOfStep)
	if f.TooMany.recall(&old.TooMany) {
		f.Took = old.Took
	}
	if f.Name == "" {
		f.Name = old.Name
	}
	if old.First.Before(f.First) {
		f.First = old.First
	}
	for _, t := range []struct{ mine, old *time.Time }{{&f.Greeted, &old.Greeted}, {&f.Offered, &old.Offered}, {&f.Secured, &old.Secured}} {
		if t.mine.IsZero() {
			*t.mine = *t.old
		}
	}
	for i, d := range old.Times {
		if f.Times[i] == 0 {
			f.Times[i] = d
		}
	}
}

// recall takes an older mark where there is none, and tells whether it did.
func (m *Mark) recall(old *Mark) bool {
	if m.How != HowNot {
		return false
	}
	*m = *old
	return old.How != HowNot
}
