//go:build interop

package interop

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// configurations has a directory for each server, to be laid over its root.
//
//go:embed peers
var configurations embed.FS

// peersDir is where install.sh has unpacked the servers.
func peersDir() string {
	if dir := os.Getenv("FILBERT_PEERS"); dir != "" {
		return dir
	}
	return "/var/cache/filbert-interop"
}

// makeRoot makes the root directory: links to the files that were unpacked,
// devices, users, a certificate, and the directories that the server wants.
//
// Invariant: no file is ever written in place, since it is shared.
func (p *peer) makeRoot() error {
	tree := p.tree
	if tree == "" {
		tree = p.name
	}
	if err := linkTree(filepath.Join(peersDir(), tree), p.root); err != nil {
		return fmt.Errorf("make a root directory for %s: %w", p.name, err)
	}
	// Users of every name must get through to what is theirs.
	if err := os.Chmod(p.root, 0o755); err != nil {
		return err
	}
	dirs := append([]directory{
		{"dev", 0o755, 0, 0}, {"tmp", 0o777 | fs.ModeSticky, 0, 0}, {"etc/tls", 0o755, 0, 0}, {"var/log", 0o777, 0, 0},
		{"run", 0o755, 0, 0}, {"mail", 0o755, boxID, boxID},
	}, p.dirs...)
	for _, d := range dirs {
		if err := d.make(p.root); err != nil {
			return err
		}
	}
	for name, minor := range map[string]int{"null": 3, "zero": 5, "random": 8, "urandom": 9} {
		path := filepath.Join(p.root, "dev", name)
		if err := syscall.Mknod(path, syscall.S_IFCHR, 1<<8|minor); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			return err
		}
	}
	return errors.Join(p.makeUsers(), p.makeCertificate())
}

// linkTree makes the directory to like from, with links for files.
func linkTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "." {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.Mkdir(target, 0o755)
		case d.Type() == fs.ModeSymlink:
			where, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(where, target)
		}
		return os.Link(path, target)
	})
}

// A directory that a server wants to find.
type directory struct {
	path     string
	mode     fs.FileMode
	uid, gid int
}

func (d directory) make(root string) error {
	path := filepath.Join(root, d.path)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := os.Chown(path, d.uid, d.gid); err != nil {
		return err
	}
	return os.Chmod(path, d.mode)
}

// makeUsers writes the users and groups. A server's own have numbers that
// nobody on the machine has.
func (p *peer) makeUsers() error {
	passwd := "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	for name, id := range p.users {
		passwd += fmt.Sprintf("%s:x:%d:%d::/mail:/bin/sh\n", name, id, id)
		group += fmt.Sprintf("%s:x:%d:\n", name, id)
	}
	return errors.Join(
		p.put("etc/passwd", passwd), p.put("etc/group", group), p.put("etc/shadow", ""),
		p.put("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n"),
		p.put("etc/hosts", fmt.Sprintf("127.0.0.1 localhost\n%s peer.test\n", peerIP)),
		p.put("etc/resolv.conf", "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"),
		p.put("etc/services", "smtp 25/tcp mail\nlmtp 24/tcp\n"),
		p.put("etc/mailname", p.name+".test\n"),
	)
}

var variable = regexp.MustCompile(`\$\{[A-Z][A-Z0-9_]*\}`)

// configure writes the configuration files, with the settings filled in.
func (p *peer) configure(s settings) error {
	from := "peers/" + p.name
	return fs.WalkDir(configurations, from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := configurations.ReadFile(path)
		if err != nil {
			return err
		}
		filled := variable.ReplaceAllStringFunc(string(text), func(name string) string {
			value, ok := s[name[2:len(name)-1]]
			if !ok {
				err = fmt.Errorf("%s: %s is not set", path, name)
			}
			return value
		})
		if err != nil {
			return err
		}
		return p.put(strings.TrimPrefix(path, from+"/"), filled)
	})
}

// put writes a file anew.
func (p *peer) put(name, text string) error {
	path := filepath.Join(p.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}
