package mtactl

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"

	"filbert/pkg/aliases"
	"filbert/pkg/lookup"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/route"
)

// users looks for the suite's users and groups.
func (x *examiner) users() {
	u := x.s.Users
	uids := map[int]string{}
	for _, name := range []string{u.Main, u.In, u.Out, u.Route, u.Memory} {
		id, err := privsep.LookupIdentity(name, "")
		switch {
		case errors.Is(err, privsep.ErrNoUser):
			x.bad("user "+name, "does not exist", fmt.Sprintf("useradd --system --no-create-home --shell /usr/sbin/nologin --user-group %s", name))
		case err != nil:
			x.bad("user "+name, err.Error(), "")
		case id.UID == 0:
			x.bad("user "+name, "has uid 0, which undoes the separation", "give it a uid of its own")
		case uids[id.UID] != "":
			x.bad("user "+name, fmt.Sprintf("has the uid of %s, so the two can reach each other's files", uids[id.UID]), "give each a uid of its own")
		default:
			uids[id.UID] = name
		}
	}
	for _, name := range []string{u.DropGroup, u.AdminGroup} {
		_, err := privsep.LookupIdentity("root", name)
		switch {
		case errors.Is(err, privsep.ErrNoUser):
			x.bad("group "+name, "does not exist", "groupadd --system "+name)
		case err != nil:
			x.bad("group "+name, err.Error(), "")
		}
	}
}

// layout holds directories and files against the manifest.
func (x *examiner) layout() {
	entries, err := layout(x.inst, x.s.Users)
	if err != nil {
		x.bad("manifest", err.Error(), "")
		return
	}
	for _, e := range entries {
		switch {
		case x.inst.Private && e.private:
			x.privateEntry(e)
		case x.inst.Private && e.kind == kindProg && strings.HasPrefix(e.path, x.inst.Libexec):
			x.program(e)
		case x.inst.Private:
		case e.kind == kindProg:
			x.program(e)
			x.ownerAndMode(e)
		case e.kind == kindDir || e.kind == kindFile:
			x.ownerAndMode(e)
		}
	}
}

// privateEntry wants what belongs to the caller and to nobody else.
func (x *examiner) privateEntry(e entry) {
	st, err := os.Lstat(e.path)
	if err != nil {
		x.missing(e, err, 0o700)
		return
	}
	if (e.kind == kindDir) != st.IsDir() {
		x.bad(e.path, "is no "+kindWord(e.kind), "move it away; mtactl check --fix makes a directory")
		return
	}
	if uid, _ := ownerOf(st); uid != os.Geteuid() {
		x.bad(e.path, fmt.Sprintf("belongs to uid %d, and you are uid %d", uid, os.Geteuid()), "run the instance as its owner, or: chown -R")
	}
	if perm := st.Mode().Perm(); perm&0o022 != 0 {
		want := perm &^ 0o022
		x.mendable(e.path, fmt.Sprintf("may be written by others (mode %s)", octal(perm)), fmt.Sprintf("chmod %s %s", octal(want), shellWord(e.path)),
			func() error { return os.Chmod(e.path, want) })
	}
}

func kindWord(k kind) string {
	if k == kindDir {
		return "directory"
	}
	return "file"
}

func (x *examiner) missing(e entry, err error, mode os.FileMode) {
	if !errors.Is(err, fs.ErrNotExist) {
		x.bad(e.path, err.Error(), "run mtactl check as root")
		return
	}
	if e.path == x.inst.Run {
		return // made by master at each start
	}
	if e.kind != kindDir {
		x.bad(e.path, "does not exist", "install the package again")
		return
	}
	x.mendable(e.path, "does not exist", "mtactl check --fix makes it", func() error {
		if err := os.MkdirAll(e.path, mode); err != nil {
			return err
		}
		return x.give(e)
	})
}

// give puts owner and mode of an installed entry right.
func (x *examiner) give(e entry) error {
	if x.inst.Private || e.owner == "" {
		return nil
	}
	uid, gid, err := identity(e.owner, e.group)
	if err != nil {
		return err
	}
	if err := os.Lchown(e.path, uid, gid); err != nil {
		return err
	}
	return os.Chmod(e.path, e.mode) // after chown, which takes set-id bits away
}

// ownerAndMode compares an entry of an installed instance.
func (x *examiner) ownerAndMode(e entry) {
	st, err := os.Lstat(e.path)
	if err != nil {
		x.missing(e, err, e.mode)
		return
	}
	if e.owner == "" || e.anyMode {
		return
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		x.bad(e.path, "is a symbolic link, which someone else could point elsewhere", "put the real thing there")
		return
	}
	uid, gid, err := identity(e.owner, e.group)
	if err != nil {
		return // users says it
	}
	haveUID, haveGID := ownerOf(st)
	mode := st.Mode() & modeBits
	if haveUID == uid && haveGID == gid && mode == e.mode {
		return
	}
	x.mendable(e.path,
		fmt.Sprintf("has owner %d:%d and mode %s; it should be %s:%s and %s", haveUID, haveGID, octal(mode), e.owner, e.group, octal(e.mode)),
		fmt.Sprintf("chown %s:%s %s; chmod %s %s", e.owner, e.group, e.path, octal(e.mode), e.path),
		func() error { return x.give(e) })
}

