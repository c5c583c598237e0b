package localdeliver

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

const (
	// errandUmask is that of children that answer router: a program that they
	// run may write files.
	errandUmask = 0o077
	// defaultForward is the name of a forward file.
	defaultForward = ".forward"
	// programTime is how long a program may take to say where mail goes.
	programTime = 10 * time.Second
	// programUser is who runs it when the configuration names nobody.
	programUser = "nobody"
)

// planRead decides who reads a forward file, and which. why says that there is
// none, an error that nobody can tell at the moment.
func (p *planner) planRead(q *proto.ForwardQuery) (pl plan, req *childRead, why string, err error) {
	conf := p.settings.Load()
	d := findDirector(conf, q.Director)
	if d == nil || d.Driver != "forwardfile" {
		return pl, nil, "", fmt.Errorf("there is no director %q with driver forwardfile", q.Director)
	}
	req = &childRead{Detail: q.Detail, File: d.File, Includes: d.AllowIncludes}
	if req.File == "" {
		req.File = defaultForward
	}
	pl.key.umask = errandUmask
	if !conf.Instance.Separate {
		home, err := p.unseparatedHome(conf, q)
		req.Actor = actor{Name: q.User, Home: home}
		return pl, req, "", err
	}
	u, err := p.lookup(q.User)
	switch {
	case errors.Is(err, privsep.ErrNoUser):
		return pl, nil, fmt.Sprintf("this machine has no user %q", q.User), nil
	case err != nil:
		return pl, nil, "", fmt.Errorf("look up user %q: %w", q.User, err)
	case u.UID == 0:
		return pl, nil, fmt.Sprintf("%q has uid 0, and nothing is read as root", q.User), nil
	}
	pl.key.user, pl.identity = u.Name, &u.Identity
	req.Actor = actor{Name: u.Name, Home: u.Home}
	return pl, req, "", nil
}

// unseparatedHome is the home where nobody changes user: what router says, as
// names need be no accounts there, else the account's, else the user's
// directory in the instance.
func (p *planner) unseparatedHome(conf *settings.Settings, q *proto.ForwardQuery) (string, error) {
	if q.Home != "" {
		return q.Home, nil
	}
	if u, err := p.lookup(q.User); err == nil {
		return u.Home, nil
	}
	name, err := untrusted.From(q.User).ForPath()
	if err != nil {
		return "", fmt.Errorf("the user's name: %w", err)
	}
	return filepath.Join(conf.Instance.Mail, name), nil
}

// planAsk decides who runs the program of a director or router, and which.
func (p *planner) planAsk(q *proto.ConsultQuery) (plan, *childAsk, error) {
	conf := p.settings.Load()
	c, err := findCommand(conf, q)
	if err != nil {
		return plan{}, nil, err
	}
	if c.user == "" {
		c.user = programUser
	}
	if c.timeout <= 0 {
		c.timeout = programTime
	}
	var pl plan
	pl.key.umask = errandUmask
	req := &childAsk{Query: *q, Command: c.command, Timeout: c.timeout, Actor: actor{Name: c.user, Home: "/"}}
	if !conf.Instance.Separate {
		return pl, req, nil
	}
	u, err := p.lookup(c.user)
	switch {
	case err != nil:
		return plan{}, nil, fmt.Errorf("%s: look up user %q: %w", c.name, c.user, err)
	case u.UID == 0:
		return plan{}, nil, fmt.Errorf("%s: refusing to run a program as root: name another user", c.name)
	}
	if c.group != "" {
		if u.GID, err = p.gid(c.group); err != nil {
			return plan{}, nil, fmt.Errorf("%s: group %q: %w", c.name, c.group, err)
		}
	}
	pl.key.user, pl.key.group, pl.identity = u.Name, c.group, &u.Identity
	req.Actor.Home = u.Home
	return pl, req, nil
}

// program is the command of a director or router.
type program struct {
	name        string // for people
	command     []string
	user, group string
	timeout     time.Duration
}

func findCommand(conf *settings.Settings, q *proto.ConsultQuery) (program, error) {
	switch d, r := findDirector(conf, q.Director), findRouter(conf, q.Router); {
	case q.Director != "" && q.Router == "" && d != nil && d.Driver == "command" && len(d.Command) > 0:
		return program{"director " + d.Name, d.Command, d.User, d.Group, d.Timeout.D()}, nil
	case q.Router != "" && q.Director == "" && r != nil && r.Driver == "command" && len(r.Command) > 0:
		return program{"router " + r.Name, r.Command, r.User, r.Group, r.Timeout.D()}, nil
	}
	return program{}, fmt.Errorf("there is no director %q or router %q with a command", q.Director, q.Router)
}

func findDirector(conf *settings.Settings, name string) *settings.Director {
	for i := range conf.Directors {
		if conf.Directors[i].Name == name {
			return &conf.Directors[i]
		}
	}
	return nil
}

func findRouter(conf *settings.Settings, name string) *settings.Router {
	for i := range conf.Routers {
		if conf.Routers[i].Name == name {
			return &conf.Routers[i]
		}
	}
	return nil
}
