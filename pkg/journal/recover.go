package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// Recover is the scan that dispatch makes when it starts, and whenever cleanup's
// connection comes up. It tells fn each undone record, oldest first, and
//
//   - copies what was acknowledged and can't be read any more to corrupt/, and
//     marks it, so that its segment can be reused;
//   - does the same with a record whose large file is missing or damaged;
//   - removes large files of done records that a crash left.
//
// A second Recover finds nothing of these to do. The caller reports Damage.
func (m *Marker) Recover(fn func(Found) error) (Report, error) {
	var leftovers []Found
	var lost []Damage
	var unread []error
	rep, err := scan(m.fs, m, func(f Found) error {
		l := f.Record.Large
		if l != nil && f.Done {
			leftovers = append(leftovers, Found{Ref: f.Ref, Record: Record{ID: f.Record.ID}})
			return nil
		}
		if f.Done {
			return nil
		}
		if l != nil {
			switch err := checkLargeFile(m.fs, f.Record.ID, l); {
			case err == nil:
			case m.IsDone(f.Ref):
				// Marked since the walk began, and its file removed.
				return nil
			case errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist):
				lost = append(lost, Damage{
					Segment: f.Ref.Segment, Generation: f.Ref.Generation, First: f.Ref.Index, Count: 1,
					Offset: f.Ref.Offset, Length: f.Ref.Length, Large: f.Record.ID,
				})
				return nil
			default:
				unread = append(unread, err)
				return nil
			}
		}
		return fn(f)
	})
	if err != nil {
		return rep, fmt.Errorf("recover journal: %w", err)
	}
	rep.Damage = append(rep.Damage, lost...)
	rep.Unreadable = append(rep.Unreadable, unread...)
	for _, d := range rep.Damage {
		if err := m.putAway(d); err != nil {
			return rep, fmt.Errorf("recover journal: %w", err)
		}
	}
	for _, f := range leftovers {
		if _, err := m.fs.Stat(largeName(f.Record.ID)); err == nil {
			m.DoneLarge(f.Ref, f.Record.ID)
		}
	}
	return rep, nil
}

func checkLargeFile(fsys durable.FS, id queueid.ID, want *Large) error {
	f, err := OpenLarge(fsys, id, want)
	if err != nil {
		return err
	}
	return errors.Join(CheckLarge(f, want), f.Close())
}

// SetAside is for a record that is as it was written and of which its reader can
// make nothing: it is kept in corrupt/, under the name that is returned, and
// marked.
func (m *Marker) SetAside(ref Ref) (kept string, err error) {
	rec, err := Read(m.fs, ref)
	if err != nil {
		return "", fmt.Errorf("set record %s aside: %w", ref, err)
	}
	d := Damage{
		Segment: ref.Segment, Generation: ref.Generation, First: ref.Index, Count: 1,
		Offset: ref.Offset, Length: ref.Length,
	}
	if rec.Large != nil {
		d.Large = rec.ID
	}
	if err := m.putAway(d); err != nil {
		return "", fmt.Errorf("set record %s aside: %w", ref, err)
	}
	return d.keptAs(), nil
}

// keptAs is the name in corrupt/ of the bytes.
func (d *Damage) keptAs() string {
	return fmt.Sprintf("%s/%08d-%d-%d.journal", corruptDir, d.Segment, d.Generation, d.First)
}

// putAway keeps damaged bytes in corrupt/ and then marks their records.
func (m *Marker) putAway(d Damage) error {
	if d.Done {
		return nil
	}
	name := d.keptAs()
	if _, err := m.fs.Stat(name); err == nil && d.Generation == 0 {
		return nil // a whole segment, kept at an earlier start
	}
	if err := durable.MkdirAll(m.fs, corruptDir, 0o700); err != nil {
		return err
	}
	b, err := readRange(m.fs, segmentName(d.Segment), d.Offset, d.Length)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(m.fs, name, 0o600, b); err != nil {
		return err
	}
	if err := m.putAwayLarge(d.Large); err != nil {
		return err
	}
	// A crash before this mark has the same bytes kept again under the same
	// name at the next start.
	if d.Generation != 0 {
		for i := range d.Count {
			m.Done(Ref{Segment: d.Segment, Generation: d.Generation, Index: d.First + i})
		}
	}
	return nil
}

func (m *Marker) putAwayLarge(id queueid.ID) error {
	if id.IsZero() {
		return nil
	}
	to := fmt.Sprintf("%s/%s.content", corruptDir, id)
	if err := m.fs.Rename(largeName(id), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return m.fs.SyncDir(corruptDir)
}

func readRange(fsys durable.FS, name string, off, length int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, min(length, MaxSegmentSize))
	n, err := f.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}
