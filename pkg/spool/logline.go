package spool

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// Verb says what a log line tells.
type Verb string

// The verbs. Those of outcome.Class are about one recipient and carry an
// outcome; the others carry at most its Text.
const (
	Delivered Verb = "delivered"
	DeferredV Verb = "deferred"
	Failed    Verb = "failed"    // a report is owed
	Expanded  Verb = "expanded"  // replaced by its children; nothing more is owed to it
	Reported  Verb = "reported"  // the report of a failure was accepted by cleanup
	Cancelled Verb = "cancelled" // by the sender or an administrator: nothing more is owed to it, not even a report
	// Redirected: the recipient has the address of the line from now on.
	Redirected Verb = "redirected"
	Warned     Verb = "warned"   // a delay warning went out
	Held       Verb = "held"     // moved to hold, or back, and why
	Released   Verb = "released" //
	Ongoing    Verb = "ongoing"  // the attempt of the lines before goes on; what it did so far is noted
	Finished   Verb = "finished" // nothing is owed any more: remove the files
)

// class is the outcome class of a verb, 0 for those without an outcome.
func (v Verb) class() (outcome.Class, bool) {
	switch v {
	case Delivered:
		return outcome.Delivered, true
	case DeferredV:
		return outcome.Deferred, true
	case Failed:
		return outcome.Failed, true
	case Expanded:
		return outcome.Expanded, true
	case Reported, Cancelled, Redirected, Warned, Held, Released, Ongoing, Finished:
		return 0, true
	}
	return 0, false
}

// WholeMessage is the Recipient of a line that is about no single recipient.
const WholeMessage = -1

// The limits of one line. Text beyond maxText is cut when it is written, as it
// is for people; the rest identifies things and is refused instead.
const (
	maxText    = 1024
	maxWord    = 256
	maxAddress = 8192
	maxNumber  = 1 << 24
	maxLine    = 64 << 10
)

// timeLayout is RFC 3339 with microseconds, always in UTC.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// LogLine is one line of a message's log.
type LogLine struct {
	Time      time.Time // kept to the microsecond
	Verb      Verb
	Recipient int // its number in the envelope, or WholeMessage
	// Address is the recipient's, or that of a child of its expansion.
	Address untrusted.Text
	// Outcome of the verbs of outcome.Class; Class follows Verb.
	Outcome outcome.Outcome
}

// LineOf is the line that tells an outcome. What would make the line one that
// can't be written (a peer's impossible status, an endless name) is left out or
// cut, as an outcome that is not recorded would be a message delivered twice.
func LineOf(now time.Time, recipient int, address untrusted.Text, o outcome.Outcome) LogLine {
	if s, err := smtp.ParseStatus(o.Status.String()); err != nil || s != o.Status {
		o.Status = smtp.Status{}
	}
	if o.Code < 0 || o.Code > 999 {
		o.Code = 0
	}
	cut := func(s string) string { return s[:min(len(s), maxWord)] }
	o.Kind = outcome.Kind(cut(string(o.Kind)))
	o.Transport, o.Remote, o.RemoteIP, o.TLS = cut(o.Transport), cut(o.Remote), cut(o.RemoteIP), cut(o.TLS)
	return LogLine{Time: now, Verb: Verb(o.Class.String()), Recipient: recipient, Address: address, Outcome: o}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendLine adds the line's text to b, or says why it can't be written.
func appendLine(b []byte, l *LogLine) ([]byte, error) {
	start := len(b)
	if err := l.check(); err != nil {
		return b, err
	}
	b = l.Time.UTC().AppendFormat(b, timeLayout)
	b = append(b, ' ')
	b = append(b, l.Verb...)
	if l.Recipient == WholeMessage {
		b = append(b, " -"...)
	} else {
		b = append(b, ' ')
		b = strconv.AppendInt(b, int64(l.Recipient), 10)
	}
	b = append(b, ' ')
	b = strconv.AppendQuoteToASCII(b, l.Address.ForWire())
	b = appendOutcome(b, &l.Outcome)
	sum := crc32.Checksum(b[start:], castagnoli)
	return append(appendSum(append(b, " #"...), sum), '\n'), nil
}

// appendSum adds the eight digits of a checksum.
func appendSum(b []byte, sum uint32) []byte {
	return hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, sum))
}

func appendOutcome(b []byte, o *outcome.Outcome) []byte {
	quoted := func(key, value string) {
		if value != "" {
			b = append(b, ' ')
			b = append(b, key...)
			b = append(b, '=')
			b = strconv.AppendQuoteToASCII(b, value)
		}
	}
	quoted("kind", string(o.Kind))
	if o.Code != 0 {
		b = append(b, " code="...)
		b = strconv.AppendInt(b, int64(o.Code), 10)
	}
	if !o.Status.IsZero() {
		b = append(b, " status="...)
		b = append(b, o.Status.String()...)
	}
	quoted("transport", o.Transport)
	quoted("remote", o.Remote)
	quoted("ip", o.RemoteIP)
	quoted("tls", o.TLS)
	if o.Relayed {
		b = append(b, " relayed"...)
	}
	if o.DSNPassed {
		b = append(b, " passed"...)
	}
	text := o.Text.ForWire()
	quoted("text", text[:min(len(text), maxText)])
	return b
}

