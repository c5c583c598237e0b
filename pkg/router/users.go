package router

import (
	"errors"
	"fmt"
	"path/filepath"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

type passwdFile = lookup.File[*lookup.Passwd]

var (
	errNoAccount = errors.New("no such account")
	errRoot      = errors.New("the account has uid 0")
)

// needPasswd opens the password file for whoever first needs it.
func (r *rules) needPasswd() {
	if r.passwd != nil {
		return
	}
	path := r.world.Passwd
	f, err := lookup.NewFile(lookup.Source[*lookup.Passwd]{
		Path: path, MaxSize: lookup.MaxPasswd, Parse: lookup.ParsePasswd,
		Complain: func(err error) { r.mistake("reading "+path, err) },
	})
	r.warn(path, err, false)
	r.passwd = f
}

// account finds a user of the system. needPasswd came before.
func (r *rules) account(name string) (proto.User, error) {
	p, err := r.passwd.Get(r.world.Now())
	if err != nil {
		return proto.User{}, err
	}
	a, ok := p.Find(name)
	if !ok {
		return proto.User{}, errNoAccount
	}
	u := proto.User{Name: a.Name, UID: a.UID, GID: a.GID, Home: a.Home}
	if a.UID == 0 {
		return u, errRoot
	}
	return u, nil
}

// actor is the user that a setting names, with the group that it names. What is
// not known of an account here, local-deliver finds out, or defers.
func (r *rules) actor(name, group string) *proto.User {
	u := proto.User{Name: name}
	if acct, err := r.account(name); err == nil {
		u = acct
	}
	u.Group = group
	return &u
}

// systemUsers is the driver `user` with source "system".
type systemUsers struct {
	rules    *rules
	director *director
}

// tableUsers is the driver `user` with source "table".
type tableUsers struct {
	rules    *rules
	director *director
	file     *lookup.File[*lookup.Users]
}

func newUsers(r *rules, d *director) (directs, error) {
	r.needPasswd()
	switch d.set.Users {
	case "system", "":
		return &systemUsers{r, d}, nil
	case "table":
		f, err := lookup.NewFile(lookup.Source[*lookup.Users]{
			Path: d.set.File, MaxSize: lookup.MaxUsers, Parse: lookup.ParseUsers,
			Complain: func(err error) { r.mistake("reading "+d.set.File, err) },
		})
		r.warn(d.set.File, err, d.set.Optional)
		return &tableUsers{r, d, f}, nil
	case "lookup":
		return &lookupUsers{r, d}, nil
	}
	return nil, fmt.Errorf("users %q is not known", d.set.Users)
}

// direct takes who has an account.
func (s *systemUsers) direct(q *query, n *node) said {
	for _, c := range candidates(n.addr, s.director.set.Separator) {
		u, err := s.rules.account(c.addr.Local())
		switch {
		case errors.Is(err, errNoAccount):
			continue
		case errors.Is(err, errRoot):
			// Nothing is delivered as root, and cron's mail for root has to
			// be read by somebody.
			return said{decision: redirected, why: "an account of uid 0", children: q.toPostmaster(n, u.Name+" has uid 0")}
		case err != nil:
			return s.director.unreadable(err)
		}
		return s.director.mailbox(u, c.detail, "an account of the system")
	}
	return said{why: "no such account"}
}

// mailbox takes an address for a user.
func (d *director) mailbox(u proto.User, detail, why string) said {
	u.Group = d.set.Group
	return said{decision: taken, why: why, leaf: proto.Leaf{Transport: d.set.Transport, User: &u, Detail: detail}}
}

// direct takes who stands in the table: by the whole address, by the name, both
// without what follows the separator, and last by the domain.
func (t *tableUsers) direct(q *query, n *node) said {
	table, err := t.file.Get(q.rules.world.Now())
	if err != nil {
		return t.director.unreadable(err)
	}
	for _, c := range candidates(n.addr, t.director.set.Separator) {
		if u, ok := table.Find(c.addr); ok {
			return t.user(u, c.detail, n.addr)
		}
	}
	if u, ok := table.FindDomain(n.addr.Domain()); ok {
		return t.user(u, "", n.addr)
	}
	return said{why: "not in " + t.director.set.File}
}

// user makes the leaf of a line of the table.
func (t *tableUsers) user(u lookup.User, detail string, addr mailaddr.Address) said {
	return t.director.virtualUser(t.rules, u, detail, fmt.Sprintf("%s:%d", t.director.set.File, u.Line), addr)
}

// virtualUser makes the leaf of a user whom a table or lookup names.
func (d *director) virtualUser(r *rules, u lookup.User, detail, where string, addr mailaddr.Address) said {
	acct, err := r.accountOf(u)
	if err != nil {
		return said{decision: decided, verdict: outcome.Defer(outcome.Internal, statusConfig,
			"%s: user %s for %s: %s", where, u.Name, addr, untrusted.From(err.Error()).ForTerminal())}
	}
	return d.mailbox(acct, detail, where)
}

// accountOf is the account of a user whom a table or lookup names.
func (r *rules) accountOf(u lookup.User) (proto.User, error) {
	if in := &r.settings.Instance; !in.Separate {
		// Everything runs as the caller here, and the names are only names.
		home := u.Home
		if home == "" {
			home = filepath.Join(in.Mail, u.Name)
		}
		return proto.User{Name: u.Name, UID: r.world.UID, GID: r.world.GID, Home: home}, nil
	}
	acct, err := r.account(u.Name)
	if err == nil && u.Home != "" {
		acct.Home = u.Home
	}
	return acct, err
}
