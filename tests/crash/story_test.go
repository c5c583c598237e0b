package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/journal"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// recipients is how many each message of the story has.
const recipients = 2

// world is what lies outside the machine, and is never forgotten: who was told
// "250", and what arrived.
type world struct {
	acked     map[queueid.ID]bool
	delivered map[queueid.ID][recipients]int
	// noted is how often the first recipient of a message had been served when that
	// was noted: it must not happen again.
	noted map[queueid.ID]int
}

func newWorld() *world {
	return &world{
		acked: make(map[queueid.ID]bool), delivered: make(map[queueid.ID][recipients]int), noted: make(map[queueid.ID]int),
	}
}

// suite is cleanup, dispatch and qmgr of one life, boiled down to their use of
// the disk.
type suite struct {
	fs      *crashfs.FS
	world   *world
	writer  *journal.Writer
	marker  *journal.Marker
	spool   *spool.Spool
	started time.Time
	// generous: the retry delivers whatever is left.
	generous bool
	finished []queueid.ID // ended without a flush, to be reaped
}

const (
	inline = 600   // bytes of a small message
	inFile = 9_000 // bytes of a large one
)

func isLarge(id queueid.ID) bool { return id%5 == 4 }

func content(id queueid.ID) []byte {
	n := inline
	if isLarge(id) {
		n = inFile
	}
	return bytes.Repeat(fmt.Appendf(nil, "line of %s\r\n", id), n/22)
}

func envelope(id queueid.ID) []byte { return fmt.Appendf(nil, "envelope of %s", id) }

// succeeds is the plan: whom the first attempt reaches. One message in three is
// delivered at once, one to half of its recipients, one to nobody.
func succeeds(id queueid.ID, recipient int) bool { return id%3 == 0 || id%3 == 1 && recipient == 0 }

// slow is the plan: whose second recipient takes so long that the first is noted
// before.
func slow(id queueid.ID) bool { return id%6 == 3 || id%6 == 4 }

