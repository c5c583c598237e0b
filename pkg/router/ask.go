package router

import (
	"context"
	"fmt"
	"strings"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/tables"
)

// tableSet is the lookups of a configuration: a *tables.Set.
type tableSet interface {
	Find(ctx context.Context, name, key string) (lookup.Answer, error)
	Has(name string) bool
	Close()
}

// remembered is an answer of a lookup within one query.
type remembered struct {
	answer lookup.Answer
	err    error
}

// find asks a lookup, each key once in a query: what is true of an address in
// one condition is true of it in the next.
func (q *query) find(ctx context.Context, name, key string) (lookup.Answer, error) {
	at := name + "\x00" + key
	q.mu.Lock()
	r, known := q.asked[at]
	q.mu.Unlock()
	if !known {
		r.answer, r.err = q.rules.tables.Find(ctx, name, key) // the error names the lookup
		q.mu.Lock()
		if q.asked == nil {
			q.asked = make(map[string]remembered)
		}
		q.asked[at] = r
		q.mu.Unlock()
	}
	q.explainLookup(name, key, r)
	return r.answer, r.err
}

// ask is find for patterns.
func (q *query) ask(ctx context.Context, name, key string) (bool, error) {
	a, err := q.find(ctx, name, key)
	return a.Found, err
}

// maxShown bounds the values that an explanation shows.
const maxShown = 10

func (q *query) explainLookup(name, key string, r remembered) {
	if !q.trace.on() {
		return
	}
	s := proto.Step{Kind: "lookup", Name: name, Did: "found"}
	switch {
	case r.err != nil:
		s.Did, s.Why = "deferred", r.err.Error()
	case !r.answer.Found:
		s.Did, s.Why = "not found", key
	default:
		values := r.answer.Values
		if hasPasswords(q.rules.settings, name) {
			values = []string{hidden}
		}
		s.Why = key
		if len(values) > 0 {
			s.Why += " = " + strings.Join(values[:min(len(values), maxShown)], ", ")
		}
		if more := len(values) - maxShown; more > 0 {
			s.Why += fmt.Sprintf(" and %d more", more)
		}
		if r.answer.Where != "" {
			s.Why += " (" + r.answer.Where + ")"
		}
	}
	q.trace.step(s)
}

// noTables stands for the lookups of a configuration without any.
type noTables struct{}

func (noTables) Find(_ context.Context, name, _ string) (lookup.Answer, error) {
	return lookup.Answer{}, fmt.Errorf("lookup %s: there is no such lookup", name)
}
func (noTables) Has(string) bool { return false }
func (noTables) Close()          {}

// openTables opens the lookups. A server that is down, or a file that is not
// there, is no reason not to serve: what asks it waits.
func openTables(s *settings.Settings, w World, tell func(doing string, err error)) (tableSet, error) {
	if w.Tables != nil {
		return w.Tables, nil
	}
	if len(s.Lookups) == 0 {
		return noTables{}, nil
	}
	return tables.OpenAll(s.Lookups, tables.World{
		Now: w.Now, Passwd: w.Passwd,
		Known: w.Figures.lookupsKnown, Asked: w.Figures.lookupsAsked, Spared: w.Figures.lookupsSpared,
		Complain: func(name string, err error) { tell("reading lookup "+name, err) },
	})
}

// secret is find for lookups with passwords: no explanation shows their values.
func (q *query) secret(name, key string) (values []string, found bool, err error) {
	a, err := q.rules.tables.Find(q.ctx, name, key)
	if err != nil {
		return nil, false, err
	}
	if a.Found {
		q.trace.step(proto.Step{Kind: "lookup", Name: name, Did: "found", Why: key})
	} else {
		q.trace.step(proto.Step{Kind: "lookup", Name: name, Did: "not found", Why: key})
	}
	return a.Values, a.Found, nil
}

// secretBySender is secret for the sender, then for @ and his domain.
func (q *query) secretBySender(name string) (values []string, found bool, err error) {
	for _, key := range senderKeys(q.sender) {
		if values, found, err = q.secret(name, key); found || err != nil {
			return values, found, err
		}
	}
	return nil, false, nil
}

// senderKeys are the keys by which a lookup is asked for a sender.
func senderKeys(sender mailaddr.Address) []string {
	if sender.IsNull() {
		return []string{"<>"}
	}
	return []string{strings.ToLower(sender.String()), "@" + sender.Domain()}
}
