package mtactl

import (
	"context"
	"errors"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// asker asks the lookups of the running suite, each key once: one address goes
// through the rules for each of its sources.
type asker struct {
	ctx    context.Context
	client *client
	known  map[proto.LookupQuestion]*proto.LookupAnswered
}

func (a *app) asker(inst settings.Instance) *asker {
	return &asker{a.ctx, a.master(inst).patient(explainTimeout), make(map[proto.LookupQuestion]*proto.LookupAnswered)}
}

// ask is rewrite.Ask.
func (k *asker) ask(lookup, key string) ([]string, bool, error) {
	q := proto.LookupQuestion{Name: lookup, Key: key}
	answer := k.known[q]
	if answer == nil {
		answer = new(proto.LookupAnswered)
		if err := k.client.post(k.ctx, "/v1/lookup", &q, answer); err != nil {
			return nil, false, err
		}
		k.known[q] = answer
	}
	if answer.Trouble != "" {
		return nil, false, errors.New(show(answer.Trouble))
	}
	return answer.Values, answer.Found, nil
}

// unshown says why rules can't be shown.
func unshown(err error) error {
	var (
		refused *statusError
		failed  *failure
	)
	switch {
	case errors.Is(err, errNotRunning):
		return fail(exUnavailable, "mtactl start starts it; rules without lookups are shown without it",
			"the rules ask lookups, which only the running suite can open, and it does not run").marked(err)
	case errors.As(err, &refused) && refused.status == 404:
		return fail(exConfig, "mtactl reload makes it take the configuration as it is in the files now",
			"the running suite does not have a lookup that the rules ask").marked(err)
	case errors.As(err, &failed):
		return err // no permission, no answer: that has its own words
	}
	return fail(exTempFail, "mail waits until the lookup answers again; mtactl lookup NAME KEY asks it alone",
		"the rules ask a lookup that does not answer").because(err)
}
