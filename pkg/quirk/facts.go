package quirk

import (
	"slices"
	"time"

	"filbert/pkg/untrusted"
)

// Facts are what was seen of one server: an address and a port. The zero value is nothing.
type Facts struct {
	Name  string    // its name, as it was asked last
	First time.Time // it was talked to
	// Last is when it was talked to, within a day: a server that is as it was is no
	// reason to write.
	Last time.Time

	EHLO    Mark      // EHLO did not work, and HELO did
	Greeted time.Time // EHLO has worked, within a day

	Offered time.Time // STARTTLS was, within a day
	Secured time.Time // TLS came about, within a day
	TLS     Mark      // the handshake failed, and has not come about since

	OutOfStep Mark // it lost count of commands that were sent ahead
	TooMany   Mark // it called a recipient one too many
	Took      int  // recipients that it took before

	Extensions []string // that it offered last, sorted
	Size       int64    // its limit; 0: none known
	Times      Times    // smoothed
}

// Mark is one thing that went wrong, and how.
type Mark struct {
	At   time.Time // zero: nothing did
	How  How
	Code int            // of the reply, 0: there was none
	Text untrusted.Text // the server's words, or ours
}

// How says in which way.
type How uint8

// The ways.
const (
	HowNot     How = 0
	HowRefused How = 1 // by a reply
	HowDropped How = 2 // the connection ended
	HowBroken  How = 3 // what came made no sense
)

// Bounds of what is kept.
const (
	MaxExtensions = 40
	MaxKeyword    = 40
	maxText       = 200
	maxName       = 256
)

// again is how old what is known may be before the same is worth another record.
const again = 24 * time.Hour

// IsZero tells whether nothing is known.
func (f *Facts) IsZero() bool { return f.First.IsZero() }

// Learn takes in what a connection has shown, and tells whether there is something new in
// it that is worth keeping. What is only smoothed a little is not.
func (f *Facts) Learn(s *Seen, name string, now time.Time) (news bool) {
	if f.First.IsZero() {
		f.First = now
	}
	news = stamp(&f.Last, now)
	if name != "" && name != f.Name {
		f.Name = name[:min(len(name), maxName)]
		news = true
	}
	news = f.learnGreeting(s, now) || news
	news = f.learnTLS(s, now) || news
	if s.OutOfStep.How != HowNot {
		news = f.OutOfStep.take(s.OutOfStep, now) || news
	}
	if s.TooMany.How != HowNot {
		news = f.Took != s.Took || news
		f.Took = s.Took
		news = f.TooMany.take(s.TooMany, now) || news
	}
	return f.Times.learn(&s.Times) || news
}

func (f *Facts) learnGreeting(s *Seen, now time.Time) (news bool) {
	switch {
	case s.EHLO.How != HowNot:
		return f.EHLO.take(s.EHLO, now)
	case !s.Greeted:
		return false
	}
	news = f.EHLO.How != HowNot
	f.EHLO = Mark{}
	if news = stamp(&f.Greeted, now) || news; f.Size != s.Size || !slices.Equal(f.Extensions, s.Extensions) {
		f.Size, f.Extensions = s.Size, s.Extensions
		news = true
	}
	return news
}

func (f *Facts) learnTLS(s *Seen, now time.Time) (news bool) {
	if s.Offered {
		news = stamp(&f.Offered, now)
	}
	switch {
	case s.Secured:
		news = stamp(&f.Secured, now) || f.TLS.How != HowNot || news
		f.TLS = Mark{}
	case s.TLS.How != HowNot:
		news = f.TLS.take(s.TLS, now) || news
	}
	return news
}

// take takes over a newer mark. The same again within a day is no news.
func (m *Mark) take(by Mark, now time.Time) bool {
	if m.How == by.How && m.Code == by.Code && !now.Before(m.At) && now.Sub(m.At) < again {
		return false
	}
	*m = by
	m.At, m.Text = now, by.Text.Clip(maxText)
	return true
}

// stamp moves a time that is older than a day, or ahead of a clock that was set back.
func stamp(t *time.Time, now time.Time) bool {
	if !now.Before(*t) && now.Sub(*t) < again {
		return false
	}
	*t = now
	return true
}

// Advice is what follows for those who talk to the server. The zero value is nothing.
type Advice struct {
	HELO          bool // greet with HELO at once
	OneByOne      bool // no command before the reply to the one before
	MaxRecipients int  // of one transaction; 0: as many as else
}

const (
	// Lifetime is how long something that went wrong is believed. Servers are mended,
	// and each belief costs something: a week is one attempt a week to find out.
	Lifetime = 7 * 24 * time.Hour
	// Trust is how long a server that has offered STARTTLS is taken for one that does.
	Trust = 30 * 24 * time.Hour
)

// Advise is what follows at the moment.
func (f *Facts) Advise(now time.Time) Advice {
	a := Advice{HELO: f.EHLO.holds(now) && !f.hasTLS(now), OneByOne: f.OutOfStep.holds(now)}
	if f.TooMany.holds(now) {
		a.MaxRecipients = f.Took
	}
	return a
}

func (m *Mark) holds(now time.Time) bool {
	return m.How != HowNot && now.Before(m.At.Add(Lifetime))
}

func (f *Facts) hasTLS(now time.Time) bool {
	return !f.Offered.IsZero() && now.Before(f.Offered.Add(Trust))
}
