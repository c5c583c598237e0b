package dsn

import (
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
)

// Known is what was known over the time of who was given up: the server's last words say
// nothing of the days before. The zero Known is nothing.
type Known struct {
	Kind   outcome.Kind
	Code   int
	Status smtp.Status
	Since  time.Time
	GaveUp time.Time // mail was given up before, so this was tried once; zero: it was not
}

// soon is what is not worth a "since".
const soon = time.Minute

// knownOf is what was known of recipient i; nil where nothing is worth telling.
func (r *Request) knownOf(i int) *Known {
	if i >= len(r.Known) || r.Known[i].Since.IsZero() || CauseOf(&r.Outcomes[i]) != Expired || r.What == Delay {
		return nil
	}
	return &r.Known[i]
}

// why says what stands in the way of recipient i, and since when.
func (v *voice) why(i int) string {
	o, known := &v.r.Outcomes[i], v.r.knownOf(i)
	cause := CauseOf(o)
	text := v.sayOf(string(cause)+".why", i)
	if known == nil {
		return text
	}
	if !known.GaveUp.IsZero() {
		text = v.sayOf("known.once", i)
	}
	was := *o
	was.Class, was.Kind, was.Code, was.Status = outcome.Deferred, known.Kind, known.Code, known.Status
	if cause = CauseOf(&was); cause == Other || cause == Expired || v.r.Now.Sub(known.Since) < soon {
		return text
	}
	return text + " " + v.sayOf("known.since", i) + " " + v.sayOf(string(cause)+".why", i)
}
