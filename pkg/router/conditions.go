package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
)

// conditions say for which mail an entry is there.
type conditions struct {
	set      settings.Conditions
	domains  pattern.Asking
	locals   pattern.Asking
	senders  pattern.Asking
	clients  pattern.Asking
	ifLookup keyedLookup
}

// keyedLookup is the setting if_lookup, taken apart.
type keyedLookup struct {
	name, key string // key "" = the whole address
	not       bool
}

func (r *rules) compileConditions(set *settings.Conditions) (conditions, error) {
	c := conditions{set: *set}
	for _, list := range []struct {
		name     string
		patterns []string
		kind     pattern.Kind
		into     *pattern.Asking
	}{
		{"domains", set.Domains, pattern.Domains, &c.domains},
		{"local_parts", set.LocalParts, pattern.LocalParts, &c.locals},
		{"senders", set.Senders, pattern.Addresses, &c.senders},
		{"clients", set.Clients, pattern.Networks, &c.clients},
	} {
		var err error
		if *list.into, err = r.compileAsking(list.patterns, list.kind); err != nil {
			return c, fmt.Errorf("%s: %w", list.name, err)
		}
	}
	if set.IfLookup != "" {
		text, not := strings.CutPrefix(set.IfLookup, "!")
		name, key, _ := strings.Cut(text, ":")
		c.ifLookup = keyedLookup{name: name, key: key, not: not}
		if !r.tables.Has(name) {
			return c, fmt.Errorf("if_lookup: there is no lookup %q", name)
		}
	}
	if set.IfUserExists != nil {
		r.needPasswd()
	}
	return c, nil
}

// compileAsking compiles patterns whose lookups must be there.
func (r *rules) compileAsking(patterns []string, kind pattern.Kind) (pattern.Asking, error) {
	a, err := pattern.CompileAsking(patterns, kind)
	if err != nil {
		return a, err
	}
	for _, name := range a.Lookups() {
		if !r.tables.Has(name) {
			return a, fmt.Errorf("there is no lookup %q", name)
		}
	}
	return a, nil
}

// mismatch says which condition does not hold for an address, "" if all hold.
// The error is temporary: a lookup could not be asked.
//
// What was not known at the question (the size of a message at RCPT, the door of
// one that is only thought of) meets no condition on it, save smaller_than.
func (c *conditions) mismatch(q *query, a mailaddr.Address) (string, error) {
	if why, err := c.addressMismatch(q, a); why != "" || err != nil {
		return why, err
	}
	if why, err := c.originMismatch(q); why != "" || err != nil {
		return why, err
	}
	if c.set.IfUserExists != nil {
		_, err := q.rules.account(a.Local())
		exists := err == nil || errors.Is(err, errRoot)
		if !exists && !errors.Is(err, errNoAccount) {
			return "", err
		}
		if exists != *c.set.IfUserExists {
			return "if_user_exists does not hold", nil
		}
	}
	return c.lookupMismatch(q, a)
}

func (c *conditions) addressMismatch(q *query, a mailaddr.Address) (string, error) {
	if why, err := q.without(&c.domains, a.Domain(), "domains does not match"); why != "" || err != nil {
		return why, err
	}
	if why, err := q.without(&c.locals, a.Local(), "local_parts does not match"); why != "" || err != nil {
		return why, err
	}
	if c.senders.Empty() {
		return "", nil // many entries, and the sender is a text to be made
	}
	return q.without(&c.senders, q.sender.String(), "senders does not match")
}

// without gives why when a text is not in a list that restricts.
func (q *query) without(list *pattern.Asking, text, why string) (string, error) {
	if list.Empty() {
		return "", nil
	}
	in, by, err := list.Match(q.ctx, text, q.ask)
	if err != nil || in {
		return "", err
	}
	return notIn(why, by), nil
}

func notIn(why, lookup string) string {
	if lookup != "" {
		return fmt.Sprintf("%s (!lookup:%s)", why, lookup)
	}
	return why
}

func (c *conditions) originMismatch(q *query) (string, error) {
	o, set := &q.origin, &c.set
	if !c.clients.Empty() {
		in, by, err := c.clients.MatchAddr(q.ctx, o.Client, q.ask)
		if err != nil {
			return "", err
		}
		if !in {
			return notIn("clients does not match", by), nil
		}
	}
	switch {
	case len(set.Listeners) > 0 && !slices.Contains(set.Listeners, o.Listener):
		return "listeners does not match", nil
	case len(set.Source) > 0 && !slices.Contains(set.Source, o.Source.String()):
		return "source does not match", nil
	case set.LargerThan > 0 && o.Size <= set.LargerThan.Bytes():
		return "not larger_than " + set.LargerThan.String(), nil
	case set.SmallerThan > 0 && o.Size >= set.SmallerThan.Bytes():
		return "not smaller_than " + set.SmallerThan.String(), nil
	}
	return "", nil
}

func (c *conditions) lookupMismatch(q *query, a mailaddr.Address) (string, error) {
	l := &c.ifLookup
	if l.name == "" {
		return "", nil
	}
	key := strings.ToLower(a.String())
	if l.key != "" {
		key = fill(l.key, a, q)
	}
	found, err := q.ask(q.ctx, l.name, key)
	switch {
	case err != nil:
		return "", err
	case found == l.not:
		return fmt.Sprintf("if_lookup: %s has %s", l.name, map[bool]string{true: "it", false: "it not"}[found]), nil
	}
	return "", nil
}

// fill puts the values of an address and its message into a template of the
// configuration. Keys of lookups and texts of fields are made so, never
// addresses, paths or command lines.
func fill(template string, a mailaddr.Address, q *query) string {
	client := ""
	if q.origin.Client.IsValid() {
		client = q.origin.Client.Unmap().String()
	}
	return strings.NewReplacer(
		"{local_part}", a.Local(), "{domain}", a.Domain(), "{address}", a.String(), "{recipient}", a.String(),
		"{sender}", q.sender.String(), "{client}", client,
	).Replace(template)
}

// varies tells what of a message, beside the domain, the conditions look at, so
// that a route is remembered only for mail for which it holds.
func (c *conditions) varies() variance {
	keyed := c.ifLookup.name != ""
	return variance{
		local:  !c.locals.Empty() || c.set.IfUserExists != nil || keyed,
		sender: !c.senders.Empty() || keyed,
		origin: !c.clients.Empty() || len(c.set.Listeners) > 0 || len(c.set.Source) > 0 || keyed,
		size:   c.set.LargerThan > 0 || c.set.SmallerThan > 0,
	}
}
