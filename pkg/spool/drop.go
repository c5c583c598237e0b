package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// dropPerm lets the drop group read what another of its members left.
const dropPerm = 0o640

// Drop leaves a message in maildrop/ for later, durably, under a random name
// which it returns. It is for pickup when the suite is down; the message is not
// the suite's before cleanup accepted it, so it has no id of its own and no log.
// A crash leaves an unfinished file, which the next walk of Drops passes over.
func Drop(fsys durable.FS, envelope []byte, content *io.SectionReader) (queueid.ID, error) {
	for {
		id := randomID()
		m := &Message{ID: id, Envelope: envelope, Body: content}
		name := maildropDir + "/" + id.String()
		err := writeDrop(fsys, name, m)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("leave message in %s: %w", maildropDir, full(err))
		}
		return id, nil
	}
}

func writeDrop(fsys durable.FS, name string, m *Message) error {
	temp := name + tempSuffix
	if err := writeNew(fsys, temp, dropPerm, func(f durable.File) error { return m.write(f, nil) }); err != nil {
		return err
	}
	// A link, as it never replaces: the name was random, the directory is
	// shared with others.
	err := fsys.Link(temp, name)
	// A crash here leaves a whole message under both names; the unfinished
	// one is passed over.
	if err := errors.Join(err, fsys.Remove(temp)); err != nil {
		return err
	}
	return fsys.SyncDir(maildropDir)
}

// randomID is a name that nobody can guess; it is no message's id.
func randomID() queueid.ID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails: crypto/rand ends the process instead
	return queueid.ID(binary.BigEndian.Uint64(b[:])>>9 | 1)
}

// Drops tells what lies in maildrop/.
func Drops(fsys durable.FS) iter.Seq2[queueid.ID, error] {
	return func(yield func(queueid.ID, error) bool) {
		for e, err := range fsys.ReadDir(maildropDir) {
			if err != nil {
				yield(0, fmt.Errorf("walk %s: %w", maildropDir, err))
				return
			}
			id, err := queueid.Parse(e.Name)
			if err != nil || e.Type != 0 || id.String() != e.Name {
				continue
			}
			if !yield(id, nil) {
				return
			}
		}
	}
}

// OpenDrop opens a dropped message and checks all of it. Its owner can still
// write to it, so the caller copies what it needs, trusts none of it, and takes
// the user from the descriptor's owner (Entry.Owner), not from the envelope.
func OpenDrop(fsys durable.FS, id queueid.ID) (*Entry, error) {
	name := maildropDir + "/" + id.String()
	e, err := openMessage(fsys, name, id)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	if err := e.Check(); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", name, err), e.Close())
	}
	return e, nil
}

// RemoveDrop removes a dropped message after cleanup accepted it. A crash
// between the two has it handed in twice, never lost.
func RemoveDrop(fsys durable.FS, id queueid.ID) error {
	if err := fsys.Remove(maildropDir + "/" + id.String()); err != nil {
		return fmt.Errorf("remove dropped message: %w", err)
	}
	return nil
}
