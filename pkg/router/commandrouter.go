package router

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// commandRouter is the driver `command`.
type commandRouter struct{ *remote }

// varies: what the program is told decides.
func (c *commandRouter) varies() variance {
	named := func(what ...string) bool {
		return slices.ContainsFunc(c.set.Command, func(arg string) bool {
			return slices.ContainsFunc(what, func(w string) bool { return strings.Contains(arg, w) })
		})
	}
	return variance{local: named("{local_part}", "{recipient}", "{detail}"), sender: named("{sender}")}
}

func (c *commandRouter) route(q *query, domain string, a mailaddr.Address) answered {
	verb, rest, err := q.consult(&proto.ConsultQuery{
		Router: c.name, LocalPart: a.Local(), Domain: domain, Sender: q.sender.String(), Recipient: a.String(),
	})
	if err != nil {
		return c.unreadable(err)
	}
	switch verb {
	case "decline":
		return answered{why: "the program declines"}
	case "fail":
		return answered{decision: decided, verdict: outcome.Fail(outcome.Policy, statusRefused, "%s", orSo(rest, "mail for "+domain+" is not sent from here"))}
	case "defer":
		return answered{decision: decided, verdict: outcome.Defer(outcome.Policy, statusLater, "%s", orSo(rest, "mail for "+domain+" is not sent at present"))}
	case "accept":
		hosts := strings.Fields(rest)
		if len(hosts) == 0 {
			return answered{decision: taken, nextHop: domain}
		}
		specs, err := parseSpecs(hosts)
		if err != nil {
			return c.unreadable(err)
		}
		return c.named(q, specs)
	}
	return c.unreadable(fmt.Errorf("the program answers %q, which is none of accept, decline, fail, defer", verb))
}

// orSo is text, or what stands for it when it is empty.
func orSo(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}