// check refuses what would not be read back.
func (l *LogLine) check() error {
	o := &l.Outcome
	class, ok := l.Verb.class()
	year := l.Time.UTC().Year()
	switch {
	case !ok:
		return fmt.Errorf("verb %q: %w", string(l.Verb), ErrBadLine)
	case class != 0 && o.Class != class:
		return fmt.Errorf("verb %q with outcome %q: %w", string(l.Verb), o.Class, ErrBadLine)
	case l.Recipient < WholeMessage || l.Recipient > maxNumber:
		return fmt.Errorf("recipient %d: %w", l.Recipient, ErrBadLine)
	case year < 1970 || year > 9999:
		return fmt.Errorf("year %d: %w", year, ErrBadLine)
	case l.Address.Len() > maxAddress, len(o.Kind) > maxWord, len(o.Transport) > maxWord,
		len(o.Remote) > maxWord, len(o.RemoteIP) > maxWord, len(o.TLS) > maxWord:
		return fmt.Errorf("a word is too long: %w", ErrBadLine)
	case o.Code < 0 || o.Code > 999:
		return fmt.Errorf("code %d: %w", o.Code, ErrBadLine)
	}
	if !o.Status.IsZero() {
		if s, err := smtp.ParseStatus(o.Status.String()); err != nil || s != o.Status {
			return fmt.Errorf("status %s: %w", o.Status, ErrBadLine)
		}
	}
	return nil
}

// parseLine reads a line without its end. It accepts exactly what appendLine
// writes. The scratch room is used again for the next line.
func parseLine(text string, scratch *[]byte) (LogLine, error) {
	body, sum, ok := cutLast(text, " #")
	if !ok || len(text) > maxLine {
		return LogLine{}, fmt.Errorf("checksum: %w", ErrBadLine)
	}
	room := append((*scratch)[:0], body...)
	room = appendSum(room, crc32.Checksum(room, castagnoli))
	*scratch = room
	if string(room[len(body):]) != sum {
		return LogLine{}, fmt.Errorf("checksum: %w", ErrBadLine)
	}
	var l LogLine
	p := &lineParser{rest: body}
	l.Time = p.time()
	l.Verb = Verb(p.word())
	l.Recipient = p.recipient()
	l.Address = untrusted.From(p.quoted())
	p.outcome(&l.Outcome)
	if p.bad {
		return LogLine{}, fmt.Errorf("syntax: %w", ErrBadLine)
	}
	l.Outcome.Class, _ = l.Verb.class()
	// One spelling only: whoever could write a second one could hide it.
	again, err := appendLine(room[:0], &l)
	*scratch = again
	if n := len(again) - 1; err != nil || string(again[:n]) != text || again[n] != '\n' {
		return LogLine{}, fmt.Errorf("not as it is written: %w", ErrBadLine)
	}
	return l, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

// lineParser takes words off the front. It need not be strict: parseLine
// compares with what would be written.
type lineParser struct {
	rest string
	bad  bool
}

func (p *lineParser) word() string {
	w, rest, _ := strings.Cut(p.rest, " ")
	p.rest = rest
	return w
}

func (p *lineParser) time() time.Time {
	t, err := time.Parse(timeLayout, p.word())
	p.bad = p.bad || err != nil
	return t
}

func (p *lineParser) number(w string) int {
	n, err := strconv.ParseUint(w, 10, 31)
	p.bad = p.bad || err != nil
	return int(n)
}

func (p *lineParser) recipient() int {
	w := p.word()
	if w == "-" {
		return WholeMessage
	}
	return p.number(w)
}

func (p *lineParser) quoted() string {
	q, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		p.bad = true
		return ""
	}
	p.rest = strings.TrimPrefix(p.rest[len(q):], " ")
	s, err := strconv.Unquote(q)
	p.bad = p.bad || err != nil
	return s
}

// key takes "name=" off the front when it is there.
func (p *lineParser) key(name string) bool {
	n := len(name)
	if len(p.rest) <= n || p.rest[n] != '=' || p.rest[:n] != name {
		return false
	}
	p.rest = p.rest[n+1:]
	return !p.bad
}

func (p *lineParser) flag(name string) bool {
	if p.rest == name || strings.HasPrefix(p.rest, name) && p.rest[len(name)] == ' ' {
		p.word()
		return true
	}
	return false
}

func (p *lineParser) text(name string) string {
	if p.key(name) {
		return p.quoted()
	}
	return ""
}

func (p *lineParser) outcome(o *outcome.Outcome) {
	o.Kind = outcome.Kind(p.text("kind"))
	if p.key("code") {
		o.Code = p.number(p.word())
	}
	if p.key("status") {
		s, err := smtp.ParseStatus(p.word())
		p.bad = p.bad || err != nil
		o.Status = s
	}
	o.Transport = p.text("transport")
	o.Remote = p.text("remote")
	o.RemoteIP = p.text("ip")
	o.TLS = p.text("tls")
	o.Relayed = p.flag("relayed")
	o.DSNPassed = p.flag("passed")
	o.Text = untrusted.From(p.text("text"))
	p.bad = p.bad || p.rest != ""
}