func (x *examiner) program(e entry) {
	st, err := os.Stat(e.path)
	switch {
	case err != nil && x.inst.Private:
		x.bad(e.path, "the program is missing", "in a source tree run `make build`; else install the package again")
	case err == nil && (!st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0):
		x.bad(e.path, "is no program that can be run", "install the package again")
	}
}

// oneFileSystem: the queue directories are moved between by rename(2).
func (x *examiner) oneFileSystem() {
	devices := map[uint64][]string{}
	for _, name := range []string{"incoming", "deferred", "hold", "corrupt", "maildrop"} {
		st, err := os.Stat(filepath.Join(x.inst.Spool, name))
		if err != nil {
			continue
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			devices[sys.Dev] = append(devices[sys.Dev], name)
		}
	}
	if len(devices) > 1 {
		var parts []string
		for _, names := range devices {
			parts = append(parts, strings.Join(names, " "))
		}
		sort.Strings(parts)
		x.bad(x.inst.Spool, "its directories are on several file systems ("+strings.Join(parts, "; ")+"), and messages cannot be moved between them",
			"put the whole of the spool on one file system")
	}
}

// maxSocket is what fits into a socket address with its final zero (unix(7)).
const maxSocket = 107

func (x *examiner) socketPaths() {
	if path := x.inst.Control(proto.ControlMaster); len(path) > maxSocket {
		x.bad(path, fmt.Sprintf("has %d bytes, and a socket's path may have %d", len(path), maxSocket), "move the instance to a directory with a shorter name")
	}
}

// tables reads alias files, members of lists, tables of users and tables of hosts.
func (x *examiner) tables() {
	for _, d := range x.s.Directors {
		if d.File == "" || d.Optional && !exists(d.File) {
			continue
		}
		switch d.Driver {
		case "aliasfile":
			x.tableProblems(d.File, aliases.Check(d.File))
		case "virtual":
			x.tableProblems(d.File, aliases.CheckVirtual(d.File))
		case "list":
			x.tableProblems(d.File, aliases.CheckList(d.File))
		case "relocated":
			x.table(d.File, lookup.MaxText, func(name string, data []byte) error {
				_, err := lookup.ParseText(name, data)
				return err
			})
		case "user":
			x.table(d.File, lookup.MaxUsers, func(name string, data []byte) error {
				_, err := lookup.ParseUsers(name, data)
				return err
			})
		}
	}
	for _, r := range x.s.Routers {
		if r.File != "" {
			x.table(r.File, lookup.MaxHosts, func(name string, data []byte) error {
				_, err := lookup.ParseHosts(name, data, func(host string) error {
					_, err := route.ParseSpec(host)
					return err
				})
				return err
			})
		}
	}
	x.lookups()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (x *examiner) table(path string, limit int64, parse func(string, []byte) error) {
	data, err := lookup.ReadFile(path, limit)
	if err == nil {
		err = parse(path, data)
	}
	var ps *lookup.Problems
	switch {
	case errors.As(err, &ps):
		x.tableProblems(path, ps.List)
	case err != nil:
		x.bad(path, "cannot be read: "+reason(err), "mail for its addresses waits until it can")
	}
}

func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (x *examiner) tableProblems(path string, list []lookup.Problem) {
	for _, p := range list {
		where := path
		if p.File != "" {
			where = p.File
		}
		if p.Line > 0 {
			where = fmt.Sprintf("%s:%d", where, p.Line)
		}
		x.bad(where, show(p.Text), "until it is corrected, the last good version stays in force, and after a restart mail for its addresses waits")
	}
}

// ports tries to bind what nobody should have bound: only a hint, because it
// can change before the start.
func (x *examiner) ports() {
	if x.running {
		return
	}
	for _, l := range x.s.Listen {
		ln, err := net.Listen("tcp", l.Address)
		switch {
		case err == nil:
			ln.Close()
		case errors.Is(err, syscall.EADDRINUSE):
			_, port, _ := net.SplitHostPort(l.Address)
			x.doubt(l.Address, "is in use by another program, so the suite cannot start now", "ss -ltnp 'sport = :"+port+"' shows which; stop it, or change the listener's address")
		case errors.Is(err, syscall.EACCES):
			x.doubt(l.Address, "ports below 1024 are for root", "start the suite as root, or use a port like 2525")
		default:
			x.doubt(l.Address, err.Error(), "is the address one of this machine's?")
		}
	}
}
