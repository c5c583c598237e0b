package localdeliver

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// plan is the parent's decision about a job: which child does it, by which
// settings.
type plan struct {
	key       childKey
	transport settings.Transport
	encoded   []byte // transport as the child gets it
	rules     []byte // and the rewriting rules that it names
	actor     actor
	identity  *privsep.Identity // nil: the child is the caller
}

// A childKey tells children apart: two jobs with equal keys may share one. The
// umask is in it because a process has only one.
type childKey struct {
	user    string
	umask   int
	group   string // it has another primary group than the account; "" = the account's
	submits bool   // it has the group that may hand in mail
}

// planner knows the configuration and the password file.
type planner struct {
	settings atomic.Pointer[settings.Settings]
	lookup   func(name string) (privsep.User, error)
	group    func(name string) (int, error)
	// submitters is the group of pickup, 0 for none.
	//
	// Commands answer mail, and send it on to lists. They run with no_new_privs,
	// so that no set-group-id bit helps the sendmail that they call: they are
	// members of the group instead. The rejected alternative, doing without
	// no_new_privs here, gives every set-user-id program of the machine to
	// whoever takes over a child; this gives the right to hand in mail as oneself,
	// which every user has.
	submitters atomic.Int64
}

// plan decides about one job, or returns the outcome that ends it here.
func (p *planner) plan(job *proto.LocalJob) (plan, *outcome.Outcome) {
	conf := p.settings.Load()
	t, ok := conf.Transports[job.Transport]
	if !ok {
		return plan{}, deferred(outcome.Internal, statusConfig, "there is no transport %q", job.Transport)
	}
	t = t.Complete()
	if job.Recipient.Kind == envelope.TargetAddress && t.Driver != "maildir" && t.Driver != "mbox" && t.Driver != "pipe" {
		return plan{}, deferred(outcome.Internal, statusConfig, "transport %q has driver %q, which is none of local-deliver",
			job.Transport, t.Driver)
	}
	encoded, err := json.Marshal(t)
	if err != nil {
		return plan{}, deferred(outcome.Internal, statusConfig, "transport %q: %v", job.Transport, err)
	}
	umask, err := parseUmask(t.Umask)
	if err != nil {
		return plan{}, deferred(outcome.Internal, statusConfig, "transport %q: %v", job.Transport, err)
	}
	rules, err := rulesOf(conf, t.Rewrites)
	if err != nil {
		return plan{}, deferred(outcome.Internal, statusConfig, "transport %q: %v", job.Transport, err)
	}
	out := plan{transport: t, encoded: encoded, rules: rules}
	out.key.umask = umask
	name := actingUser(job, t)
	if !conf.Instance.Separate {
		out.actor = actor{Name: name}
		if job.User != nil {
			out.actor = actor{Name: job.User.Name, Home: job.User.Home}
		}
		return out, nil
	}
	if name == "" {
		return plan{}, deferred(outcome.Permission, statusConfig,
			"no user to deliver as: name one for transport %q", job.Transport)
	}
	u, o := p.find(name, job.Transport)
	if o != nil {
		return plan{}, o
	}
	if out.key.group = actingGroup(job, t, name); out.key.group != "" {
		if o := p.inGroup(&u, conf, job, t, out.key.group); o != nil {
			return plan{}, o
		}
	}
	if group := int(p.submitters.Load()); group != 0 && isCommand(job, t) {
		u.Groups = append(slices.Clip(u.Groups), group)
		out.key.submits = true
	}
	out.key.user, out.actor, out.identity = u.Name, actor{Name: u.Name, Home: u.Home}, &u.Identity
	if job.User != nil && job.User.Name == name {
		// The password file's word, not the caller's. But where the mailbox lies a table
		// of users may say: several may have one account. It is opened as the user, so
		// that a wrong word leads nowhere that he may not write.
		job.User.UID, job.User.GID = uint32(u.UID), uint32(u.GID)
		if !filepath.IsAbs(job.User.Home) {
			job.User.Home = u.Home
		}
	}
	return out, nil
}

// actingUser is the name of who writes or runs: what the alias said of its pipe
// or file, else what the transport says, else the user that the director found.
func actingUser(job *proto.LocalJob, t settings.Transport) string {
	switch {
	case job.Recipient.User != "" && job.Recipient.Kind != envelope.TargetAddress:
		return job.Recipient.User
	case t.User != "":
		return t.User
	case job.User != nil:
		return job.User.Name
	}
	return ""
}

// find looks the acting user up in the password file. The uid in the job is not
// asked: the caller may be wrong, or not itself any more.
func (p *planner) find(name, transport string) (privsep.User, *outcome.Outcome) {
	u, err := p.lookup(name)
	switch {
	case errors.Is(err, privsep.ErrNoUser):
		return u, deferred(outcome.Permission, statusConfig,
			"this machine has no user %q: name one for transport %q", name, transport)
	case err != nil:
		return u, deferred(outcome.Internal, statusSystem, "look up user %q: %v", name, err)
	case u.UID == 0:
		return u, deferred(outcome.Permission, statusConfig,
			"refusing to deliver as root: send mail for %q on with an alias, or name another user for transport %q",
			name, transport)
	}
	return u, nil
}

// rulesOf are the rewriting rules of these names, in their order, for the child.
func rulesOf(conf *settings.Settings, names []string) ([]byte, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var rules []settings.Rewrite
	for i := range conf.Rewrites {
		if slices.Contains(names, conf.Rewrites[i].Name) {
			rules = append(rules, conf.Rewrites[i])
		}
	}
	encoded, err := json.Marshal(rules)
	if err == nil && len(encoded) > maxRules {
		err = fmt.Errorf("the rewriting rules are longer than %d octets", maxRules)
	}
	return encoded, err
}

func parseUmask(s string) (int, error) {
	n, err := strconv.ParseUint(s, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("umask %q is no octal number up to 777", s)
	}
	return int(n), nil
}
