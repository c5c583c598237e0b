package pace

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
)

// Policy is what is configured for the destinations of one transport, or for a provider.
type Policy struct {
	start, most int
	rate        Rate
	replies     []Reply
	pause       time.Duration
	warm        *warmUp  // nil: none
	warmed      []string // the source addresses that it is for; none: all
	warm0       *Policy  // the same without it
}

// For is the policy for connections from a source address; "" is a transport's only one.
func (p *Policy) For(source string) *Policy {
	if p == nil || p.warm0 == nil || source == "" || slices.Contains(p.warmed, source) {
		return p
	}
	return p.warm0
}

// SourcesDiffer tells whether some source addresses are warmed up, and others not.
func (p *Policy) SourcesDiffer() bool { return p != nil && p.warm0 != nil }

// Compile reads the policy of a transport; perDestination is limits.per_destination.
// An error is one of ParseRate's or ParseReply's, or ErrWarmUp.
func Compile(t *settings.Transport, perDestination int) (*Policy, error) {
	return compile(&t.Shape, mostOf(t, perDestination))
}

// CompileProvider reads the policy of a provider for one transport. Errors are as those
// of Compile.
func CompileProvider(p *settings.Provider, t *settings.Transport, perDestination int) (*Policy, error) {
	shape, most := p.Over(t), p.Deliveries
	if most <= 0 {
		most = mostOf(t, perDestination)
	}
	return compile(&shape, most)
}

func mostOf(t *settings.Transport, perDestination int) int {
	if t.ConnectionsPerHost > 0 {
		return min(perDestination, t.ConnectionsPerHost)
	}
	return perDestination
}

func compile(s *settings.Shape, most int) (*Policy, error) {
	p := &Policy{most: max(1, most), pause: s.BackOffPause.D()}
	if p.start = p.most; s.StartConcurrency > 0 {
		p.start = min(p.start, s.StartConcurrency)
	}
	var err error
	if p.rate, err = ParseRate(s.Rate); err != nil {
		return nil, err
	}
	if p.warm, err = readWarmUp(s.WarmUp, p.rate); err != nil {
		return nil, err
	}
	for _, text := range s.BackOffReplies {
		r, err := ParseReply(text)
		if err != nil {
			return nil, err
		}
		p.replies = append(p.replies, r)
	}
	if p.warm != nil && len(s.WarmUp.Sources) > 0 {
		plain := *p
		plain.warm = nil
		p.warm0 = &plain
		for _, text := range s.WarmUp.Sources {
			a, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("%w: source %q is no address", ErrWarmUp, text)
			}
			p.warmed = append(p.warmed, a.String()) // one may be written in several ways
		}
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
