package localdeliver

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// worker is the child's side: it is the user already.
type worker struct {
	running   sync.WaitGroup
	seq       atomic.Uint64 // Maildir names made by this process
	mailboxes turns         // held by who appends: deliveries of one process need not poll for each other's locks
	rules     ruleSet
	clock     *clock.Clock // where it can be moved; else nil
	now       func() time.Time
	wall      func() time.Time // what the file system goes by
	// lockWait is how long a locked mbox is waited for, lockPoll how often it
	// is looked at.
	lockWait, lockPoll time.Duration
}

func newWorker() *worker {
	return &worker{
		now: time.Now, wall: time.Now,
		lockWait: 30 * time.Second, lockPoll: 50 * time.Millisecond,
	}
}

func (w *worker) handle(ctx context.Context, call *ipc.Call) {
	w.running.Add(1)
	defer w.running.Done()
	defer call.CloseFiles()
	switch call.Kind {
	case kindChildRead:
		var req childRead
		if call.Decode(&req) == nil {
			call.Reply(w.readForward(&req))
		}
	case kindChildAsk:
		var req childAsk
		if call.Decode(&req) == nil {
			call.Reply(w.ask(ctx, &req))
		}
	default:
		w.handleJob(ctx, call)
	}
}

func (w *worker) handleJob(ctx context.Context, call *ipc.Call) {
	var job childJob
	if err := call.Decode(&job); err != nil {
		return
	}
	w.moveClock(&job)
	var body io.Reader
	if job.Job.Content.InFile() {
		if len(call.Files) != 1 {
			_ = call.Violation(errors.New("a job without its content"))
			return
		}
		stop := context.AfterFunc(ctx, func() { _ = call.Files[0].Close() })
		defer stop()
		body = call.Files[0]
	}
	call.Reply(w.deliver(ctx, &job, body))
}

// delivery is one job inside the child.
type delivery struct {
	*childJob
	t    settings.Transport
	text *text
}

// deliver carries out a job. body is nil when the content is inline.
func (w *worker) deliver(ctx context.Context, job *childJob, body io.Reader) *proto.LocalDone {
	t, err := job.transport()
	if err != nil {
		return ended(outcome.Defer(outcome.Internal, statusConfig, "read the transport's settings: %v", err))
	}
	d := &delivery{childJob: job, t: t.Complete(), text: newText(&job.Job, body)}
	if o := d.text.begin(); o != nil {
		return ended(*o)
	}
	if o := w.change(d); o != nil {
		return ended(*o)
	}
	switch {
	case job.Job.Recipient.Kind == envelope.TargetFile:
		return ended(w.file(ctx, d))
	case isCommand(&job.Job, d.t):
		return w.command(ctx, d)
	}
	path, base, o := d.mailbox()
	if o != nil {
		return ended(*o)
	}
	if d.t.Driver == "maildir" {
		return ended(w.maildir(ctx, d, base, path))
	}
	return ended(w.mboxAppend(ctx, d, base, path))
}

// file delivers to the file that an alias names.
func (w *worker) file(ctx context.Context, d *delivery) outcome.Outcome {
	target := d.Job.Recipient.Target
	if target == os.DevNull {
		// Written in aliases for "throw away", and no regular file.
		return delivered("discarded")
	}
	path, err := cleanTarget(target)
	if err != nil {
		return outcome.Defer(outcome.Policy, statusConfig, "%v", err)
	}
	if isDirName(target) {
		return w.maildir(ctx, d, parentOf(path), path)
	}
	return w.mboxAppend(ctx, d, parentOf(path), path)
}

// isCommand tells whether a job runs a command.
func isCommand(job *proto.LocalJob, t settings.Transport) bool {
	switch job.Recipient.Kind {
	case envelope.TargetPipe:
		return true
	case envelope.TargetFile:
		return false
	}
	return t.Driver == "pipe"
}
