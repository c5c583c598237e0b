package pickup

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/proto"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

const (
	// maxErrors is how many mistakes end a dialogue.
	maxErrors = 20
	// maxRecipients of one message of a dialogue.
	maxRecipients = 10_000
)

// offered are the extensions of -bs that have parameters.
const offered = smtp.ExtSize | smtp.Ext8BitMIME | smtp.ExtSMTPUTF8 | smtp.ExtDSN

// state is how far a dialogue has come.
type state uint8

const (
	fresh         state = 1 << iota // no HELO yet
	ready                           // between messages
	haveSender                      // MAIL
	haveRecipient                   // RCPT
)

const anyState = fresh | ready | haveSender | haveRecipient

// dialogue is SMTP with a program on this machine that executed us: nobody to
// guard against but itself, so it may send to anywhere and pipeline everything.
// Line ends are as strict as with strangers.
type dialogue struct {
	p      *pickup
	in     *bufio.Reader
	out    *bufio.Writer
	state  state
	esmtp  bool
	tx     *transaction
	errors int
}

// transaction is all that belongs to one message. It is dropped whole.
type transaction struct {
	mail  smtp.MailParams
	rcpts []envelope.Recipient
}

// errQuit ends a dialogue in good order.
var errQuit = errors.New("quit")

// verb is a command: where it is allowed and what it does. The reply of a do is
// sent by the loop; nil means that it has been.
type verb struct {
	name    string
	allowed state
	do      func(*dialogue, untrusted.Text) (*smtp.Reply, error)
}

func verbs() []verb {
	return []verb{
		{smtp.VerbEhlo, anyState, (*dialogue).ehlo},
		{smtp.VerbHelo, anyState, (*dialogue).helo},
		{smtp.VerbMail, ready, (*dialogue).mail},                      // RFC 5321, section 4.1.1.2
		{smtp.VerbRcpt, haveSender | haveRecipient, (*dialogue).rcpt}, // RFC 5321, section 4.1.1.3
		{smtp.VerbData, haveRecipient, (*dialogue).data},              // RFC 5321, section 4.1.1.4
		{smtp.VerbRset, anyState, (*dialogue).rset},
		{smtp.VerbNoop, anyState, says(250, 0, "Ok")},
		{smtp.VerbVrfy, anyState, says(252, 5, "Send some mail, it will be tried")}, // RFC 5321, section 3.5.3
		{smtp.VerbHelp, anyState, says(214, 0, "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT")},
		{smtp.VerbQuit, anyState, (*dialogue).quit},
	}
}

// converse is -bs.
func (p *pickup) converse() error {
	d := &dialogue{p: p, state: fresh, out: bufio.NewWriter(p.out)}
	d.in = bufio.NewReaderSize(&patient{p: p, out: d.out}, readSize)
	d.say(smtp.NewReply(220, smtp.Status{}, p.site.name+" ESMTP Filbert"))
	for {
		if err := d.command(); err != nil {
			ferr := d.out.Flush()
			if errors.Is(err, errQuit) {
				err = ferr
			}
			return err
		}
		if d.errors > maxErrors {
			d.say(smtp.NewReply(421, smtp.Status{Class: 4, Subject: 7}, "Too many errors"))
			_ = d.out.Flush()
			return fail(exDataErr, "too many errors in the dialogue")
		}
	}
}

// say queues a reply; it goes out when we next wait for input.
func (d *dialogue) say(r *smtp.Reply) {
	if r.Permanent() {
		d.errors++
	}
	_, _ = d.out.Write(r.Bytes()) // an error comes back with Flush
}

// command reads one command and carries it out.
func (d *dialogue) command() error {
	line, bad, err := d.line()
	if err != nil {
		return err
	}
	if bad != nil {
		d.say(bad)
		return nil
	}
	cmd, bad := smtp.ParseCommand(line)
	if bad != nil {
		d.say(bad)
		return nil
	}
	for _, v := range verbs() {
		if v.name != cmd.Verb {
			continue
		}
		if v.allowed&d.state == 0 {
			d.say(smtp.NewReply(503, smtp.Status{Class: 5, Subject: 5, Detail: 1}, "Bad sequence of commands"))
			return nil
		}
		r, err := v.do(d, cmd.Arg)
		if r != nil {
			d.say(r)
		}
		return err
	}
	d.say(smtp.NewReply(500, smtp.Status{Class: 5, Subject: 5, Detail: 2}, "Command not recognized"))
	return nil
}

