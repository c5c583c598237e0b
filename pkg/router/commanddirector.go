package router

import (
	"errors"
	"fmt"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// commandDirector is the driver `command`: a program answers.
type commandDirector struct {
	rules    *rules
	director *director
}

func (c *commandDirector) direct(q *query, n *node) said {
	list := candidates(n.addr, c.director.set.Separator)
	who := list[len(list)-1]
	verb, rest, err := q.consult(&proto.ConsultQuery{
		Director: c.director.set.Name, LocalPart: who.addr.Local(), Domain: n.addr.Domain(), Detail: who.detail,
		Sender: q.sender.String(), Recipient: n.addr.String(),
	})
	if err != nil {
		return c.director.unreadable(err)
	}
	switch verb {
	case "accept":
		if rest == "" {
			return c.director.accept(c.rules, who.detail, "the program accepts")
		}
	case "decline":
		if rest == "" {
			return said{why: "the program declines"}
		}
	case "fail":
		return said{decision: decided, verdict: outcome.Fail(outcome.Policy, statusRefused, "%s",
			orSo(rest, fmt.Sprintf("mail for %s is not taken", n.addr)))}
	case "defer":
		return said{decision: decided, verdict: outcome.Defer(outcome.Policy, statusLater, "%s",
			orSo(rest, fmt.Sprintf("mail for %s is not taken at present", n.addr)))}
	case "redirect":
		return c.redirect(q, n, rest)
	}
	return c.director.unreadable(fmt.Errorf("the program answers %q, which is none of accept, decline, fail TEXT, defer TEXT, redirect ADDRESS, ADDRESS",
		untrusted.From(strings.TrimSpace(verb+" "+rest)).ForTerminal()))
}

// redirect makes the recipients that the program names. They are addresses,
// whatever they look like: a program that is asked about every address is no
// place for commands and files.
func (c *commandDirector) redirect(q *query, n *node, text string) said {
	if n.descends(n.addr) {
		// It answered so before, and would again.
		return said{why: fmt.Sprintf("the program redirects, and %s is one of its own ancestors", n.addr)}
	}
	words := strings.Split(text, ",")
	if limit := q.expansionLimit(); len(words) > limit {
		return c.director.unreadable(fmt.Errorf("the program names %d addresses, more than %d (limits.expansion)", len(words), limit))
	}
	children := make([]node, 0, len(words))
	for _, w := range words {
		w = strings.TrimSpace(w)
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(w))
		switch {
		case err != nil || a.Domain() != "":
		case strings.ContainsRune("|/", rune(w[0])): // a name may begin so, and nobody means one
			err = errors.New("commands and files can stand in alias files only")
		default:
			a, err = a.WithDomain(n.addr.Domain())
		}
		if err != nil {
			return c.director.unreadable(fmt.Errorf("the program redirects to %q: %w", untrusted.From(w).ForTerminal(), err))
		}
		child := n.child(c.director.report(q), len(words))
		child.rcpt.Address = a
		children = append(children, child)
	}
	return said{decision: redirected, children: children, why: "the program redirects to " + untrusted.From(text).ForTerminal()}
}

// expansionLimit bounds the leaves of one recipient.
func (q *query) expansionLimit() int {
	limit := min(q.rules.settings.Limits.Expansion, envelope.MaxRecipients)
	if limit <= 0 {
		limit = envelope.MaxRecipients
	}
	return limit
}
