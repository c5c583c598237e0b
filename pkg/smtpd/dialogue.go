package smtpd

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/service"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

const (
	// lastWords bounds what is done for a client after the decision to close.
	lastWords = time.Second
	// lingerMax is how much of what it still sends is read meanwhile.
	lingerMax = 1 << 20
	// outputSize is how many octets of replies are gathered at most.
	outputSize = 4 << 10
	// outputKept is how large a buffer for replies stays with an idle connection.
	outputKept = 256
	// shownRefusals is how many refusals of one session get a line of their own.
	shownRefusals = 3
)

// dialogue is one connection: it reads, does what the session decides, and
// writes. It runs in one goroutine; only leash is touched by others.
type dialogue struct {
	srv     *server
	ledger  *ledger
	session *session
	leash   leash
	in      input
	out     []byte
	row     *service.Row

	began    time.Time
	client   string
	received int64
	refusals int    // beyond shownRefusals
	end      string // how it ended, for the log
	closing  bool
	unheard  error // why a reply could not be sent: no more will be
	sending  bool  // the client was in the middle of something when we gave up
}

func newDialogue(srv *server, l *ledger, e *site, conn net.Conn) *dialogue {
	peer := peerOf(conn)
	d := &dialogue{
		srv:     srv,
		ledger:  l,
		session: newSession(e, peer, srv.roomNow),
		began:   srv.now(),
		client:  peer.Unmap().String(),
	}
	d.session.now = srv.clock.Now
	d.leash.conn = conn
	d.in.open(conn)
	return d
}