// line reads a command line without its CRLF, or says what is wrong with it. The
// end of input between two commands is as good as QUIT.
func (d *dialogue) line() ([]byte, *smtp.Reply, error) {
	line, err := d.in.ReadSlice('\n')
	tooLong := false
	for errors.Is(err, bufio.ErrBufferFull) {
		tooLong = true
		_, err = d.in.ReadSlice('\n')
	}
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, nil, errQuit
	case err != nil:
		return nil, nil, fail(exIOErr, "read a command: %v", err)
	case tooLong:
		return nil, smtp.NewReply(500, smtp.Status{Class: 5, Subject: 5, Detail: 6}, "Command line too long"), nil
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return nil, smtp.NewReply(500, smtp.Status{Class: 5, Subject: 5, Detail: 2}, "Lines must end in CRLF"), nil
	}
	return line, nil, nil
}

func says(code, subject int, text string) func(*dialogue, untrusted.Text) (*smtp.Reply, error) {
	return func(*dialogue, untrusted.Text) (*smtp.Reply, error) {
		return smtp.NewReply(code, smtp.Status{Class: 2, Subject: subject}, text), nil
	}
}

func (d *dialogue) greeted(arg untrusted.Text) *smtp.Reply {
	if _, bad := smtp.ParseHello(arg); bad != nil {
		return bad
	}
	d.state, d.tx = ready, nil
	return nil
}

