package localdeliver

import (
	"errors"

	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// actingGroup is the group that the one who acts gets instead of his account's,
// "" for none. A group belongs to the user beside whom it was named: that of a
// transport with a user is not for the user of an alias.
func actingGroup(job *proto.LocalJob, t settings.Transport, name string) string {
	switch {
	case t.User == name && t.Group != "":
		return t.Group
	case job.User != nil && job.User.Name == name && job.User.Group != "":
		return job.User.Group
	case t.User == "":
		return t.Group
	}
	return ""
}

// inGroup makes group the primary group of u. The supplementary groups stay
// those of the account.
func (p *planner) inGroup(u *privsep.User, conf *settings.Settings, job *proto.LocalJob, t settings.Transport, group string) *outcome.Outcome {
	if group != t.Group && !namesGroup(conf, u.Name, group) {
		return deferred(outcome.Permission, statusConfig,
			"no director, router or transport gives group %q to user %q", group, u.Name)
	}
	gid, err := p.gid(group)
	switch {
	case errors.Is(err, privsep.ErrNoUser), errors.Is(err, errGroupRoot):
		return deferred(outcome.Permission, statusConfig, "transport %q: %v", job.Transport, err)
	case err != nil:
		return deferred(outcome.Internal, statusSystem, "look up group %q: %v", group, err)
	}
	u.GID = gid
	return nil
}

// errGroupRoot means that a group is root's own.
var errGroupRoot = errors.New("refusing to act as the group of root: name another group")

func (p *planner) gid(group string) (int, error) {
	gid, err := p.group(group)
	if err == nil && gid == 0 {
		err = errGroupRoot
	}
	return gid, err
}

// namesGroup reports whether the configuration gives the group to the user. The
// job's word is not enough: who took over router or dispatch could then have any
// user act as any group.
func namesGroup(conf *settings.Settings, user, group string) bool {
	gives := func(u, g string) bool { return g == group && (u == "" || u == user) }
	for i := range conf.Directors {
		if gives(conf.Directors[i].User, conf.Directors[i].Group) {
			return true
		}
	}
	for i := range conf.Routers {
		if gives(conf.Routers[i].User, conf.Routers[i].Group) {
			return true
		}
	}
	for _, t := range conf.Transports {
		if gives(t.User, t.Group) {
			return true
		}
	}
	return false
}
