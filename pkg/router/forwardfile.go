package router

import (
	"errors"
	"fmt"
	"slices"

	"filbert/pkg/aliases"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// forwardFile is the driver `forwardfile`: a user's own word on where his mail
// goes, read by a process that is the user. What he writes may send his mail
// anywhere or hold it up, and nobody else's.
type forwardFile struct{ entries }

func newForwardFile(r *rules, d *director) *forwardFile {
	if d.set.Lookup == "" {
		r.needPasswd()
	}
	return &forwardFile{entries{rules: r, director: d}}
}

func (f *forwardFile) direct(q *query, n *node) said {
	for _, c := range candidates(n.addr, f.director.set.Separator) {
		u, found, err := f.account(q, c.addr)
		switch {
		case err != nil:
			return f.director.badUser(err)
		case !found:
			continue
		case n.times(c.addr) >= forwarded:
			return said{why: fmt.Sprintf("the forward file of %s has had its turn", u.Name)}
		}
		return f.forward(q, n, c, u)
	}
	return said{why: "no account with a forward file"}
}

// account finds whose forward file counts for an address. Nothing is read as
// root, and nothing for him.
func (f *forwardFile) account(q *query, a mailaddr.Address) (u proto.User, found bool, err error) {
	if f.director.set.Lookup == "" {
		u, err = f.rules.account(a.Local())
		if errors.Is(err, errNoAccount) || errors.Is(err, errRoot) {
			return u, false, nil
		}
		return u, err == nil, err
	}
	for _, key := range userKeys(a) {
		v, where, found, err := q.userIn(f.director.set.Lookup, key)
		if err != nil {
			return u, false, err
		}
		if !found {
			continue
		}
		if u, err = f.rules.accountOf(v); errors.Is(err, errRoot) {
			return u, false, nil
		} else if err != nil {
			return u, false, &mistake{fmt.Errorf("%s: user %s: %w", where, v.Name, err)}
		}
		return u, true, nil
	}
	return u, false, nil
}

// forward does what the file of a user says.
func (f *forwardFile) forward(q *query, n *node, c candidate, u proto.User) said {
	a, err := q.forwardOf(&proto.ForwardQuery{Director: f.director.set.Name, User: u.Name, Detail: c.detail, Home: u.Home})
	switch {
	case err != nil:
		return f.director.unreadable(fmt.Errorf("ask for the forward file of %s: %w", u.Name, err))
	case a.Trouble != "":
		return f.director.unreadable(fmt.Errorf("forward file of %s: %s", u.Name, a.Trouble))
	case !a.Found && a.Why != "":
		return said{why: a.Why}
	case !a.Found:
		return said{why: "there is no " + a.Path}
	}
	items, err := f.read(a)
	if err != nil {
		f.rules.tell("reading the forward file of "+u.Name, err)
		return f.later("forward file of %s: %s", u.Name, untrusted.From(err.Error()).ForTerminal())
	}
	if len(items) == 0 {
		return said{why: a.Path + " is empty"}
	}
	s := f.expand(q, n, c.addr.String(), entry{items: items, where: a.Path, runAs: u.Name}, f.director.report(q))
	for i := range s.children {
		r := &s.children[i].rcpt
		r.Lineage = marked(r.Lineage, c.addr, forwarded)
	}
	return s
}

// read takes the text apart and puts what it includes in its place.
func (f *forwardFile) read(a *proto.ForwardAnswer) ([]aliases.Item, error) {
	items, err := aliases.ParseForward(a.Path, []byte(a.Text.ForWire()))
	if err != nil {
		return nil, err
	}
	if !f.director.set.AllowIncludes {
		if i := slices.IndexFunc(items, func(it aliases.Item) bool { return it.Kind == aliases.Include }); i >= 0 {
			return nil, fmt.Errorf("%s:%d: director %s does not allow :include: (allow_includes)", a.Path, items[i].Line, f.director.set.Name)
		}
	}
	lists := make(map[string][]aliases.Item, len(a.Includes))
	for _, in := range a.Includes {
		if lists[in.Path], err = aliases.ParseList(in.Path, []byte(in.Text.ForWire())); err != nil {
			return nil, err
		}
	}
	return flatten(a.Path, items, func(path string) ([]aliases.Item, error) {
		list, ok := lists[path]
		if !ok {
			return nil, errors.New("it was not read")
		}
		return list, nil
	})
}

// forwardOf asks for a file, once in a query.
func (q *query) forwardOf(f *proto.ForwardQuery) (*proto.ForwardAnswer, error) {
	if q.rules.settings.Instance.Separate {
		f.Home = ""
	}
	if a, ok := q.forwards[*f]; ok {
		return a, nil
	}
	a, err := q.rules.world.Agents.Forward(q.ctx, f)
	if err != nil {
		return nil, err
	}
	if q.forwards == nil {
		q.forwards = make(map[proto.ForwardQuery]*proto.ForwardAnswer)
	}
	q.forwards[*f] = a
	return a, nil
}

// owns tells whether a command or file that is tried again is of a user's
// forward file: he runs it, and it is his address that led there.
func (f *forwardFile) owns(q *query, n *node) bool {
	for _, c := range candidates(n.addr, f.director.set.Separator) {
		if u, found, err := f.account(q, c.addr); err == nil && found {
			return u.Name == n.rcpt.User
		}
	}
	return false
}
