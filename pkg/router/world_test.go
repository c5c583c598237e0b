package router_test

import (
	"context"
	"errors"
	"strings"
	"sync"

	"filbert/pkg/lookup"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// fakeTables are lookups in memory: by name, then by key. A key of one blank has
// no values. The lookup "broken" never answers.
type fakeTables map[string]map[string]string

func (f fakeTables) Find(_ context.Context, name, key string) (lookup.Answer, error) {
	if name == "broken" {
		return lookup.Answer{}, errors.New("the server is away")
	}
	value, found := f[name][key]
	a := lookup.Answer{Found: found, Where: "db of " + name}
	if found && value != " " {
		a.Values = strings.Split(value, "|||")
	}
	return a, nil
}

func (f fakeTables) Has(name string) bool { _, ok := f[name]; return ok || name == "broken" }
func (fakeTables) Close()                 {}

// fakeAgents answer as local-deliver would.
type fakeAgents struct {
	mu sync.Mutex
	// forward has the files by user, or user+detail; includes by path. A text that
	// begins with "!" is trouble.
	forward  map[string]string
	includes map[string]string
	// program answers for a recipient.
	program func(q *proto.ConsultQuery) (string, error)
	asked   []string
}

func (f *fakeAgents) Forward(_ context.Context, q *proto.ForwardQuery) (*proto.ForwardAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name := q.User
	if q.Detail != "" {
		name += "+" + q.Detail
	}
	f.asked = append(f.asked, name+" at "+q.Home)
	a := &proto.ForwardAnswer{Path: "/home/" + q.User + "/.forward"}
	text, ok := f.forward[name]
	if !ok {
		text, ok = f.forward[q.User]
	}
	if trouble, is := strings.CutPrefix(text, "!"); is {
		a.Trouble = trouble
		return a, nil
	}
	if text == "?" {
		return nil, errors.New("local-deliver is away")
	}
	a.Found, a.Text = ok, untrusted.From(text)
	for path, text := range f.includes {
		a.Includes = append(a.Includes, proto.Included{Path: path, Text: untrusted.From(text)})
	}
	return a, nil
}

func (f *fakeAgents) Consult(_ context.Context, q *proto.ConsultQuery) (*proto.ConsultAnswer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.Join([]string{q.Director, q.LocalPart, q.Domain, q.Detail, q.Sender, q.Recipient}, " "))
	text, err := f.program(q)
	if trouble, is := strings.CutPrefix(text, "!"); is {
		return &proto.ConsultAnswer{Trouble: trouble}, err
	}
	return &proto.ConsultAnswer{Output: untrusted.From(text)}, err
}

func (f *fakeAgents) Callout(context.Context, *proto.CalloutQuery) (*proto.CalloutAnswer, error) {
	return nil, errors.New("no call-outs here")
}