// peerOf is the client's address; the zero Addr, which no network contains,
// where there is none.
func peerOf(conn net.Conn) netip.Addr {
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// run is the whole dialogue.
func (d *dialogue) run() {
	d.row = d.srv.board.Start()
	d.row.Set("greeting", "", d.client)
	defer d.close()
	defer d.survive()
	if !d.in.quiet() {
		// RFC 5321, section 3.1: a client waits for the greeting.
		d.perform(hang(554, 5, 5, 0, "Data sent before our greeting"))
		return
	}
	d.put(d.session.site.greeting)
	for d.perform(d.next()) {
	}
}

// survive keeps a mistake of ours to the session that found it.
func (d *dialogue) survive() {
	if r := recover(); r != nil {
		d.end = "panic"
		d.srv.trouble("serving a client", fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
	}
}

// next reads one command and has it decided.
func (d *dialogue) next() action {
	line, kind, err := d.readLine()
	d.session.draining = d.srv.drainingNow()
	switch {
	case errors.Is(err, errForeign):
		return d.session.command(d.in.here(), d.in.quiet)
	case errors.Is(err, errEndlessLine):
		a := d.session.longLine()
		a.step, d.sending = hangUp, true
		return a
	case err != nil:
		return d.parting(err)
	case kind == lineLong:
		return d.session.longLine()
	case kind == lineBareLF:
		return d.session.badLineEnd()
	}
	return d.session.command(line, d.in.quiet)
}

var (
	errEndlessLine = errors.New("a command line without end")
	errForeign     = errors.New("another protocol")
)

// readLine reads one line. The deadline is the whole line's.
func (d *dialogue) readLine() ([]byte, lineKind, error) {
	var until time.Time
	for {
		line, kind := d.in.line()
		if kind != linePartial {
			return line, kind, nil
		}
		if isTLS(d.in.here()) {
			return nil, linePartial, errForeign // it has no line end to wait for
		}
		if d.in.skipped > maxSkip {
			return nil, lineLong, errEndlessLine
		}
		if until.IsZero() {
			until = d.lineDeadline()
		}
		if _, err := d.wait(until, d.awaited()); err != nil {
			return nil, linePartial, err
		}
	}
}

func (d *dialogue) lineDeadline() time.Time {
	until := d.srv.now().Add(d.session.site.limits.CommandTimeout.D())
	if tx := d.session.tx; tx != nil {
		if in, ok := tx.content.(*intake); ok {
			return earlier(until, in.until)
		}
	}
	return until
}

// awaited is what the leash is told when we wait for a line.
func (d *dialogue) awaited() waiting {
	switch {
	case d.session.tx != nil || len(d.in.here()) > 0 || d.in.skipping:
		return waitBusy
	case d.session.messages > 0:
		return waitIdle
	}
	return waitFresh
}

var errDraining = errors.New("service is closing")

// wait waits for octets. Replies leave first: the client may wait for them
// (RFC 2920, section 3.2).
func (d *dialogue) wait(until time.Time, what waiting) (int, error) {
	if err := d.flush(); err != nil {
		return 0, err
	}
	if what != waitBusy {
		d.phase("idle")
	}
	d.leash.wait(d.srv.now(), until, what)
	// Asked after the leash knows that we wait: the server raises the degree
	// first and looks at the leash then, so one of us sees the other.
	if what != waitBusy && d.srv.drainingNow() >= drainWaiting {
		return 0, errDraining
	}
	n, err := d.in.fill()
	d.leash.woke(d.srv.now(), n, d.session.site.byteTime())
	d.received += int64(n)
	d.row.Add(int64(n))
	return n, err
}

// parting is the decision about a wait that failed.
func (d *dialogue) parting(err error) action {
	d.session.reset()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch why := d.leash.pulled(); {
	case why == causeShed && late:
		d.end = "shed"
		return hang(421, 4, 7, 0, "Too slow, and others are waiting")
	case why == causeDrain && late, errors.Is(err, errDraining):
		d.end = "drained"
		return d.session.stopping()
	case late:
		d.end = "timeout"
		return hang(421, 4, 4, 2, "Timeout")
	case errors.Is(err, io.EOF):
		d.end = "lost"
	default:
		d.end = "reset"
	}
	return action{step: hangUp}
}

// perform does what was decided. It is false when the dialogue is over.
func (d *dialogue) perform(a action) bool {
	for {
		switch a.step {
		case readContent:
			d.put(a.reply)
			a = d.receiveData()
		case readChunk:
			a = d.receiveChunk(a)
		case discardChunk:
			a = d.throwAway(a)
		case askRouter:
			a = d.session.lookedUp(a.rcpt, d.inquire(&a.inquiry))
		case askSender:
			a = d.session.senderLookedUp(a.rcpt, d.inquire(&a.inquiry))
		case askLookup:
			a = d.askLookup(a)
		case askTurn:
			a = d.askTurn(a.turn)
		case nextCommand:
			d.tell(a)
			return true
		case hangUp:
			d.tell(a)
			if d.end == "" {
				d.end = "refused"
				if a.reply.Code == 221 {
					d.end = "quit"
				}
			}
			return false
		}
	}
}

// tell replies, and logs a refusal.
func (d *dialogue) tell(a action) {
	if a.reply == nil {
		return
	}
	d.put(a.reply)
	if a.reply.Code < 400 {
		return
	}
	if d.refusals++; d.refusals > shownRefusals {
		return
	}
	from := a.from
	if from == nil {
		from = d.session.tx.sender()
	}
	d.srv.refusals.show(event.Refused{
		Client: d.client,
		Port:   d.session.site.port.Name,
		Stage:  d.session.stage,
		From:   from,
		To:     a.to,
		Code:   a.reply.Code,
		Why:    untrusted.From(a.reply.Lines[0]),
	})
}

// put gathers a reply. Replies to pipelined commands leave together.
func (d *dialogue) put(r *smtp.Reply) {
	d.out = r.AppendTo(d.out)
	if len(d.out) > outputSize {
		_ = d.flush() // an error is kept for the next wait
	}
}

// flush sends what was gathered. A client that does not read has as long as
// for a command.
func (d *dialogue) flush() error {
	if len(d.out) == 0 || d.unheard != nil {
		return d.unheard
	}
	now := d.srv.now()
	until := now.Add(d.session.site.limits.CommandTimeout.D())
	if d.closing {
		until = now.Add(lastWords)
	}
	d.leash.writing(now, until)
	_, d.unheard = d.leash.conn.Write(d.out)
	d.leash.woke(d.srv.now(), 0, 0)
	d.out = d.out[:0]
	if cap(d.out) > outputKept {
		d.out = nil
	}
	return d.unheard
}

func (d *dialogue) phase(name string) { d.row.Set(name, "", "") }

// close ends the connection.
func (d *dialogue) close() {
	d.session.reset()
	d.closing = true
	d.phase("closing")
	if d.flush() == nil && (d.sending || !d.in.quiet()) {
		d.letRead()
	}
	d.in.giveBack()
	d.leash.conn.Close()
	d.ledger.leave(d)
	d.row.End()
	d.srv.figures.count(d.session.messages)
	d.report()
}

// letRead lets a client that is still sending read our last reply: closing
// with unread octets would reset the connection, and with it the reply.
func (d *dialogue) letRead() {
	half, ok := d.leash.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = d.leash.conn.SetReadDeadline(d.srv.now().Add(lastWords))
	for total := 0; total < lingerMax; {
		d.in.take(len(d.in.here()))
		n, err := d.in.fill()
		if err != nil {
			return
		}
		total += n
	}
}

// report logs the end of the session.
func (d *dialogue) report() {
	if hidden := d.refusals - shownRefusals; hidden > 0 {
		d.srv.refusals.show(event.Refused{
			Client: d.client,
			Port:   d.session.site.port.Name,
			Stage:  "session",
			Why:    untrusted.From("more of the same"),
			Count:  hidden,
		})
	}
	d.srv.log.Emit(event.Session{
		Client:   d.client,
		Port:     d.session.site.port.Name,
		HELO:     d.session.hello,
		Messages: d.session.messages,
		Commands: d.session.commands,
		Errors:   d.session.errors,
		In:       d.received,
		Took:     d.srv.now().Sub(d.began),
		End:      d.end,
	})
}
