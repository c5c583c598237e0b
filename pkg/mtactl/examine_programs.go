package mtactl

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"filbert/pkg/privsep"
)

// programs looks at what is run, and who delivers or runs it.
func (x *examiner) programs() {
	for _, name := range slices.Sorted(maps.Keys(x.s.Transports)) {
		t, of := x.s.Transports[name], fmt.Sprintf("transport %q", name)
		if t.Driver == "pipe" {
			x.runnable(of, t.Command)
		}
		x.acts(of, t.User, t.Group)
	}
	for i := range x.s.Directors {
		d := &x.s.Directors[i]
		of := fmt.Sprintf("director %q", d.Name)
		x.runnable(of, d.Command)
		x.acts(of, d.User, d.Group)
	}
	for i := range x.s.Routers {
		r := &x.s.Routers[i]
		of := fmt.Sprintf("router %q", r.Name)
		x.runnable(of, r.Command)
		x.acts(of, r.User, r.Group)
	}
}

// runnable looks at the program of a command.
func (x *examiner) runnable(of string, command []string) {
	if len(command) == 0 {
		return
	}
	st, err := os.Stat(command[0])
	switch {
	case err != nil:
		x.bad(command[0], fmt.Sprintf("the command of %s: %s", of, reason(err)), "mail for it waits until the program is there")
	case !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0:
		x.bad(command[0], fmt.Sprintf("the command of %s is no program that can be run", of), "chmod +x, or correct the path")
	}
}

// acts looks for the user and the group that act. A private instance changes neither.
func (x *examiner) acts(of, user, group string) {
	if x.inst.Private {
		return
	}
	if user != "" {
		if _, err := privsep.LookupUser(user); errors.Is(err, privsep.ErrNoUser) {
			x.bad("user "+user, fmt.Sprintf("is to act for %s and does not exist", of), "add the user, or correct the setting")
		}
	}
	if group != "" {
		if _, err := privsep.LookupIdentity("root", group); errors.Is(err, privsep.ErrNoUser) {
			x.bad("group "+group, fmt.Sprintf("is to act for %s and does not exist", of), "groupadd --system "+group+", or correct the setting")
		}
	}
}
