package mtactl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"filbert/etc"
	"filbert/pkg/privsep"
	"filbert/pkg/settings"
)

// kind is what a line of the manifest is about.
type kind string

const (
	kindDir  kind = "dir"
	kindFile kind = "file"
	kindProg kind = "prog"
	kindLink kind = "link"
)

// entry is one line of the manifest with its variables filled in.
type entry struct {
	kind         kind
	path         string
	owner, group string // "" = not checked
	mode         os.FileMode
	anyMode      bool
	target       string // of a link
	private      bool   // a private instance has it too
}

// Special bits as os.FileMode has them.
var specialBits = []struct {
	octal uint64
	mode  os.FileMode
}{{0o4000, os.ModeSetuid}, {0o2000, os.ModeSetgid}, {0o1000, os.ModeSticky}}

// layout is the manifest for an instance. Lines of a private instance lose
// their owners; check uses the caller's.
func layout(inst settings.Instance, u settings.Users) ([]entry, error) {
	sbin := "/usr/sbin"
	if exe, err := os.Executable(); err == nil {
		sbin = filepath.Dir(exe)
	}
	fill := strings.NewReplacer(
		"{etc}", inst.Etc, "{spool}", inst.Spool, "{db}", inst.DB, "{run}", inst.Run,
		"{log}", inst.Log, "{mail}", inst.Mail, "{libexec}", inst.Libexec,
		"{sbin}", sbin, "{bin}", sbin,
		"{main}", u.Main, "{memory}", u.Memory, "{drop}", u.DropGroup, "{admin}", u.AdminGroup,
	)
	var out []entry
	for line := range strings.Lines(etc.Manifest) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		e, err := parseEntry(f, fill)
		if err != nil {
			return nil, fmt.Errorf("manifest: %q: %w", strings.TrimSpace(line), err)
		}
		out = append(out, e)
	}
	return out, nil
}

func parseEntry(f []string, fill *strings.Replacer) (entry, error) {
	e := entry{kind: kind(f[0])}
	switch {
	case e.kind == kindLink && len(f) == 3:
		e.path, e.target = fill.Replace(f[1]), fill.Replace(f[2])
		return e, nil
	case (e.kind == kindDir || e.kind == kindFile || e.kind == kindProg) && len(f) == 6:
	default:
		return e, errors.New("six words are wanted, or three for a link")
	}
	e.path = fill.Replace(f[1])
	e.private = f[5] == "own"
	if f[2] != "-" {
		e.owner, e.group = fill.Replace(f[2]), fill.Replace(f[3])
	}
	if f[4] == "-" {
		e.anyMode = true
		return e, nil
	}
	bits, err := strconv.ParseUint(f[4], 8, 12)
	if err != nil {
		return e, err
	}
	e.mode = os.FileMode(bits & 0o777)
	for _, s := range specialBits {
		if bits&s.octal != 0 {
			e.mode |= s.mode
		}
	}
	return e, nil
}

// octal writes a mode as chmod takes it.
func octal(m os.FileMode) string {
	bits := uint64(m.Perm())
	for _, s := range specialBits {
		if m&s.mode != 0 {
			bits |= s.octal
		}
	}
	return fmt.Sprintf("%04o", bits)
}

const modeBits = os.ModePerm | os.ModeSetuid | os.ModeSetgid | os.ModeSticky

// owners of a file.
func ownerOf(st fs.FileInfo) (uid, gid int) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Uid), int(sys.Gid)
	}
	return -1, -1
}

// makeDirs makes the directories that are missing: all of a private instance's,
// and of an installed one those that a reboot may take away.
func makeDirs(inst settings.Instance) error {
	if !inst.Private {
		return nil // the run directory is master's to make, the rest is installed
	}
	entries, err := layout(inst, settings.Default().Users)
	if err != nil {
		return fail(exSoftware, "", "read the manifest").because(err)
	}
	for _, e := range entries {
		if e.kind != kindDir || !e.private {
			continue
		}
		if err := os.MkdirAll(e.path, 0o700); err != nil {
			return fail(exCantCreate, "", "make a directory of the instance").because(err)
		}
	}
	return nil
}

// identity looks a user and group up.
func identity(owner, group string) (uid, gid int, err error) {
	id, err := privsep.LookupIdentity(owner, group)
	return id.UID, id.GID, err
}
