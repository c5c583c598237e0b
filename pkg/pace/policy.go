package pace

import (
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// Policy is what is configured for the destinations of one transport.
type Policy struct {
	start, most int
	rate        Rate
	replies     []Reply
	pause       time.Duration
}

// Compile reads the policy of a transport; perDestination is limits.per_destination.
// An error is one of ParseRate's or ParseReply's.
func Compile(t *settings.Transport, perDestination int) (*Policy, error) {
	p := &Policy{most: max(1, perDestination), pause: t.BackOffPause.D()}
	if t.ConnectionsPerHost > 0 {
		p.most = min(p.most, t.ConnectionsPerHost)
	}
	if p.start = p.most; t.StartConcurrency > 0 {
		p.start = min(p.start, t.StartConcurrency)
	}
	var err error
	if p.rate, err = ParseRate(t.Rate); err != nil {
		return nil, err
	}
	for _, text := range t.BackOffReplies {
		r, err := ParseReply(text)
		if err != nil {
			return nil, err
		}
		p.replies = append(p.replies, r)
	}
	return p, nil
}

// Throttled tells whether an outcome is a reply by which a server asks for less.
func (p *Policy) Throttled(o *outcome.Outcome) bool {
	for i := range p.replies {
		if p.replies[i].Matches(o) {
			return true
		}
	}
	return false
}
