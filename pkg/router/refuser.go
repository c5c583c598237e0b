package router

import (
	"fmt"

	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
)

// acceptRouter is the driver `accept`: mail that a transport delivers without
// being told a host.
type acceptRouter struct{}

func (acceptRouter) route(_ *query, domain string, _ mailaddr.Address) answered {
	return answered{decision: taken, nextHop: domain}
}

// refuser is the drivers `fail` and `defer`.
type refuser struct{ *remote }

func (r *refuser) route(_ *query, domain string, _ mailaddr.Address) answered {
	text := r.set.Message
	if r.set.Driver == "defer" {
		if text == "" {
			text = fmt.Sprintf("mail for %s is not sent at present", domain)
		}
		return answered{decision: decided, verdict: outcome.Defer(outcome.Policy, statusLater, "%s", text)}
	}
	if text == "" {
		text = fmt.Sprintf("mail for %s is not sent from here", domain)
	}
	return answered{decision: decided, verdict: outcome.Fail(outcome.Policy, statusRefused, "%s", text)}
}
