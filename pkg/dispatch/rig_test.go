package dispatch

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/durable/crashfs"
	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/spool"
)

var errAway = errors.New("away")

// rig is a dispatcher on a real spool with agents that do what the test says.
type rig struct {
	t      *testing.T
	d      *Dispatcher
	disk   *faulty
	writer *journal.Writer
	nextID queueid.ID

	mu      sync.Mutex
	route   func(r envelope.Recipient) []proto.Leaf // nil: router is away
	verdict map[string]outcome.Outcome              // by address; none: delivered
	jobs    []proto.RemoteJob
	locals  []proto.LocalJob
	reports []proto.Report
	filed   []proto.Summary
	ups     []proto.Up
	untold  error // qmgr's answer
	bounces func() proto.ReportDone
	onJob   func()
}

func newRig(t *testing.T) *rig {
	t.Helper()
	fs, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fs.Close(); err != nil {
			t.Error(err)
		}
	})
	return newRigOn(t, fs)
}

// newRigOn makes one on a disk of the test's.
func newRigOn(t *testing.T, fs durable.FS) *rig {
	t.Helper()
	err := spool.Prepare(fs)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, disk: &faulty{FS: fs}, nextID: 1 << 40, verdict: map[string]outcome.Outcome{}}
	r.route = r.remoteRoute
	r.bounces = func() proto.ReportDone { return proto.ReportDone{Done: true, Sent: true} }
	if r.writer, err = journal.Open(fs, journal.Options{SegmentSize: 1 << 20, MaxSegments: 4}); err != nil {
		t.Fatal(err)
	}
	s := settings.Default()
	s.Transports = settings.DefaultTransports()
	for name, tr := range s.Transports {
		s.Transports[name] = tr.Complete()
	}
	d := New()
	d.log, d.board, d.ctx, d.fs, d.spool = event.Discard(), service.NewScoreboard(time.Now), context.Background(), r.disk, spool.New(r.disk)
	d.settings.Store(s)
	d.limits = newLimits(s)
	if d.marker, err = journal.OpenMarker(r.disk, journal.MarkerOptions{FlushEvery: time.Hour}); err != nil {
		t.Fatal(err)
	}
	d.router, d.remote, d.local, d.bounce, d.qmgr = agent(r.routes), agent(r.sends), agent(r.stores), agent(r.reportsTo), agent(r.files)
	r.d = d
	d.settleEarlier(t.Context())
	t.Cleanup(func() {
		d.wg.Wait()
		if err := errors.Join(d.marker.Close(), r.closeWriter()); err != nil && !errors.Is(err, crashfs.ErrCut) {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) closeWriter() error {
	w := r.writer
	r.writer = nil
	if w == nil {
		return nil
	}
	return w.Close()
}

// agent answers calls with a function.
type agent func(req, reply ipc.Message) error

func (a agent) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) error {
	return a(req, reply)
}

func (r *rig) remoteRoute(rc envelope.Recipient) []proto.Leaf {
	return []proto.Leaf{{Recipient: rc, Transport: "smtp", NextHop: rc.Address.Domain()}}
}

func (r *rig) routes(req, reply ipc.Message) error {
	if r.route == nil {
		return errAway
	}
	query, answer := req.(*proto.RouteQuery), reply.(*proto.RouteAnswer)
	for i, rc := range query.Recipients {
		for _, leaf := range r.route(rc) {
			leaf.Parent = i
			answer.Leaves = append(answer.Leaves, leaf)
		}
	}
	if n := len(answer.Leaves); n > int(query.Most) {
		answer.Leaves, answer.TooMany = nil, uint32(n)
	}
	return nil
}

func (r *rig) outcomeOf(rc *envelope.Recipient) outcome.Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o, ok := r.verdict[ledger.Key(rc)]; ok {
		return o
	}
	return outcome.Outcome{Class: outcome.Delivered, Status: statusDelivered}
}

func (r *rig) sends(req, reply ipc.Message) error {
	job := *req.(*proto.RemoteJob)
	if r.onJob != nil {
		r.onJob()
	}
	for i := range job.Recipients {
		reply.(*proto.RemoteDone).Outcomes = append(reply.(*proto.RemoteDone).Outcomes, r.outcomeOf(&job.Recipients[i]))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, job)
	return nil
}

func (r *rig) stores(req, reply ipc.Message) error {
	job := *req.(*proto.LocalJob)
	reply.(*proto.LocalDone).Outcome = r.outcomeOf(&job.Recipient)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.locals = append(r.locals, job)
	return nil
}

func (r *rig) reportsTo(req, reply ipc.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports = append(r.reports, *req.(*proto.Report))
	*reply.(*proto.ReportDone) = r.bounces()
	return nil
}

func (r *rig) files(req, _ ipc.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m := req.(type) {
	case *proto.Up:
		r.ups = append(r.ups, *m)
		return nil
	case *proto.Filed:
		r.filed = append(r.filed, m.Summary)
	}
	return r.untold
}

// accept commits a message to the journal as cleanup would.
func (r *rig) accept(recipients ...string) *flight {
	r.t.Helper()
	return r.acceptAs(func(*envelope.Envelope) {}, recipients...)
}

func (r *rig) acceptAs(change func(*envelope.Envelope), recipients ...string) *flight {
	r.t.Helper()
	r.nextID++
	env := &envelope.Envelope{
		ID: r.nextID, Source: envelope.FromSMTP, Arrived: time.Now().UTC().Truncate(time.Microsecond),
		Sender: mailaddr.MustParse("sender@example.org"),
	}
	for _, a := range recipients {
		env.Recipients = append(env.Recipients, envelope.Recipient{Address: mailaddr.MustParse(a)})
	}
	change(env)
	text := []byte("Subject: x\r\n\r\nbody\r\n")
	env.Size = int64(len(text))
	ref, err := r.writer.Commit(context.Background(), journal.Record{ID: env.ID, Envelope: env.Marshal(), Content: text})
	if err != nil {
		r.t.Fatal(err)
	}
	return &flight{
		origin: fromJournal, ref: ref, env: env, attempt: 1,
		content: proto.Content{Inline: text, Size: int64(len(text))},
	}
}

// first makes the first attempt of a message and returns what is left.
func (r *rig) first(f *flight) proto.Settled {
	r.t.Helper()
	id := f.env.ID
	done := r.d.run(context.Background(), f)
	if done.State == proto.SettledWaiting {
		r.d.tellQmgr(done.Summary)
	}
	if f.env.ID != id {
		r.t.Fatal("the flight changed its message")
	}
	return done
}

// again makes a later attempt.
func (r *rig) again(id queueid.ID, action proto.DueAction) proto.Settled {
	r.t.Helper()
	return r.d.attemptDeferred(context.Background(), &proto.Due{ID: id, Action: action, Reason: "because", Now: true})
}

// book is the ledger of a deferred message.
func (r *rig) book(id queueid.ID) *ledger.Ledger {
	r.t.Helper()
	e, err := r.d.spool.Open(spool.Deferred, id)
	if err != nil {
		r.t.Fatal(err)
	}
	defer e.Close()
	env, err := envelope.Unmarshal(e.Envelope)
	if err != nil {
		r.t.Fatal(err)
	}
	return ledger.Read(env, r.d.spool.Log(spool.Deferred, id))
}

func (r *rig) filedInSpool(id queueid.ID) bool {
	e, err := r.d.spool.Open(spool.Deferred, id)
	if err != nil {
		return false
	}
	_ = e.Close()
	return true
}
