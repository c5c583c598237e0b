package localdeliver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"filbert/pkg/durable"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// errNoForward means that there is no forward file; the text says why.
var errNoForward = errors.New("no forward file")

// readForward reads the user's forward file, which can send his mail elsewhere
// and run commands as him: it is used only if nobody else could have written it.
func (w *worker) readForward(req *childRead) *proto.ForwardAnswer {
	path, err := req.path()
	if errors.Is(err, errNoForward) {
		return &proto.ForwardAnswer{Why: err.Error()}
	}
	a := &proto.ForwardAnswer{Path: path}
	if err == nil {
		err = req.read(path, a)
	}
	if err != nil {
		// Not half of it: what is missing may be the end of a list.
		return &proto.ForwardAnswer{Path: path, Trouble: err.Error()}
	}
	return a
}

// path is where the file should be. Each placeholder but {home} is one component,
// so that the detail of an address names no file anywhere else.
func (m *childRead) path() (string, error) {
	home, err := absolute("home", m.Actor.Home)
	if err != nil {
		return "", err
	}
	path, err := expand(m.File, func(name string) (string, error) {
		switch name {
		case "home":
			return home, nil
		case "user":
			return untrusted.From(m.Actor.Name).ForPath()
		case "detail":
			return m.detail()
		}
		return "", fmt.Errorf("%w: there is no placeholder {%s}", errTemplate, name)
	})
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(home, path)
	}
	if path = filepath.Clean(path); strings.IndexByte(path, 0) >= 0 || len(path) > maxPath {
		return "", fmt.Errorf("%w: %q is no path", errTemplate, m.File)
	}
	return path, nil
}

func (m *childRead) detail() (string, error) {
	if m.Detail == "" {
		return "", fmt.Errorf("%w: the address has no detail", errNoForward)
	}
	part, err := untrusted.From(m.Detail).ForPath()
	if err != nil {
		return "", fmt.Errorf("%w: the detail of the address: %w", errNoForward, err)
	}
	return part, nil
}

// read fills a with the file at path and what it includes.
func (m *childRead) read(path string, a *proto.ForwardAnswer) error {
	home := filepath.Clean(m.Actor.Home)
	if _, o := lookAtHome(home); o != nil {
		return errors.New(o.Text.ForTerminal())
	}
	dir, err := open(parentOf(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	from := durable.FromFile(dir)
	defer from.Close()
	f, err := from.OpenFile(filepath.Base(path), os.O_RDONLY, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ELOOP):
		return fmt.Errorf("%s is a symbolic link: put the file itself there", path)
	case err != nil:
		return fmt.Errorf("open %s: %w", path, cause(err))
	}
	defer f.Close()
	// The directories only matter where there is a file: who may write to them
	// could have put another one of the user's there.
	if err := checkDirs(home, parentOf(path)); err != nil {
		return fmt.Errorf("%s is not used: %w", path, err)
	}
	if err := checkForwardFile(f.OS()); err != nil {
		return fmt.Errorf("%s is not used: %w", path, err)
	}
	text, err := readAll(f.OS(), path, proto.MaxForward)
	if err != nil {
		return err
	}
	a.Found, a.Text = true, untrusted.FromBytes(text)
	if !m.Includes {
		return nil
	}
	a.Includes, err = readIncludes(path, text)
	return err
}

// checkDirs refuses directories from home down to dir that others may write to.
// A dir that does not lie below home is looked at alone.
func checkDirs(home, dir string) error {
	for p := dir; ; p = parentOf(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if owner := ownerOf(info); owner != os.Geteuid() && owner != 0 {
			return fmt.Errorf("the directory %s belongs to uid %d", p, owner)
		}
		if mode := info.Mode().Perm(); mode&0o022 != 0 {
			return fmt.Errorf("others may write to the directory %s (mode %04o): chmod go-w", p, mode)
		}
		if p == home || !strings.HasPrefix(p, strings.TrimSuffix(home, "/")+"/") {
			return nil
		}
	}
}

// checkForwardFile says of an open file whether the user alone can have written
// it. A second name may be anybody's: a link to a file of the user's that was never
// meant to say where his mail goes.
func checkForwardFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return errors.New("it is no regular file")
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to uid %d", st.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others may write to it (mode %04o): chmod go-w", info.Mode().Perm())
	case st.Nlink != 1:
		return fmt.Errorf("it has %d names", st.Nlink)
	}
	return nil
}

// readAll reads a file of at most limit octets.
func readAll(f *os.File, path string, limit int) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, cause(err))
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s: a forward file and what it includes may have %d octets, and this is more", path, proto.MaxForward)
	}
	return text, nil
}

// cause is an error without its path, which stands in front of it anyway.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
