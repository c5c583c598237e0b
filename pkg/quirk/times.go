package quirk

import "time"

// Step is what a server takes its time for.
type Step uint8

// The steps.
const (
	Connect Step = iota
	Greeting
	Hello
	Mail
	Rcpt
	End // the reply to the end of the content
	steps
)

// Steps lists them in the order in which they come.
func Steps() []Step { return []Step{Connect, Greeting, Hello, Mail, Rcpt, End} }

// String names the step.
func (s Step) String() string {
	if s >= steps {
		return ""
	}
	return [steps]string{"connect", "greeting", "EHLO", "MAIL", "RCPT", "end of content"}[s]
}

// Times are how long a server took for each step; 0: not seen. Each is a few milliseconds
// coarse.
type Times [steps]time.Duration

// Took notes that a step took so long. The longest of a transaction counts.
func (t *Times) Took(s Step, d time.Duration) {
	d = max(d.Round(time.Millisecond), time.Millisecond)
	t[s] = max(t[s], min(d, maxTime))
}

// maxTime is above every time-out of RFC 5321, section 4.5.3.2.
const maxTime = time.Hour

// learn smooths: a quarter is the new one. What moves far is news: by half, and as much as a
// person notices.
func (t *Times) learn(seen *Times) (news bool) {
	for i, d := range seen {
		was := t[i]
		switch {
		case d == 0:
			continue
		case was == 0:
			t[i] = d
		default:
			t[i] = (was + (d-was)/4).Round(time.Millisecond)
		}
		moved := (t[i] - was).Abs()
		news = news || moved > time.Second && moved > was/2
	}
	return news
}
