package smtpd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// turnPatience is how long a client waits for qmgr, which only has to look at what it
// has in memory.
const turnPatience = 15 * time.Second

// below stands for all subdomains of a domain where it is asked whether a client may
// ask for these: a list that has this one has them all, but for those it excepts.
const below = "any-name-below."

// turnRule says for which clients which domains' mail is tried when they ask.
type turnRule struct {
	clients list
	domains list
}

// turn is an ETRN under consideration.
type turn struct {
	node smtp.Node
}

func newTurnRules(rules []settings.ETRN) ([]turnRule, error) {
	out := make([]turnRule, len(rules))
	for i := range rules {
		clients, err := pattern.CompileAsking(rules[i].Clients, pattern.Networks)
		if err != nil {
			return nil, fmt.Errorf("etrn: clients: %w", err)
		}
		domains, err := pattern.CompileAsking(rules[i].Domains, pattern.Domains)
		if err != nil {
			return nil, fmt.Errorf("etrn: domains: %w", err)
		}
		out[i] = turnRule{newList(clients), newList(domains)}
	}
	return out, nil
}

// offersTurn tells whether EHLO says ETRN: where the client may be one who may ask.
func (s *session) offersTurn() bool {
	return slices.ContainsFunc(s.site.turns, func(r turnRule) bool {
		return r.clients.asks || r.clients.plain.MatchAddr(s.peer)
	})
}

// etrn has what waits for a domain tried (RFC 1985).
func (s *session) etrn(arg untrusted.Text) action {
	switch {
	case len(s.site.turns) == 0:
		return s.unimplemented(arg)
	case s.state == strange || !s.esmtp && s.state == ready:
		return refuse(503, 5, 1, "Send EHLO first")
	case s.state == broken:
		return s.outOfSequence("ETRN")
	case s.tx != nil:
		return refuse(503, 5, 1, "A message is under way")
	}
	node, bad := smtp.ParseETRN(arg)
	if bad != nil {
		return action{reply: bad}
	}
	s.known = nil // of the last one, or of the last message
	return s.considerTurn(&turn{node: node})
}

// considerTurn decides whether the client may ask for the domain. Like consider it
// begins anew each time that a lookup has answered.
func (s *session) considerTurn(t *turn) action {
	may, err := s.mayTurn(&t.node)
	var q question
	switch {
	case errors.As(err, &q):
		return action{step: askLookup, question: q, turn: t}
	case err != nil:
		return noTurn("Can't look that up at the moment, try again later")
	case !may:
		// The number is the extension's own, 4yz though it is; another client of the same
		// site may be the one who may.
		return refuse(459, 7, 1, "Not allowed to ask for this domain")
	}
	return action{step: askTurn, turn: t}
}

func (s *session) mayTurn(n *smtp.Node) (bool, error) {
	for i := range s.site.turns {
		r := &s.site.turns[i]
		yes, err := r.clients.plain.MatchAddr(s.peer), error(nil)
		if r.clients.asks {
			yes, _, err = r.clients.asking.MatchAddr(context.Background(), s.peer, s.has)
		}
		if err == nil && yes {
			yes, err = s.in(&r.domains, n.Domain)
		}
		if err == nil && yes && n.Subdomains {
			yes, err = s.in(&r.domains, below+n.Domain)
		}
		if yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// learnedForTurn is learned for ETRN.
func (s *session) learnedForTurn(t *turn, q question, answer *proto.LookupAnswer) action {
	if answer == nil || answer.Trouble != "" {
		return s.settle(noTurn("Can't look that up at the moment, try again later"))
	}
	s.remember(q, answer)
	return s.settle(s.considerTurn(t))
}

func noTurn(why string) action { return refuse(458, 3, 0, why) }

// turned words what qmgr has made of it; nil: it could not be asked. The name is not
// repeated, as nothing of a client's text is.
func (s *session) turned(answer *proto.Turned) action {
	ok := func(code int, text string) action {
		return s.settle(action{reply: smtp.NewReply(code, smtp.Status{Class: 2}, text)})
	}
	switch {
	case answer == nil:
		return s.settle(noTurn("The queue can't be reached at the moment, try again later"))
	case answer.State == proto.TurnTooSoon:
		return s.settle(noTurn("Asked for a moment ago, try again in a minute"))
	case answer.State == proto.TurnRefused:
		return s.settle(refuse(459, 7, 1, "Not allowed to ask for this domain"))
	case answer.State == proto.TurnUnknown && answer.Count == 0:
		return s.settle(noTurn("The queue is being read, try again in a minute"))
	case answer.State == proto.TurnUnknown:
		return ok(252, "Pending messages started")
	case answer.Count > 0:
		return ok(253, fmt.Sprintf("%d pending messages started", answer.Count))
	case answer.UnderWay > 0:
		return ok(250, "Messages are under way")
	}
	return ok(251, "No messages waiting")
}

// askTurn asks qmgr.
func (d *dialogue) askTurn(t *turn) action {
	d.phase("etrn")
	_ = d.flush() // what was answered before does not wait; an error shows again at the next read
	ctx, cancel := context.WithTimeout(d.srv.ctx, turnPatience)
	defer cancel()
	query := proto.Turn{Client: d.session.peer, Domain: t.node.Domain, Subdomains: t.node.Subdomains}
	answer := new(proto.Turned)
	if d.srv.qmgr == nil || d.srv.qmgr.Call(ctx, &query, answer) != nil {
		answer = nil
	}
	return d.session.turned(answer)
}
