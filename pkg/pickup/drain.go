package pickup

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

const (
	// unfinishedAge is how old an unfinished file must be before nobody can be
	// writing it any more: a message is only written once it is there whole.
	unfinishedAge = time.Hour

	// maxRun bounds the messages of one run; master starts the next.
	maxRun = 10_000

	// maxDropped bounds what is read of one file.
	maxDropped = maxMessage + spool.MaxEnvelope + 4096

	corrupt = "corrupt"
)

// drainer hands in what lies in maildrop/. It runs as the owner of the spool;
// all that it finds was written by others.
type drainer struct {
	p    *pickup
	dir  durable.FS
	kept int // messages that stay for the next run
	odd  int // things that were moved to corrupt/ or could not be
}

// dropped is one message by its name.
type dropped struct {
	id  queueid.ID
	age time.Time
}

// drain is --drain: one pass over maildrop/, the oldest first. The exit status is
// 0 when all was handed in, 75 when something waits for the next run, 65 when
// something was odd; what, is on standard error.
func (p *pickup) drain() error {
	dir, err := durable.Open(p.site.inst.Spool)
	if err != nil {
		return fail(exTempFail, "open the spool: %v", err)
	}
	defer dir.Close()
	d := &drainer{p: p, dir: dir}
	found, err := d.look()
	if err != nil {
		return fail(exTempFail, "look into maildrop: %v", err)
	}
	for _, f := range found {
		if err := p.stop.during(func() error { return d.one(f.id) }); err != nil {
			return fail(exTempFail, "hand in %s: %v", f.id, err)
		}
	}
	switch {
	case d.odd > 0:
		return fail(exDataErr, "%d entries of maildrop were odd", d.odd)
	case d.kept > 0:
		return fail(exTempFail, "%d messages stay in maildrop", d.kept)
	}
	return nil
}

// look finds the messages, and deals with all else that lies there.
func (d *drainer) look() ([]dropped, error) {
	var found []dropped
	for e, err := range d.dir.ReadDir(maildrop) {
		if err != nil {
			return nil, err
		}
		if len(found) == maxRun {
			break
		}
		info, err := d.dir.Stat(maildrop + "/" + e.Name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was finished, or taken away, while we looked
		}
		id, bad := queueid.Parse(e.Name)
		switch {
		case err != nil || !info.Mode.IsRegular():
			d.setAside(e.Name, "it is no file")
		case bad == nil && id.String() == e.Name:
			found = append(found, dropped{id, info.ModTime})
		case !strings.HasSuffix(e.Name, unfinished):
			d.setAside(e.Name, "it is no message of ours")
		case d.p.now().Sub(info.ModTime) > unfinishedAge:
			if err := d.dir.Remove(maildrop + "/" + e.Name); err != nil {
				d.trouble(e.Name, err)
			}
		}
	}
	slices.SortFunc(found, func(a, b dropped) int { return a.age.Compare(b.age) })
	return found, nil
}

// one hands in one message. An error means that cleanup cannot be reached, so
// that the others need not be tried.
func (d *drainer) one(id queueid.ID) error {
	name := id.String()
	info, err := d.dir.Stat(maildrop + "/" + name)
	if err == nil && info.Size > maxDropped {
		d.setAside(name, "it is too large")
		return nil
	}
	e, err := spool.OpenDrop(d.dir, id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, spool.ErrDamaged):
		d.setAside(name, err.Error())
		return nil
	case err != nil:
		d.trouble(name, err)
		return nil
	}
	defer e.Close()
	m, reason := d.read(e)
	switch {
	case m == nil && reason == "":
		return nil // still being written
	case m == nil:
		d.setAside(name, reason)
		return nil
	}
	answer, err := d.p.submit(m, e.Content())
	if err != nil {
		return err
	}
	return d.settle(id, m, e, answer)
}

// read checks what the file is and who left it, by the descriptor, and gives its
// submission; or the reason why it is none; or neither, when its writer still
// has it in hand.
func (d *drainer) read(e *spool.Entry) (m *proto.Submission, reason string) {
	info, err := e.OS().Stat()
	if err != nil {
		return nil, err.Error()
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return nil, "it is no regular file"
	case st.Nlink != 1:
		// A writer links the finished file to its name before it removes the
		// unfinished one.
		if _, err := d.dir.Stat(maildrop + "/" + e.ID.String() + unfinished); err == nil {
			return nil, ""
		}
		return nil, "it has several names"
	}
	if m, err = decodeDrop(e.Envelope); err != nil {
		return nil, "its envelope cannot be read: " + err.Error()
	}
	// Who it is from is what the kernel says of the file, not what is in it.
	// cleanup believes this of us alone (proto/submit.go).
	m.Envelope.Source = envelope.FromLocal
	m.Envelope.Client = envelope.Client{
		Proto: message.WithLocal, UID: int64(st.Uid), Login: lookupUser(int(st.Uid)).login,
	}
	d.p.site.complete(&m.Envelope)
	return m, ""
}

// settle acts on cleanup's answer.
func (d *drainer) settle(id queueid.ID, m *proto.Submission, e *spool.Entry, a *proto.Acceptance) error {
	switch a.Code / 100 {
	case 2:
		// A crash here has the message handed in again.
		if err := spool.RemoveDrop(d.dir, id); err != nil {
			d.trouble(id.String(), err)
		}
		return nil
	case 5:
		return d.refused(id, m, e, a)
	}
	d.kept++
	d.p.complain(fmt.Errorf("maildrop/%s stays: %w", id, refusal(a)))
	return nil
}

// refused tells the sender, who was given exit status 0 for this message, that
// it won't be sent after all. The message is kept in corrupt/.
func (d *drainer) refused(id queueid.ID, m *proto.Submission, e *spool.Entry, a *proto.Acceptance) error {
	if !m.Envelope.Sender.IsNull() {
		head := make([]byte, min(e.ContentSize, maxNoticeHeader))
		if _, err := e.Content().ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
			d.trouble(id.String(), err)
			return nil
		}
		text := []byte(notice(&m.Envelope, a, head, d.p.site.name))
		b, err := d.p.submit(d.p.noticeTo(m.Envelope.Sender), section(text))
		if err != nil {
			return err
		}
		if b.Code/100 == 4 {
			d.kept++
			return nil
		}
		if b.Code/100 != 2 {
			d.p.complain(fmt.Errorf("maildrop/%s: tell its sender: %w", id, refusal(b)))
		}
	}
	d.setAside(id.String(), refusal(a).Error())
	return nil
}

// setAside moves what we cannot use to corrupt/, out of the way of others.
func (d *drainer) setAside(name, reason string) {
	to := name
	if id, err := queueid.Parse(name); err != nil || id.String() != name {
		to = rand.Text() // whatever the name is made of
	}
	err := d.dir.Rename(maildrop+"/"+name, corrupt+"/"+to)
	if err == nil {
		err = errors.Join(d.dir.SyncDir(corrupt), d.dir.SyncDir(maildrop))
	}
	if err != nil {
		d.trouble(name, fmt.Errorf("%s, and cannot be moved: %w", reason, err))
		return
	}
	d.odd++
	d.p.complain(fmt.Errorf("maildrop/%s: %s: moved to corrupt/%s", untrusted.From(name).ForTerminal(), reason, to))
}

// trouble reports something that stays where it is.
func (d *drainer) trouble(name string, err error) {
	d.odd++
	d.p.complain(fmt.Errorf("maildrop/%s: %w", untrusted.From(name).ForTerminal(), err))
}
