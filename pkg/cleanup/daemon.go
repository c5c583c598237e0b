package cleanup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/event"
	"filbert/pkg/inquiry"
	"filbert/pkg/ipc"
	"filbert/pkg/journal"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/service"
	"filbert/pkg/settings"
)

const (
	// credits is how many submissions of one caller may be under way: as many
	// as can wait for one flush with profit.
	credits = 1000
	// committedAhead is how many commits may wait for their answers to be sent.
	committedAhead = 4096
	// freeAhead is how many hints may wait that a segment is free.
	freeAhead   = 64
	memoryLimit = 512 << 20

	// What comes by the path of pickup comes from local users, who must not be
	// able to keep smtpd out, nor each other, nor fill our memory: fewer
	// connections, one message at a time, and frames no longer than the most
	// recipients that a command line (2 MiB) can name take. Whoever finds no
	// place leaves his message in maildrop.
	localConns    = 96
	connsPerUser  = 24
	localCredits  = 2
	localMaxFrame = 5 << 20
)

// Cleanup is the daemon.
type Cleanup struct {
	settings atomic.Pointer[settings.Settings]
	rules    atomic.Pointer[addressRules]
	log      *event.Log
	now      func() time.Time
	figures  figures

	fs       durable.FS
	journal  *journal.Writer
	capacity *capacity
	handover *handover
	router   inquiry.Caller

	committed chan commitResult
	free      chan proto.SegmentFree
	running   sync.WaitGroup // large messages being read

	ownUID uint32

	idMu sync.Mutex
	ids  *queueid.Generator
}

// New makes the daemon.
func New() *Cleanup {
	c := &Cleanup{now: time.Now, committed: make(chan commitResult, committedAhead), free: make(chan proto.SegmentFree, freeAhead)}
	c.rules.Store(new(addressRules))
	return c
}

// Open takes hold of the spool; the journal itself is opened by the user that
// will write it.
func (c *Cleanup) Open(p *service.Process) error {
	c.log, c.figures = p.Log, newFigures(p.Tally)
	if p.Clock.Movable() {
		c.now = p.Clock.Now
	}
	if err := c.configure(p.Settings()); err != nil {
		return err
	}
	p.OnReload(func(s *settings.Settings) {
		if err := c.configure(s); err != nil {
			c.log.Emit(event.TroubleOf(0, "reload", err))
		}
	})
	fs, err := durable.Open(p.Settings().Instance.Spool)
	c.fs = fs
	return err
}

// Confinement: incoming/ alone.
func (c *Cleanup) Confinement(p *service.Process) privsep.Spec {
	spool := p.Settings().Instance.Spool
	return privsep.Spec{
		Chroot:  p.EmptyDir(),
		Write:   []string{spool + "/incoming"},
		Seccomp: privsep.SeccompWriter,
		Limits:  privsep.Limits{Memory: memoryLimit, NoFile: 4096},
	}
}

// Serve recovers the journal, takes submissions until told to drain, and
// finishes those it has.
func (c *Cleanup) Serve(ctx context.Context, p *service.Process) error {
	if err := c.openJournal(); err != nil {
		return err
	}
	c.handover = &handover{log: c.log}
	c.handover.client = p.Client(proto.Dispatch, ipc.ClientOptions{Stay: ipc.Always, OnNotice: c.onNotice})

	c.router = p.Client(proto.Router, ipc.ClientOptions{})

	var answering sync.WaitGroup
	answering.Go(c.answerAll)
	c.capacity = newCapacity(c.journal, c.log)
	server := p.Accept(c.handle, ipc.ServerOptions{Credits: credits, OnConnect: c.capacity.greet})
	c.capacity.server = server
	lookCtx, stopLooking := context.WithCancel(ctx)
	defer stopLooking()
	answering.Go(func() { c.capacity.run(lookCtx) })
	answering.Go(func() { c.releaseFree(lookCtx) })
	local := c.listen(ctx, p)

	<-p.Draining()
	err := errors.Join(server.Shutdown(ctx), local.Shutdown(ctx))
	c.running.Wait()
	err = errors.Join(err, c.journal.Close())
	close(c.committed)
	stopLooking()
	answering.Wait()
	return err
}

// openJournal takes the journal for writing; ids go on where it ended.
func (c *Cleanup) openJournal() error {
	s := c.settings.Load()
	c.ownUID = uint32(os.Getuid())
	var err error
	c.journal, err = journal.Open(c.fs, journal.Options{
		SegmentSize:  s.Spool.SegmentSize.Bytes(),
		MaxSegments:  s.Spool.MaxSegments,
		MinFreeBytes: s.Spool.Reserve.Bytes(),
		// Directories and attempt logs need inodes too.
		MinFreeInodes: 100,
		Problem:       func(err error) { c.log.Emit(event.TroubleOf(0, "journal", err)) },
		Flushed:       c.flushed,
	})
	if err != nil {
		return err
	}
	c.ids = queueid.NewGenerator(c.journal.LastID())
	return nil
}

// listen opens the door of pickup: the path that only the drop group reaches.
func (c *Cleanup) listen(ctx context.Context, p *service.Process) *ipc.Server {
	server := ipc.NewServer(c.handle, ipc.ServerOptions{
		Credits: localCredits, MaxFrame: localMaxFrame, MaxConns: localConns,
		OnError: func(conn *ipc.Conn, err error) {
			c.log.Emit(event.TroubleOf(0, fmt.Sprintf("serving %s of uid %d", conn.Caller(), conn.Peer().UID), err))
		},
	})
	admit := func(peer ipc.PeerCred) (string, error) {
		if peer.UID != c.ownUID && connsOf(server, peer.UID) >= connsPerUser {
			return "", errCrowd
		}
		return proto.CallerPickup, nil
	}
	for _, l := range p.Listeners() {
		u, ok := l.Listener.(*net.UnixListener)
		if !ok || l.Kind != proto.ListenSubmit {
			continue
		}
		go func() {
			if err := server.Listen(ctx, u, admit); err != nil {
				c.log.Emit(event.TroubleOf(0, "accept local submissions", err))
			}
		}()
	}
	return server
}

var errCrowd = errors.New("too many connections of one user")

func connsOf(server *ipc.Server, uid uint32) int {
	n := 0
	for _, conn := range server.Conns() {
		if conn.Peer().UID == uid {
			n++
		}
	}
	return n
}

// onNotice hears from dispatch which segments are done.
func (c *Cleanup) onNotice(kind uint16, payload []byte) {
	var m proto.SegmentFree
	if err := ipc.DecodeNotice(kind, payload, &m); err != nil {
		c.log.Emit(event.TroubleOf(0, "read a notice of dispatch", err))
		return
	}
	select {
	case c.free <- m:
	default: // a hint that is lost costs no more than a later look
	}
}

// releaseFree looks at the segments that may be free: the read loop must not
// wait for the disk.
func (c *Cleanup) releaseFree(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-c.free:
			if err := c.journal.Release(m.Segment, m.Generation); err != nil && !errors.Is(err, journal.ErrClosed) {
				c.log.Emit(event.TroubleOf(0, fmt.Sprintf("release segment %d", m.Segment), err))
			}
		}
	}
}

func (c *Cleanup) nextID(now time.Time) queueid.ID {
	c.idMu.Lock()
	defer c.idMu.Unlock()
	return c.ids.Next(now)
}
