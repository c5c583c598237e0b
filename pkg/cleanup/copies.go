package cleanup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// maxCopies bounds the recipients that rules add to one message.
const maxCopies = 100

// copyRule is a compiled [[copy]].
type copyRule struct {
	set   settings.Copy
	match pattern.Asking
	to    []mailaddr.Address
}

func compileCopies(list []settings.Copy) ([]copyRule, error) {
	var rules []copyRule
	for i := range list {
		r := copyRule{set: list[i]}
		var err error
		if r.match, err = pattern.CompileAsking(r.set.Match, pattern.Addresses); err != nil {
			return nil, fmt.Errorf("copy %s: match: %w", r.set.Name, err)
		}
		for _, text := range r.set.To {
			to, err := mailaddr.ParseLocalOrMailbox(untrusted.From(text))
			if err != nil {
				return nil, fmt.Errorf("copy %s: to: %w", r.set.Name, err)
			}
			r.to = append(r.to, to)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// asks tells whether the rule needs a lookup.
func (r *copyRule) asks() bool { return r.set.Lookup != "" || len(r.match.Lookups()) > 0 }

// copies tells whether the rule is for mail of an origin.
func (r *copyRule) copies(v *envelope.Envelope) bool {
	return v.Source != envelope.FromBounce &&
		(len(r.set.Listeners) == 0 || slices.Contains(r.set.Listeners, v.Client.Port))
}

// addCopies adds the recipients of the rules to a message.
func (c *Cleanup) addCopies(s *submission) *refusal {
	v, w := s.env, &s.rewriting
	var added []mailaddr.Address
	for i := range w.rules.copies {
		r := &w.rules.copies[i]
		if !r.copies(v) {
			continue
		}
		for _, a := range r.lookedAt(v) {
			to, err := r.copiesOf(a, w)
			if err != nil {
				return temporary(451, 3, 0, "Copies can't be made now: a lookup does not answer")
			}
			added = append(added, to...)
		}
	}
	for _, a := range added {
		has := func(r envelope.Recipient) bool { return strings.EqualFold(r.Address.String(), a.String()) }
		if slices.ContainsFunc(v.Recipients, has) {
			continue
		}
		if len(v.Recipients) >= envelope.MaxRecipients {
			return temporary(452, 5, 3, "Too many recipients with those that get a copy")
		}
		// Nobody is told: the sender does not know of them.
		v.Recipients = append(v.Recipients, envelope.Recipient{Address: a, Notify: envelope.NotifyNever})
		v.UTF8 = v.UTF8 || !isASCII(a.Local())
	}
	return nil
}

// lookedAt are the addresses that a rule is about.
func (r *copyRule) lookedAt(v *envelope.Envelope) []mailaddr.Address {
	if r.set.Of == "sender" {
		return []mailaddr.Address{v.Sender}
	}
	var out []mailaddr.Address
	for i := range v.Recipients {
		out = append(out, v.Recipients[i].Address)
	}
	return out
}

// copiesOf gives who gets a copy of mail of or for an address.
func (r *copyRule) copiesOf(a mailaddr.Address, w *rewriting) ([]mailaddr.Address, error) {
	text := a.String()
	ask := func(_ context.Context, lookup, key string) (bool, error) {
		_, found, err := w.ask(lookup, key)
		return found, err
	}
	in, _, err := r.match.Match(context.Background(), text, ask)
	if err != nil || !in {
		return nil, err
	}
	to := slices.Clone(r.to)
	if r.set.Lookup != "" {
		values, err := r.lookUp(a, w)
		if err != nil {
			return nil, err
		}
		to = append(to, values...)
	}
	if len(to) > maxCopies {
		return nil, fmt.Errorf("copy %s: more than %d recipients", r.set.Name, maxCopies)
	}
	return to, nil
}

func (r *copyRule) lookUp(a mailaddr.Address, w *rewriting) ([]mailaddr.Address, error) {
	for _, key := range []string{strings.ToLower(a.String()), "@" + a.Domain()} {
		values, found, err := w.ask(r.set.Lookup, key)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		var to []mailaddr.Address
		for _, word := range strings.FieldsFunc(strings.Join(values, " "), func(c rune) bool { return c == ' ' || c == ',' || c == '\t' }) {
			one, err := mailaddr.Parse(untrusted.From(word))
			if err != nil {
				return nil, fmt.Errorf("copy %s: lookup %s: %w", r.set.Name, r.set.Lookup, err)
			}
			to = append(to, one)
		}
		return to, nil
	}
	return nil, nil
}
