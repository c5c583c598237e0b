package localdeliver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"filbert/pkg/durable"
	"filbert/pkg/outcome"
)

// maildir delivers into the Maildir at path.
func (w *worker) maildir(ctx context.Context, d *delivery, base, path string) outcome.Outcome {
	dir, err := openDir(base, path)
	if err != nil {
		return *fileOutcome("open the mailbox "+path, err)
	}
	defer dir.Close()
	if err := checkMaildir(path, dir); err != nil {
		return *fileOutcome("use the mailbox "+path, err)
	}
	account, o := w.openAccount(ctx, d, dir, path)
	if o != nil {
		return *o
	}
	defer account.close()
	size, err := w.deposit(ctx, dir, d.Hostname, d.text.writeTo)
	if err != nil {
		now := w.now()
		return *d.writeOutcome("write to the mailbox "+path, err, d.maildirReader(dir, path, now), now)
	}
	account.added(ctx, size)
	return delivered("delivered to the mailbox")
}

// checkMaildir refuses a directory in which others could swap names.
func checkMaildir(path string, dir *durable.Dir) error {
	info, err := dir.Stat(".")
	switch {
	case err != nil:
		return err
	case int(info.UID) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to uid %d", errUnsafe, path, info.UID)
	case info.Mode.Perm()&0o002 != 0:
		return fmt.Errorf("%w: everybody may write to %s", errUnsafe, path)
	}
	return nil
}

// deposit writes a message under a new name in tmp and moves it to new. It gives
// the size, which stands in the name as well (Maildir++), so that nobody has to ask
// for it again.
func (w *worker) deposit(ctx context.Context, fsys durable.FS, host string, write func(io.Writer, lineHook) error) (int64, error) {
	name := w.uniqueName(host)
	tmp := "tmp/" + name
	f, err := create(fsys, tmp)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeMaildir(fsys); err != nil {
			return 0, err
		}
		f, err = create(fsys, tmp)
	}
	if err != nil {
		return 0, err
	}
	err = write(f, nil)
	var size int64
	if err == nil {
		size, err = f.Size()
	}
	if err == nil {
		err = f.Datasync()
	}
	if cerr := f.Close(); err == nil {
		// NFS and quotas may say no as late as here.
		err = cerr
	}
	if err == nil {
		// Whoever asked has gone and will have it delivered again: nothing is
		// in the mailbox yet, and so it shall stay.
		err = ctx.Err()
	}
	if err != nil {
		_ = fsys.Remove(tmp)
		return 0, err
	}
	return size, moveToNew(fsys, tmp, fmt.Sprintf("new/%s,S=%d", name, size))
}

// moveToNew makes what lies in tmp a message.
func moveToNew(fsys durable.FS, tmp, final string) error {
	// The name is new to this machine and this Maildir, so that rename
	// can't replace anything; link and unlink would be one more change of
	// a directory to flush.
	err := fsys.Rename(tmp, final)
	if errors.Is(err, fs.ErrNotExist) {
		// tmp without new: a Maildir that somebody made by hand.
		if err = makeMaildir(fsys); err == nil {
			err = fsys.Rename(tmp, final)
		}
	}
	if err != nil {
		_ = fsys.Remove(tmp)
		return err
	}
	// The answer lets dispatch forget the message: the name must be on the
	// disk before it, or a power cut loses the mail that we said was there.
	if err := fsys.SyncDir("new"); err != nil {
		_ = fsys.Remove(final)
		return err
	}
	return nil
}

// makeMaildir makes what is missing, tmp last: who finds tmp there, made by
// another delivery at this moment, finds all.
func makeMaildir(fsys durable.FS) error {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := durable.MkdirAll(fsys, sub, 0o777); err != nil {
			return err
		}
	}
	return nil
}

func create(fsys durable.FS, name string) (durable.File, error) {
	return fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
}

// uniqueName is the name of a message in a Maildir: the time, this process,
// its count, the machine.
func (w *worker) uniqueName(hostname string) string {
	now := w.now()
	host := strings.NewReplacer("/", `\057`, ":", `\072`, "\x00", "").Replace(hostname)
	if host == "" {
		host = "localhost"
	}
	return fmt.Sprintf("%d.M%dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), w.seq.Add(1), host)
}
