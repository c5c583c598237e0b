package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"syscall"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
)

// faulty is a disk on which operations fail as the test says.
type faulty struct {
	durable.FS
	fail func(op, name string) error
}

func (f *faulty) check(op, name string) error {
	if f.fail == nil {
		return nil
	}
	return f.fail(op, name)
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if err := f.check("open", name); err != nil {
		return nil, err
	}
	return f.FS.OpenFile(name, flag, perm)
}

func (f *faulty) Remove(name string) error {
	if err := f.check("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// Rename is a removal of the old name, too.
func (f *faulty) Rename(oldName, newName string) error {
	if err := f.check("remove", oldName); err != nil {
		return err
	}
	return f.FS.Rename(oldName, newName)
}

func (f *faulty) ReadDir(name string) iter.Seq2[durable.Entry, error] {
	if err := f.check("list", name); err != nil {
		return func(yield func(durable.Entry, error) bool) { yield(durable.Entry{}, err) }
	}
	return f.FS.ReadDir(name)
}

// failAt has one kind of operation fail on the names with a suffix.
func (r *rig) failAt(op, suffix string) {
	r.disk.fail = func(did, name string) error {
		if did == op && strings.HasSuffix(name, suffix) {
			return fmt.Errorf("%s %s: %w", op, name, syscall.ENOSPC)
		}
		return nil
	}
}

// sent is how often an address was served.
func (r *rig) sent(address string) (n int) {
	for _, j := range r.jobs {
		for i := range j.Recipients {
			if j.Recipients[i].Address == mailaddr.MustParse(address) {
				n++
			}
		}
	}
	return n
}

func TestFullDiskHasNobodyServedTwice(t *testing.T) {
	r := newRig(t)
	r.verdict["b@x.example"] = later
	f := r.accept("a@x.example", "b@x.example")
	ref, id := f.ref, f.env.ID
	r.failAt("open", id.String())
	rests := 0
	r.d.rest = func(context.Context) bool {
		if rests++; rests == 3 {
			r.disk.fail = nil
		}
		return true
	}
	if got := r.first(f); got.State != proto.SettledWaiting {
		t.Fatalf("got %+v", got)
	}
	if rests != 3 || r.sent("a@x.example") != 1 || !r.d.marker.IsDone(ref) || !r.filedInSpool(id) {
		t.Errorf("%d rests, served %d times, done %v", rests, r.sent("a@x.example"), r.d.marker.IsDone(ref))
	}
}

func TestFullDiskLeavesAnUntouchedMessageInTheJournal(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	ref, id := f.ref, f.env.ID
	r.failAt("open", id.String())
	r.d.rest = func(context.Context) bool {
		t.Error("a message with nobody served needs no place in memory")
		return false
	}
	if got := r.first(f); got.State != proto.SettledBusy || r.d.marker.IsDone(ref) {
		t.Errorf("got %+v", got)
	}
}

func TestDeliveryThatCanNotBeNotedIsNotMadeAgain(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"], r.verdict["b@x.example"] = later, later
	f := r.accept("a@x.example", "b@x.example")
	id := f.env.ID
	r.first(f)
	r.jobs = nil
	delete(r.verdict, "a@x.example")
	r.onJob = func() { r.failAt("open", id.String()+".log") }
	r.d.rest = func(context.Context) bool {
		r.disk.fail = nil
		return true
	}
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledWaiting || got.Summary.Waiting != 1 {
		t.Fatalf("got %+v", got)
	}
	r.onJob = nil
	r.again(id, proto.DueAttempt)
	if n := r.sent("a@x.example"); n != 1 {
		t.Errorf("a was served %d times", n)
	}
}

func TestMessageThatCanNotBeRemovedIsNotForgotten(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	delete(r.verdict, "a@x.example")
	r.failAt("remove", id.String())
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledBusy {
		t.Errorf("state %d: qmgr would forget a message that is there", got.State)
	}
	r.disk.fail = nil
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || r.filedInSpool(id) {
		t.Errorf("state %d", got.State)
	}
	if n := r.sent("a@x.example"); n != 2 {
		t.Errorf("served %d times, want the one that was deferred and the one that was not", n)
	}
}

func TestMessageThatIsOverCostsNoFlush(t *testing.T) {
	disk := crashfs.New()
	r := newRigOn(t, disk)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example", "b@x.example")
	id := f.env.ID
	r.first(f)
	if err := r.d.marker.FlushNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	delete(r.verdict, "a@x.example")
	if err := r.closeWriter(); err != nil {
		t.Fatal(err)
	}
	before := len(disk.Trace())
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || r.filedInSpool(id) {
		t.Errorf("state %d", got.State)
	}
	for _, op := range disk.Trace()[before:] {
		if strings.Contains(op, "sync") {
			t.Errorf("flushes: %s", op)
		}
	}
	r.d.reap()
	for e := range disk.ReadDir("deferred/" + id.Shard()) {
		t.Errorf("%s is left", e.Name)
	}
	if n := r.sent("a@x.example"); n != 2 {
		t.Errorf("served %d times", n)
	}
}

func TestFinishedMessageThatComesBackIsRemoved(t *testing.T) {
	disk := crashfs.New()
	r := newRigOn(t, disk)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	if err := r.d.marker.FlushNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What a power cut may leave of the renaming: both names.
	name := "deferred/" + id.Shard() + "/" + id.String()
	if err := errors.Join(disk.Remove(name+".log"), disk.Link(name, name+".log")); err != nil {
		t.Fatal(err)
	}
	delete(r.verdict, "a@x.example")
	if got := r.again(id, proto.DueAttempt); got.State != proto.SettledGone || r.sent("a@x.example") != 1 {
		t.Errorf("state %d, served %d times", got.State, r.sent("a@x.example"))
	}
	for e := range disk.ReadDir("deferred/" + id.Shard()) {
		t.Errorf("%s is left", e.Name)
	}
}

func TestOwnLimitsLeaveNoTraceInTheLog(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	f := r.accept("a@x.example")
	id := f.env.ID
	r.first(f)
	r.verdict["a@x.example"] = outcome.Defer(outcome.Busy, statusBusy, "no room")
	before := r.book(id).Attempts
	for range 3 {
		if got := r.again(id, proto.DueAttempt); got.State != proto.SettledBusy {
			t.Fatalf("state %d, want busy", got.State)
		}
	}
	if after := r.book(id).Attempts; after != before {
		t.Errorf("%d lines for attempts that were never made", after-before)
	}
}

func TestAttemptThatDrainingCutOffStaysInTheJournal(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.verdict["a@x.example"] = outcome.Defer(outcome.Internal, statusInternal, "cut off")
	f := r.accept("a@x.example")
	ref, id := f.ref, f.env.ID
	if got := r.d.run(ctx, f); got.State != proto.SettledBusy || r.filedInSpool(id) || r.d.marker.IsDone(ref) {
		t.Errorf("got %+v: it would wait for its retry instead of the next start", got)
	}
}

func TestPartialSuccessThatDrainingCutOffIsRemembered(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.verdict["b@x.example"] = outcome.Defer(outcome.Internal, statusInternal, "cut off")
	f := r.accept("a@x.example", "b@x.example")
	id := f.env.ID
	if got := r.d.run(ctx, f); got.State != proto.SettledWaiting || !r.filedInSpool(id) {
		t.Errorf("got %+v: who was served would be served again", got)
	}
}

func TestQmgrThatDoesNotAnswerIsToldAgain(t *testing.T) {
	r := newRig(t)
	r.verdict["a@x.example"] = later
	r.untold = fmt.Errorf("call: %w", context.DeadlineExceeded)
	r.d.rest = func(context.Context) bool {
		r.untold = nil
		return true
	}
	r.first(r.accept("a@x.example"))
	if len(r.filed) != 2 {
		t.Errorf("told %d times", len(r.filed))
	}
	r.untold, r.filed = errAway, nil
	r.first(r.accept("a@x.example"))
	if len(r.filed) != 1 {
		t.Errorf("one that is gone was told %d times: the next one reads the files", len(r.filed))
	}
}
