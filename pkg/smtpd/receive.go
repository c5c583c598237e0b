package smtpd

import (
	"time"

	"filbert/pkg/smtp"
)

// block is the time that a client has for the next dataBlock octets of content
// (RFC 5321, section 4.5.3.2.5). It does not begin again with each octet.
type block struct {
	until time.Time
	got   int
}

// content is the intake of the present message, made when its first octet is
// to come.
func (d *dialogue) content() *intake {
	if in, ok := d.session.tx.content.(*intake); ok {
		return in
	}
	in := newIntake(d.srv, d.session.site, d.session.envelope())
	d.session.tx.content = in
	return in
}

// receiveData reads content up to the dot (RFC 5321, section 4.1.1.4).
func (d *dialogue) receiveData() action {
	d.phase("data")
	in := d.content()
	scan := smtp.NewDataScanner(d.session.site.mode)
	b := block{got: dataBlock}
	for done := false; !done; {
		src, err := d.more(&b, in.until)
		if err != nil {
			return d.parting(err)
		}
		var n int
		var out []byte
		if out, n, done, err = scan.Feed(in.space(len(src)), src); err != nil {
			return d.parting(err)
		}
		d.in.take(n)
		in.extend(out)
		if d.session.site.mode == smtp.KeepLineEnds && (scan.BareCR() || scan.BareLF()) {
			in.fail(errBareEnd)
		}
		if !done && in.excessive() {
			return d.tooMuch(in.problem)
		}
	}
	return d.commit(in)
}

// receiveChunk reads the octets of one BDAT command (RFC 3030, section 2).
func (d *dialogue) receiveChunk(a action) action {
	d.phase("bdat")
	in := d.content()
	b := block{got: dataBlock}
	for left := a.size; left > 0; {
		src, err := d.more(&b, in.until)
		if err != nil {
			return d.parting(err)
		}
		src = src[:min(int64(len(src)), left)]
		left -= int64(len(src))
		out := in.ends.feed(in.space(len(src)), src, d.session.site.mode)
		d.in.take(len(src))
		in.extend(out)
		d.checkEnds(in)
	}
	if !a.last {
		return d.session.chunkRead(in.problem)
	}
	in.extend(in.ends.finish(in.buf, d.session.site.mode))
	d.checkEnds(in)
	return d.commit(in)
}

func (d *dialogue) checkEnds(in *intake) {
	if in.ends.bare && d.session.site.mode == smtp.KeepLineEnds {
		in.fail(errBareEnd)
	}
}

// commit ends a message, whichever way it came.
func (d *dialogue) commit(in *intake) action {
	d.phase("commit")
	r := in.commit()
	if r.Success() {
		d.leash.forgive()
	}
	return d.session.ended(r)
}

// throwAway reads a refused chunk, whose octets must not become commands.
func (d *dialogue) throwAway(a action) action {
	d.phase("discard")
	b := block{got: dataBlock}
	whole := d.srv.now().Add(d.session.site.limits.MessageTimeout.D())
	for left := a.size; left > 0; {
		src, err := d.more(&b, whole)
		if err != nil {
			return d.parting(err)
		}
		n := min(int64(len(src)), left)
		d.in.take(int(n))
		left -= n
	}
	a.step = nextCommand
	return a
}

// tooMuch ends a dialogue whose client goes on with a message long after it
// was to be refused.
func (d *dialogue) tooMuch(why *smtp.Reply) action {
	d.end, d.sending = "excess", true
	d.session.reset()
	return action{step: hangUp, reply: why}
}

// more gives octets of content, waiting for some if none are here.
func (d *dialogue) more(b *block, whole time.Time) ([]byte, error) {
	if b.got >= dataBlock {
		b.got = 0
		b.until = earlier(d.srv.now().Add(d.session.site.limits.DataTimeout.D()), whole)
	}
	if len(d.in.here()) == 0 {
		n, err := d.wait(b.until, waitBusy)
		if err != nil {
			return nil, err
		}
		b.got += n
	}
	return d.in.here(), nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