func (d *dialogue) ehlo(arg untrusted.Text) (*smtp.Reply, error) {
	if bad := d.greeted(arg); bad != nil {
		return bad, nil
	}
	d.esmtp = true
	return smtp.NewReply(250, smtp.Status{}, d.p.site.name,
		"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "HELP"), nil
}

func (d *dialogue) helo(arg untrusted.Text) (*smtp.Reply, error) {
	if bad := d.greeted(arg); bad != nil {
		return bad, nil
	}
	d.esmtp = false
	return smtp.NewReply(250, smtp.Status{}, d.p.site.name), nil
}

func (d *dialogue) extensions() smtp.Extensions {
	if !d.esmtp {
		return 0
	}
	return offered
}

func (d *dialogue) mail(arg untrusted.Text) (*smtp.Reply, error) {
	m, bad := smtp.ParseMail(d.p.site.qualifyPath(arg), d.extensions())
	if bad != nil {
		return bad, nil
	}
	d.tx, d.state = &transaction{mail: m}, haveSender
	return smtp.NewReply(250, smtp.Status{Class: 2, Subject: 1}, "Sender ok"), nil
}

func (d *dialogue) rcpt(arg untrusted.Text) (*smtp.Reply, error) {
	ext := d.extensions()
	if !d.tx.mail.SMTPUTF8 {
		ext &^= smtp.ExtSMTPUTF8
	}
	r, bad := smtp.ParseRcpt(d.p.site.qualifyPath(arg), ext)
	if bad != nil {
		return bad, nil
	}
	if len(d.tx.rcpts) == maxRecipients {
		return smtp.NewReply(452, smtp.Status{Class: 4, Subject: 5, Detail: 3}, "Too many recipients"), nil
	}
	d.tx.rcpts = append(d.tx.rcpts, envelope.Recipient{
		Address: r.To, Notify: envelope.Notify(r.Notify), OrigType: r.ORcpt.Type, Orig: r.ORcpt.Addr,
	})
	d.state = haveRecipient
	return smtp.NewReply(250, smtp.Status{Class: 2, Subject: 1, Detail: 5}, "Recipient ok"), nil
}

func (d *dialogue) rset(untrusted.Text) (*smtp.Reply, error) {
	d.tx, d.state = nil, min(d.state, ready)
	return smtp.NewReply(250, smtp.Status{Class: 2}, "Ok"), nil
}

func (d *dialogue) quit(untrusted.Text) (*smtp.Reply, error) {
	return smtp.NewReply(221, smtp.Status{Class: 2}, "Bye"), errQuit
}

// data takes the text of the message and hands it in. The 250 comes after
// cleanup's, or after the flush of maildrop/.
func (d *dialogue) data(arg untrusted.Text) (*smtp.Reply, error) {
	if !arg.IsEmpty() {
		return smtp.NewReply(501, smtp.Status{Class: 5, Subject: 5, Detail: 4}, "DATA takes no argument"), nil
	}
	d.say(smtp.NewReply(354, smtp.Status{}, "Send the message, end with a dot alone"))
	c := d.p.newContent()
	defer c.close()
	tx := d.tx
	d.tx, d.state = nil, ready
	kept, err := d.receive(c)
	if err != nil {
		return nil, err
	}
	if kept != nil {
		return failed(kept), nil
	}
	// The reply is of the same step: a program that was not told hands its
	// message in again.
	return nil, d.p.stop.during(func() error {
		d.say(d.outcome(d.p.handIn(d.submission(tx), c)))
		return d.out.Flush()
	})
}

// outcome is the reply to the dot.
func (d *dialogue) outcome(a *proto.Acceptance, err error) *smtp.Reply {
	if err != nil {
		return failed(err)
	}
	text := untrusted.From(a.Text).ForReply()
	if a.Code == 250 && !a.ID.IsZero() {
		text = "Accepted as " + a.ID.String()
	}
	return smtp.NewReply(a.Code, a.Status, text)
}

// receive reads the content to its end. An error of keeping it does not stop the
// reading: the program expects one reply, after its dot.
func (d *dialogue) receive(c *content) (kept, err error) {
	scan := smtp.NewDataScanner(smtp.NormalizeLineEnds)
	var text []byte
	for done := false; !done; {
		if _, err := d.in.Peek(1); err != nil {
			return nil, fail(exIOErr, "the input ended in the middle of a message, which was not sent")
		}
		piece, _ := d.in.Peek(d.in.Buffered())
		var n int
		if text, n, done, err = scan.Feed(text[:0], piece); err != nil {
			return nil, err
		}
		_, _ = d.in.Discard(n)
		if kept == nil {
			kept = c.append(text)
		}
	}
	return kept, nil
}

func (d *dialogue) submission(tx *transaction) *proto.Submission {
	m := d.p.submission(tx.mail.From, nil)
	v := &m.Envelope
	v.Recipients = tx.rcpts
	v.Body, v.Return = envelope.Body(tx.mail.Body), envelope.Return(tx.mail.Ret)
	v.EnvID, v.UTF8 = tx.mail.EnvID, tx.mail.SMTPUTF8
	return m
}

// failed is the reply for a message that could not be kept.
func failed(err error) *smtp.Reply {
	if statusOf(err) == exDataErr {
		return smtp.NewReply(552, smtp.Status{Class: 5, Subject: 3, Detail: 4}, err.Error())
	}
	return smtp.NewReply(451, smtp.Status{Class: 4, Subject: 3}, err.Error())
}

// patient reads the program's output, sends what waits to be said before each
// wait, and ends the process when the program says nothing for too long.
type patient struct {
	p   *pickup
	out *bufio.Writer
}

// Read implements io.Reader.
func (r *patient) Read(b []byte) (int, error) {
	if err := r.out.Flush(); err != nil {
		return 0, err
	}
	timer := time.AfterFunc(smtp.TimeoutServerCommand, func() { // RFC 5321, section 4.5.3.2.7
		_ = r.p.stop.during(func() error {
			_, _ = r.p.out.Write(smtp.NewReply(421, smtp.Status{Class: 4, Subject: 4, Detail: 2}, "Timeout").Bytes())
			os.Exit(exTempFail)
			return nil
		})
	})
	defer timer.Stop()
	return r.p.in.Read(b)
}

// qualifyPath gives the bare address of a command the site's name, as local
// programs write them. All else is left for the parser to judge.
func (s *site) qualifyPath(arg untrusted.Text) untrusted.Text {
	text := []byte(arg.ForWire()) // parsed by smtp afterwards
	open := bytes.IndexByte(text, '<')
	end := bytes.IndexByte(text, '>')
	if open < 0 || end <= open+1 || bytes.ContainsAny(text[:open], "@\"") || bytes.ContainsAny(text[open:end], "@\"\\") {
		return arg
	}
	return untrusted.From(string(text[:end]) + "@" + s.name + string(text[end:]))
}
