package privsep

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// An Identity is who a process is to the kernel.
type Identity struct {
	UID, GID int
	// Groups are the supplementary groups; daemons have none.
	Groups []int
}

// A User is an entry of the password file with the groups of that user.
type User struct {
	Name string
	Home string
	Identity
}

// ErrNoUser is wrapped when a user or group does not exist, as opposed to a
// password file that could not be read, which is temporary.
var ErrNoUser = errors.New("no such user or group")

// LookupIdentity finds the user and group a daemon runs as. It gets no
// supplementary groups. An empty group is the user's own.
func LookupIdentity(userName, group string) (Identity, error) {
	u, err := lookup(userName)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{UID: u.UID, GID: u.GID}
	if group == "" {
		return id, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return Identity{}, lookupError("group", group, err)
	}
	if id.GID, err = strconv.Atoi(g.Gid); err != nil {
		return Identity{}, fmt.Errorf("group %s: gid %q is no number", group, g.Gid)
	}
	return id, nil
}

// LookupUser finds a user of the machine with the groups that a login would
// give.
func LookupUser(name string) (User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return User{}, lookupError("user", name, err)
	}
	out, err := convert(u)
	if err != nil {
		return User{}, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return User{}, fmt.Errorf("groups of %s: %w", name, err)
	}
	for _, s := range groups {
		gid, err := strconv.Atoi(s)
		if err != nil {
			return User{}, fmt.Errorf("groups of %s: gid %q is no number", name, s)
		}
		out.Groups = append(out.Groups, gid)
	}
	return out, nil
}

func lookup(name string) (User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return User{}, lookupError("user", name, err)
	}
	return convert(u)
}

func convert(u *user.User) (User, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid < 0 {
		return User{}, fmt.Errorf("user %s: uid %q is no number", u.Username, u.Uid)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil || gid < 0 {
		return User{}, fmt.Errorf("user %s: gid %q is no number", u.Username, u.Gid)
	}
	return User{Name: u.Username, Home: u.HomeDir, Identity: Identity{UID: uid, GID: gid}}, nil
}

func lookupError(kind, name string, err error) error {
	var noUser user.UnknownUserError
	var noGroup user.UnknownGroupError
	if errors.As(err, &noUser) || errors.As(err, &noGroup) {
		return fmt.Errorf("%s %s: %w", kind, name, ErrNoUser)
	}
	return fmt.Errorf("look up %s %s: %w", kind, name, err)
}
