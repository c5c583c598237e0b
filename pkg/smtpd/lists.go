package smtpd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/smtp"
)

// maxKnown bounds what a session remembers of lookups: a client decides how many
// domains it names.
const maxKnown = 100

// list is a list of patterns of the configuration. One without lookups is
// matched on the spot, which is all that most sites ever have.
type list struct {
	plain  pattern.List
	asking pattern.Asking
	asks   bool
}

func newList(a pattern.Asking) list {
	plain, all := a.Plain()
	return list{plain: plain, asking: a, asks: !all}
}

// standing is what is known of whether a client may relay.
type standing uint8

// The standings.
const (
	notAsked standing = iota // a lookup decides, and none was asked yet
	mayRelay
	mayNotRelay
)

func standingOf(may bool) standing {
	if may {
		return mayRelay
	}
	return mayNotRelay
}

// question is one for a lookup of the configuration.
type question struct {
	lookup, key string
}

// Error makes a question what a decision ends with that can't be made without
// the answer. The session asks nobody: dialogue does, and tells it.
func (q question) Error() string { return "ask lookup " + q.lookup }

// recall answers from what lookups have said; what they have not is the error.
func (s *session) recall(lookup, key string) (values []string, found bool, err error) {
	q := question{lookup, key}
	a := s.known[q]
	if a == nil {
		return nil, false, q
	}
	return a.Values, a.Found, nil
}

// has is recall for lists.
func (s *session) has(_ context.Context, lookup, key string) (bool, error) {
	_, found, err := s.recall(lookup, key)
	return found, err
}

// forget makes room. It is called where no decision is under way, which would need
// what it has asked for.
func (s *session) forget() {
	if len(s.known) > maxKnown {
		s.known = nil
	}
}

// certain is what needs no lookup: one that is away must not keep out whom it is not
// needed for.
func (l *list) certain(domain string) (in, certain bool) {
	if !l.asks {
		return l.plain.Match(domain), true
	}
	return l.asking.Certain(domain)
}

// in tells whether a domain is in a list; the error is a question.
func (s *session) in(l *list, domain string) (bool, error) {
	if yes, certain := l.certain(domain); certain {
		return yes, nil
	}
	yes, _, err := l.asking.Match(context.Background(), domain, s.has)
	return yes, err
}

// mayRelay tells whether the client may send to anywhere. What a lookup says
// of that holds for the session.
func (s *session) mayRelay() (bool, error) {
	if s.relay == notAsked {
		may, _, err := s.site.trusted.asking.MatchAddr(context.Background(), s.peer, s.has)
		if err != nil {
			return false, err
		}
		s.relay = standingOf(may)
	}
	return s.relay == mayRelay, nil
}

// isLocal tells whether directors handle an address.
func (s *session) isLocal(a mailaddr.Address) (bool, error) {
	if a.Domain() == "" {
		return true, nil // <postmaster>: RFC 5321, section 4.5.1
	}
	return s.in(&s.site.local, a.Domain())
}

// ours tells whether mail for an address is taken from anyone. What counts is
// the domain that parsing ended with. A local part with another address in it
// is a request to send it on from here, whatever its domain (RFC 5321, appendix
// F.2, and the per cent sign): those who may not relay get no second way.
func (s *session) ours(to mailaddr.Address) (bool, error) {
	if to.Domain() != "" && strings.ContainsAny(to.Local(), "@%!") {
		return false, nil
	}
	if yes, certain := s.site.relay.certain(to.Domain()); yes && certain && to.Domain() != "" {
		return true, nil
	}
	if local, err := s.isLocal(to); local || err != nil {
		return local, err
	}
	return s.in(&s.site.relay, to.Domain())
}

// maySendTo tells whether the client may send to an address. Nothing is asked
// about the client where the address is good for everyone.
func (s *session) maySendTo(to mailaddr.Address) (bool, error) {
	if s.relay == mayRelay {
		return true, nil
	}
	if ours, err := s.ours(to); ours || err != nil {
		return ours, err
	}
	return s.mayRelay()
}

// rewritten is what cleanup will make of an address of the envelope, for a question
// about whether there is such a one. Who may send to it is decided by the address as
// it came: no rule makes a relay of us by accident.
func (s *session) rewritten(source string, a mailaddr.Address) (mailaddr.Address, error) {
	set := s.site.rewrites.For(rewrite.Origin{Listener: s.site.port.Name, Client: s.peer})
	return set.Asking(s.recall).Apply(source, a, nil)
}

// ask makes an action of the question that a decision ended with.
func ask(err error, p *smtp.RcptParams) action {
	var q question
	if !errors.As(err, &q) {
		return later(p)
	}
	return action{step: askLookup, question: q, rcpt: p}
}

// later is the refusal when nothing can be said of a recipient: to take it might
// be relaying, and to refuse it for good might lose mail.
func later(p *smtp.RcptParams) action {
	a := refuse(451, 3, 0, "Can't look that up at the moment, try again later")
	a.to = &p.To
	return a
}

// learned is told what a lookup has said, and goes on with the recipient.
func (s *session) learned(p *smtp.RcptParams, q question, answer *proto.LookupAnswer) action {
	if answer == nil || answer.Trouble != "" {
		s.tx.refused++
		return s.settle(later(p))
	}
	s.remember(q, answer)
	return s.settle(s.consider(p))
}

// remember keeps what a lookup has said.
func (s *session) remember(q question, answer *proto.LookupAnswer) {
	if s.known == nil {
		s.known = make(map[question]*proto.LookupAnswer)
	}
	// The first value is all that anybody wants, and a table may have a great many.
	s.known[q] = &proto.LookupAnswer{Found: answer.Found, Values: slices.Clone(answer.Values[:min(1, len(answer.Values))])}
}

// askLookup asks router about a key.
func (d *dialogue) askLookup(a action) action {
	d.phase("lookup")
	// A lookup may be in another machine: the replies to what came before do not
	// wait with it. An error shows again at the next read.
	_ = d.flush()
	ctx, cancel := context.WithTimeout(d.srv.ctx, lookupPatience)
	defer cancel()
	query := proto.LookupQuery{Name: a.question.lookup, Key: a.question.key}
	answer := new(proto.LookupAnswer)
	if err := d.srv.router.Call(ctx, &query, answer); err != nil {
		answer = nil
	}
	if a.turn != nil {
		return d.session.learnedForTurn(a.turn, a.question, answer)
	}
	return d.session.learned(a.rcpt, a.question, answer)
}
