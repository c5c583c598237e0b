package quirk

import (
	"fmt"
	"time"
)

// Conclusion is one thing that follows from the facts, for people.
type Conclusion struct {
	What    string    // what is done
	Because string    // which facts make it so
	Until   time.Time // zero: as long as the facts are so
}

// Conclusions explains what follows, and what might be thought to follow and does not.
func (f *Facts) Conclusions(now time.Time) []Conclusion {
	var list []Conclusion
	a := f.Advise(now)
	switch {
	case a.HELO:
		list = append(list, Conclusion{"is greeted with HELO", f.why(&f.EHLO, "EHLO") + ", and HELO worked", f.EHLO.At.Add(Lifetime)})
	case f.EHLO.holds(now):
		list = append(list, Conclusion{"is asked with EHLO each time", "it has offered STARTTLS, and EHLO alone shows it again: without, mail would go in clear", f.Offered.Add(Trust)})
	case f.EHLO.How != HowNot:
		list = append(list, Conclusion{What: "is asked with EHLO again", Because: "what it did at EHLO is more than a week ago"})
	}
	if f.TLS.How != HowNot {
		list = append(list, Conclusion{What: "TLS is tried each time all the same",
			Because: "a failed handshake is no reason to send later mail in clear"})
	}
	if a.OneByOne {
		list = append(list, Conclusion{"gets no command before the reply to the one before", "it lost count of commands that were sent ahead", f.OutOfStep.At.Add(Lifetime)})
	}
	if a.MaxRecipients > 0 {
		list = append(list, Conclusion{fmt.Sprintf("gets at most %d recipients at once", a.MaxRecipients), f.why(&f.TooMany, "one more"), f.TooMany.At.Add(Lifetime)})
	}
	return list
}

// why says what became of something.
func (f *Facts) why(m *Mark, what string) string {
	switch {
	case m.How == HowDropped:
		return what + " had it drop the connection"
	case m.Code != 0:
		return fmt.Sprintf("%s was answered with %d", what, m.Code)
	}
	return what + " did not work"
}

// String is the conclusion as a sentence.
func (c *Conclusion) String() string {
	s := c.What
	if !c.Until.IsZero() {
		s += " until " + c.Until.Local().Format("2 January 15:04")
	}
	return s + ", because " + c.Because
}
