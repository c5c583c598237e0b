package router

import (
	"fmt"
	"strings"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// statusMoved is RFC 3463, section 3.2: the destination mailbox has moved.
var statusMoved = smtp.Status{Class: 5, Subject: 1, Detail: 6}

// relocated is the driver `relocated`: mail for people who have gone is
// refused, with what is known of where they are.
type relocated struct {
	rules    *rules
	director *director
	file     *lookup.File[*lookup.Text] // nil: the lookup
}

func newRelocated(r *rules, d *director) *relocated {
	m := &relocated{rules: r, director: d}
	if d.set.Lookup != "" {
		return m
	}
	file, err := lookup.NewFile(lookup.Source[*lookup.Text]{
		Path: d.set.File, MaxSize: lookup.MaxText, Parse: lookup.ParseText,
		Complain: func(err error) { r.mistake("reading "+d.set.File, err) },
	})
	r.warn(d.set.File, err, d.set.Optional)
	m.file = file
	return m
}

func (m *relocated) direct(q *query, n *node) said {
	find := func(key string) (lookup.Answer, error) { return q.find(q.ctx, m.director.set.Lookup, key) }
	if m.file != nil {
		table, err := m.file.Get(m.rules.world.Now())
		if err != nil {
			return m.director.unreadable(err)
		}
		find = func(key string) (lookup.Answer, error) { return table.Find(key), nil }
	}
	for _, c := range candidates(n.addr, m.director.set.Separator) {
		for _, key := range userKeys(c.addr) {
			a, err := find(key)
			switch {
			case err != nil:
				return m.director.unreadable(err)
			case a.Found:
				return said{decision: decided, verdict: outcome.Fail(outcome.UnknownUser, statusMoved, "%s", moved(c.addr, a.Values))}
			}
		}
	}
	return said{why: "nobody of that name has moved"}
}

// moved says where somebody has gone: to an address, or what the line says.
func moved(a mailaddr.Address, values []string) string {
	text := strings.TrimSpace(strings.Join(values, ", "))
	if text == "" {
		return fmt.Sprintf("%s has moved", a)
	}
	if to, err := mailaddr.Parse(untrusted.From(text)); err == nil {
		return fmt.Sprintf("%s has moved; the new address is %s", a, to)
	}
	return fmt.Sprintf("%s has moved: %s", a, untrusted.From(text).ForTerminal())
}
