package localdeliver

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

const (
	// waitForChild bounds the wait for a free place; after it dispatch is told
	// "busy" and comes back when there is room.
	waitForChild = 30 * time.Second
	// mailboxTime bounds one delivery to a mailbox, waiting for locks included.
	mailboxTime = 5 * time.Minute
	// commandGrace is what a command gets above its own time limit before its
	// child is ended with it.
	commandGrace = 30 * time.Second
)

// server is the parent: it answers proto.LocalJob.
type server struct {
	planner planner
	pool    *pool
	// errands are the children that answer router. They are others than those
	// that deliver, so that neither homes that hang nor programs that are slow to say
	// where mail goes keep mail from being delivered, nor the reverse.
	errands  *pool
	patience patience
	board    *service.Scoreboard
	clock    *clock.Clock
}

// patience is how long router's questions may take.
type patience struct {
	place time.Duration // to get a child
	read  time.Duration // to read a forward file, in the child
	grace time.Duration // above a program's own limit
}

func newServer(conf *settings.Settings, start func(plan) (*child, error), lookup func(string) (privsep.User, error)) *server {
	s := &server{
		pool: newPool(start), errands: newPool(start), board: service.NewScoreboard(time.Now),
		patience: patience{place: 10 * time.Second, read: 10 * time.Second, grace: 5 * time.Second},
	}
	s.planner.lookup, s.planner.group = lookup, groupID
	s.configure(conf)
	return s
}

// configure puts a new configuration in force for the jobs that come.
func (s *server) configure(conf *settings.Settings) {
	s.planner.settings.Store(conf)
	s.planner.submitters.Store(int64(submitGroup(conf)))
	s.pool.limit(limitsOf(conf))
	s.errands.limit(limitsOf(conf))
}

// submitGroup is the group that may hand in mail, 0 if there is none: commands
// then cannot call sendmail, and do all else.
func submitGroup(conf *settings.Settings) int {
	if !conf.Instance.Separate || conf.Users.DropGroup == "" {
		return 0
	}
	gid, err := groupID(conf.Users.DropGroup)
	if err != nil {
		return 0
	}
	return gid
}

// groupID looks a group of this machine up.
func groupID(name string) (int, error) {
	id, err := privsep.LookupIdentity("root", name)
	return id.GID, err
}

// handle answers one call. It waits, so it is to be wrapped in ipc.Spawn.
func (s *server) handle(ctx context.Context, call *ipc.Call) {
	defer call.CloseFiles()
	var job proto.LocalJob
	if err := call.Decode(&job); err != nil {
		return
	}
	if job.Content.InFile() != (len(call.Files) == 1) || len(call.Files) > 1 {
		_ = call.Violation(errors.New("a local job without its content, or with too many descriptors"))
		return
	}
	var content *os.File
	if job.Content.InFile() {
		content = call.Files[0]
	}
	// ctx ends when dispatch has gone: its successor asks for the same again,
	// and what is not in the mailbox by then would only get there twice.
	done := s.deliver(ctx, &job, content)
	call.Reply(done)
}

// deliver carries out one job. content is nil when it is inline.
func (s *server) deliver(ctx context.Context, job *proto.LocalJob, content *os.File) *proto.LocalDone {
	row := s.board.Start()
	defer row.End()
	row.Set("waiting", job.ID.String(), job.Recipient.Address.String())
	done := s.attempt(ctx, job, content, row)
	done.Outcome.Transport = job.Transport
	return done
}

func (s *server) attempt(ctx context.Context, job *proto.LocalJob, content *os.File, row *service.Row) *proto.LocalDone {
	pl, o := s.planner.plan(job)
	if o != nil {
		return &proto.LocalDone{Outcome: *o}
	}
	w, limit := workMailbox, mailboxTime
	if isCommand(job, pl.transport) {
		w, limit = workCommand, pl.transport.Timeout.D()+commandGrace
		// Nobody knows what half a command has done.
		ctx = context.WithoutCancel(ctx)
	}
	waitCtx, cancel := context.WithTimeout(ctx, waitForChild)
	c, err := s.pool.acquire(waitCtx, pl, w)
	cancel()
	if errors.Is(err, errBusy) || errors.Is(err, errStuck) {
		return ended(outcome.Defer(outcome.Busy, statusSystem, "%v", err))
	}
	if err != nil {
		return ended(outcome.Defer(outcome.Internal, statusSystem, "%v", err))
	}
	defer s.pool.release(c, w)
	row.Set("delivering", "", "")
	ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	done, err := s.ask(ctx, c, pl, job, content)
	if err == nil {
		return done
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		s.pool.callOff(c)
		return ended(outcome.Defer(outcome.Internal, statusSystem, "nobody waits for the delivery any more"))
	case ctx.Err() != nil:
		// Nobody may be left behind that still writes while we say "later".
		s.pool.abandon(c)
		return ended(outcome.Defer(outcome.TimedOut, statusMailbox, "the delivery did not end within %s", limit))
	}
	return ended(outcome.Defer(outcome.Internal, statusSystem, "the delivery process: %v", err))
}

func ended(o outcome.Outcome) *proto.LocalDone { return &proto.LocalDone{Outcome: o} }

// ask hands the job to the child and waits for its answer.
func (s *server) ask(ctx context.Context, c *child, pl plan, job *proto.LocalJob, content *os.File) (*proto.LocalDone, error) {
	conf := s.planner.settings.Load()
	req := &childJob{
		Job: *job, Transport: pl.encoded, Rules: pl.rules, Actor: pl.actor,
		Mail: conf.Instance.Mail, Hostname: conf.Hostname,
		Ahead: s.clock.Ahead(),
	}
	var files []*os.File
	if content != nil {
		feed, err := startFeed(ctx, content, job.Content.Offset, job.Content.Size)
		if err != nil {
			return nil, err
		}
		defer feed.stop()
		req.Job.Content.Offset = 0
		files = append(files, feed.reader)
	}
	var done proto.LocalDone
	if err := c.conn.Call(ctx, req, &done, files...); err != nil {
		return nil, err
	}
	// The child is the user's: it may say more than it was asked for.
	done.Output = done.Output.Clip(int(pl.transport.MaxOutput))
	return &done, nil
}

// drain lets jobs under way finish within ctx and ends the children.
func (s *server) drain(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.pool.close(ctx) })
	both.Go(func() { s.errands.close(ctx) })
	both.Wait()
}