// begin starts a life: recovery, as dispatch does it.
func begin(f *crashfs.FS, w *world) (*suite, error) {
	s := &suite{fs: f, world: w, spool: spool.New(f), started: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	var err error
	if err = spool.Prepare(f); err != nil {
		return nil, err
	}
	if s.marker, err = journal.OpenMarker(f, journal.MarkerOptions{FlushEvery: 1 << 60}); err != nil {
		return nil, err
	}
	if s.writer, err = journal.Open(f, journal.Options{SegmentSize: 16 << 10, MaxSegments: 6}); err != nil {
		return nil, errors.Join(err, s.marker.Close())
	}
	return s, nil
}

func (s *suite) end() error { return errors.Join(s.writer.Close(), s.marker.Close()) }

// recover brings the spool into order and says what is to be attempted.
func (s *suite) recover() ([]journal.Found, error) {
	var attempt []journal.Found
	rep, err := s.marker.Recover(func(f journal.Found) error {
		what, err := s.spool.Resolve(f.Record.ID)
		if err != nil {
			return err
		}
		if what == spool.AlreadyFiled {
			s.done(f.Ref, f.Record)
			return nil
		}
		f.Record.Envelope = bytes.Clone(f.Record.Envelope)
		f.Record.Content = bytes.Clone(f.Record.Content)
		attempt = append(attempt, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// A segment whose reuse was cut in its first flush shows old records half
	// written over, which have their marks.
	rep.Damage = slices.DeleteFunc(rep.Damage, func(d journal.Damage) bool { return d.Done })
	if len(rep.Damage)+len(rep.Unreadable) > 0 {
		return nil, fmt.Errorf("a crash looks like damage: %+v", rep)
	}
	sweep, err := s.spool.Sweep()
	if err != nil {
		return nil, err
	}
	if len(sweep.Lone)+len(sweep.Strange) > 0 {
		return nil, fmt.Errorf("a crash looks like damage: %+v", sweep)
	}
	return attempt, s.marker.FlushNow(context.Background())
}

func (s *suite) done(ref journal.Ref, r journal.Record) {
	if r.Large != nil {
		s.marker.DoneLarge(ref, r.ID)
		return
	}
	s.marker.Done(ref)
}

// accept is cleanup: the message is acknowledged when the journal has it.
func (s *suite) accept(id queueid.ID) (journal.Found, error) {
	r := journal.Record{ID: id, Envelope: envelope(id)}
	if isLarge(id) {
		l, err := s.writer.CreateLarge(id)
		if err != nil {
			return journal.Found{}, err
		}
		defer l.Close()
		if _, err := l.Write(content(id)); err != nil {
			return journal.Found{}, err
		}
		if r.Large, err = l.Seal(); err != nil {
			return journal.Found{}, err
		}
	} else {
		r.Content = content(id)
	}
	ref, err := s.writer.Commit(context.Background(), r)
	if err != nil {
		return journal.Found{}, err
	}
	s.world.acked[id] = true
	return journal.Found{Ref: ref, Record: r}, nil
}

// attempt is the first attempt: it ends with a mark or in deferred/.
func (s *suite) attempt(f journal.Found) error {
	id := f.Record.ID
	body, closer, err := s.open(f)
	if err != nil {
		return err
	}
	defer closer()
	m := &spool.Message{ID: id, Envelope: f.Record.Envelope, Body: body}
	if slow(id) {
		return s.attemptSlowly(f, m)
	}
	left := 0
	for n := range recipients {
		verb := spool.DeferredV
		if succeeds(id, n) {
			if err := s.deliver(id, n, f.Record.Envelope, body); err != nil {
				return err
			}
			verb = spool.Delivered
		} else {
			left++
		}
		m.Log = append(m.Log, s.line(verb, n))
	}
	if left > 0 {
		if err := s.spool.File(spool.Deferred, m); err != nil {
			return err
		}
	}
	s.done(f.Ref, f.Record)
	return nil
}

// attemptSlowly files the message when its first recipient is served, and ends it
// with the second.
func (s *suite) attemptSlowly(f journal.Found, m *spool.Message) error {
	id := f.Record.ID
	if err := s.deliver(id, 0, f.Record.Envelope, m.Body); err != nil {
		return err
	}
	m.Log = append(m.Log, s.line(spool.Delivered, 0), s.line(spool.Ongoing, spool.WholeMessage))
	if err := s.spool.File(spool.Deferred, m); err != nil {
		return err
	}
	s.world.noted[id] = s.world.delivered[id][0]
	s.done(f.Ref, f.Record)
	if !succeeds(id, 1) {
		return s.spool.AppendLog(spool.Deferred, id, []spool.LogLine{s.line(spool.DeferredV, 1)})
	}
	if err := s.deliver(id, 1, f.Record.Envelope, m.Body); err != nil {
		return err
	}
	last := []spool.LogLine{s.line(spool.Delivered, 1), s.line(spool.Finished, spool.WholeMessage)}
	if err := s.spool.AppendLog(spool.Deferred, id, last); err != nil {
		return err
	}
	if err := s.marker.FlushNow(context.Background()); err != nil {
		return err
	}
	return s.spool.Remove(spool.Deferred, id, s.started)
}

func (s *suite) open(f journal.Found) (*io.SectionReader, func(), error) {
	if f.Record.Large == nil {
		b := f.Record.Content
		return io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))), func() {}, nil
	}
	file, err := journal.OpenLarge(s.fs, f.Record.ID, f.Record.Large)
	if err != nil {
		return nil, nil, err
	}
	return io.NewSectionReader(file, 0, f.Record.Large.Length), func() { _ = file.Close() }, nil
}

// deliver hands the message to the world, which looks whether it is whole.
func (s *suite) deliver(id queueid.ID, recipient int, env []byte, body *io.SectionReader) error {
	b, err := io.ReadAll(io.NewSectionReader(body, 0, body.Size()))
	if err != nil {
		return err
	}
	if !bytes.Equal(b, content(id)) || !bytes.Equal(env, envelope(id)) {
		return fmt.Errorf("half of message %s was delivered", id)
	}
	d := s.world.delivered[id]
	d[recipient]++
	s.world.delivered[id] = d
	return nil
}

func (s *suite) line(v spool.Verb, recipient int) spool.LogLine {
	l := spool.LogLine{Time: s.started, Verb: v, Recipient: recipient}
	if recipient != spool.WholeMessage {
		l.Address = untrusted.From("a@example.org")
	}
	switch v {
	case spool.Delivered:
		l.Outcome.Class = outcome.Delivered
	case spool.DeferredV:
		l.Outcome.Class = outcome.Deferred
	}
	return l
}

// retry is qmgr and dispatch: each deferred message is tried again, and removed
// when nothing is left of it.
func (s *suite) retry() error {
	var ids []queueid.ID
	for id, err := range s.spool.Scan(spool.Deferred) {
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		if err := s.retryOne(id); err != nil {
			return err
		}
	}
	return s.spool.Reap(spool.Deferred, s.finished)
}

func (s *suite) retryOne(id queueid.ID) error {
	e, err := s.spool.Open(spool.Deferred, id)
	if err != nil {
		return err
	}
	defer e.Close()
	served, finished, err := s.standing(id)
	if err != nil {
		return err
	}
	left := 0
	var lines []spool.LogLine
	for n := range recipients {
		switch {
		case served[n] || finished:
		case n == 0 || s.generous:
			if err := s.deliver(id, n, e.Envelope, e.Content()); err != nil {
				return err
			}
			lines = append(lines, s.line(spool.Delivered, n))
		default:
			lines = append(lines, s.line(spool.DeferredV, n))
			left++
		}
	}
	if left == 0 && !finished && id%2 == 0 {
		return s.finishOne(id)
	}
	if len(lines) > 0 {
		if err := s.spool.AppendLog(spool.Deferred, id, lines); err != nil {
			return err
		}
	}
	if left > 0 {
		return nil
	}
	if err := s.marker.FlushNow(context.Background()); err != nil {
		return err
	}
	return s.spool.Remove(spool.Deferred, id, s.started)
}

// finishOne ends a message whose last recipients have just been served.
func (s *suite) finishOne(id queueid.ID) error {
	if err := s.marker.FlushNow(context.Background()); err != nil {
		return err
	}
	if err := s.spool.Finish(spool.Deferred, id); err != nil {
		return err
	}
	s.finished = append(s.finished, id)
	return nil
}

// standing reads a log.
func (s *suite) standing(id queueid.ID) (served [recipients]bool, finished bool, err error) {
	for l, err := range s.spool.Log(spool.Deferred, id) {
		switch {
		case errors.Is(err, spool.ErrBadLine):
		case err != nil:
			return served, false, err
		case l.Verb == spool.Finished:
			finished = true
		case l.Verb == spool.Delivered:
			served[l.Recipient] = true
		}
	}
	return served, finished, nil
}

// live is one life until something fails: recovery, old messages, six new ones,
// one held and released, a retry.
func live(f *crashfs.FS, w *world, first queueid.ID) (err error) {
	s, err := begin(f, w)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	work, err := s.recover()
	if err != nil {
		return err
	}
	for id := first; id < first+6; id++ {
		f, err := s.accept(id)
		if err != nil {
			return err
		}
		work = append(work, f)
	}
	for _, f := range work {
		if err := s.attempt(f); err != nil {
			return err
		}
	}
	if err := s.marker.FlushNow(context.Background()); err != nil {
		return err
	}
	for id := range s.spool.Scan(spool.Deferred) {
		if err := s.spool.Move(id, spool.Deferred, spool.Hold); err != nil {
			return err
		}
		break
	}
	return s.retry()
}

// finish lives on without a cut until nothing is left, and says what became of
// everything.
func finish(f *crashfs.FS, w *world) error {
	s, err := begin(f, w)
	if err != nil {
		return err
	}
	s.generous = true
	work, err := s.recover()
	if err != nil {
		return err
	}
	for _, f := range work {
		if err := s.attempt(f); err != nil {
			return err
		}
	}
	for id := range s.spool.Scan(spool.Hold) {
		if err := s.spool.Move(id, spool.Hold, spool.Deferred); err != nil {
			return err
		}
	}
	if err := s.retry(); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	for id := range w.acked {
		if d := w.delivered[id]; d[0] == 0 || d[1] == 0 {
			return fmt.Errorf("acknowledged message %s was delivered %v times", id, d)
		}
	}
	for id, n := range w.noted {
		if d := w.delivered[id]; d[0] != n {
			return fmt.Errorf("message %s was delivered %d times when that was noted, and %d times in the end", id, n, d[0])
		}
	}
	return leftovers(f)
}

// leftovers looks that a spool in which all is done has nothing in it.
func leftovers(f *crashfs.FS) error {
	var undone int
	if _, err := journal.Scan(f, func(f journal.Found) error {
		if !f.Done {
			undone++
		}
		return nil
	}); err != nil || undone > 0 {
		return fmt.Errorf("%d records are undone at the end: %w", undone, err)
	}
	for name := range dump(f, ".") {
		base := name[max(0, len(name)-queueid.Length):]
		if _, err := queueid.Parse(base); err == nil {
			return fmt.Errorf("%s is left at the end", name)
		}
	}
	return nil
}

// dump is every file with its bytes.
func dump(f durable.FS, dir string) map[string]string {
	out := make(map[string]string)
	for e, err := range f.ReadDir(dir) {
		if err != nil {
			panic(err)
		}
		name := e.Name
		if dir != "." {
			name = dir + "/" + e.Name
		}
		if e.Type == fs.ModeDir {
			for k, v := range dump(f, name) {
				out[k] = v
			}
			continue
		}
		b, err := durable.ReadFile(f, name, 1<<30)
		if err != nil {
			panic(err)
		}
		out[name] = string(b)
	}
	return out
}

// twice recovers two times and compares what the second one leaves and finds
// with the first.
func twice(f *crashfs.FS) error {
	var found [2][]queueid.ID
	var state [2]map[string]string
	for i := range 2 {
		s, err := begin(f, newWorld())
		if err != nil {
			return err
		}
		work, err := s.recover()
		if err != nil {
			return err
		}
		for _, w := range work {
			found[i] = append(found[i], w.Record.ID)
		}
		if err := s.end(); err != nil {
			return err
		}
		state[i] = dump(f, ".")
	}
	if !slices.Equal(found[0], found[1]) {
		return fmt.Errorf("a second recovery finds %v instead of %v", found[1], found[0])
	}
	for name := range state[0] {
		if state[1][name] != state[0][name] {
			return fmt.Errorf("a second recovery changed %s", name)
		}
	}
	if len(state[0]) != len(state[1]) {
		return fmt.Errorf("a second recovery left %d files instead of %d", len(state[1]), len(state[0]))
	}
	return nil
}
