package smtpclient

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/quirk"
	"filbert/pkg/smtp"
)

// errShort is wrapped by what became of a HELO that was said because of what is remembered,
// errHELOAlone by a message that wants more than a HELO shows: EHLO is tried then.
var (
	errShort     = errors.New("greeted with HELO, as EHLO had failed")
	errHELOAlone = errors.New("the message wants extensions, and EHLO was not tried")
)

// advise gives the targets of a job what is known of their hosts.
func (d *delivery) advise(targets []target) {
	if len(d.job.Hints) == 0 {
		return
	}
	for i := range targets {
		t, addr := &targets[i], netip.AddrPort{}
		if len(d.job.Hosts) > 0 {
			addr = d.job.Hosts[i].Addr
		}
		t.advice = d.job.HintFor(addr)
		t.advice.HELO = t.advice.HELO && t.mayBeShort() && !d.wantsMore()
	}
}

// wantsMore tells whether the message has wishes that EHLO alone can pass on: what is
// remembered must not have them lost. Of a message that nobody answers NOTIFY asks nothing.
func (d *delivery) wantsMore() bool {
	if d.job.Priority != 0 || !d.job.By.IsZero() {
		return true
	}
	for i := range d.job.Recipients {
		if d.job.Recipients[i].Notify != 0 && !d.job.Sender.IsNull() {
			return true
		}
	}
	return false
}

// mayBeShort tells whether HELO will do where EHLO has failed: not for LMTP, and not where
// TLS or AUTH is a must, which EHLO alone offers.
func (t *target) mayBeShort() bool {
	return !t.route.conf.IsLMTP() && t.login == nobodyAtAll && (t.clearWillDo() || t.policy() == "off")
}

// saw notes what the answer to EHLO shows.
func (s *session) saw(r smtp.ServerReply) {
	if s.seen == nil {
		return
	}
	s.seen.Greeted = true
	s.seen.Offered = s.seen.Offered || s.caps.StartTLS
	s.seen.Size, s.seen.Extensions = s.caps.MaxSize, keywords(r)
}

// keywords are the extensions of an answer to EHLO, sorted.
func keywords(r smtp.ServerReply) []string {
	var list []string
	first := true
	for line := range strings.SplitSeq(r.Text.ForWire(), "\n") {
		if first { // the server's name and greeting
			first = false
			continue
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word = strings.ToUpper(word); quirk.IsKeyword(word) && len(list) < quirk.MaxExtensions {
			list = append(list, word)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sawHELO notes that HELO has worked where EHLO had not.
func (s *session) sawHELO(why quirk.Mark) {
	if s.seen != nil && why.How != quirk.HowNot {
		s.seen.EHLO = why
	}
}

// stepOf is the step whose time is of interest.
func stepOf(what step) (quirk.Step, bool) {
	switch what {
	case stepGreeting:
		return quirk.Greeting, true
	case stepHello:
		return quirk.Hello, true
	case stepMail:
		return quirk.Mail, true
	case stepRcpt:
		return quirk.Rcpt, true
	case stepEnd:
		return quirk.End, true
	}
	return 0, false
}

// took notes how long a reply took. The first transaction of a connection tells: later ones
// cost nothing.
func (s *session) took(what step) {
	if s.seen == nil {
		return
	}
	if x, ok := stepOf(what); ok {
		s.seen.Times.Took(x, time.Since(s.asked))
	}
}

// awaits is the moment from which a reply is awaited.
func (s *session) awaits() {
	if s.seen != nil {
		s.asked = time.Now()
	}
}

// seenOfLast is what the last server has shown, to add to it.
func (d *delivery) seenOfLast() *quirk.Seen {
	if len(d.tried) == 0 {
		return new(quirk.Seen) // nobody will hear of it
	}
	h := &d.tried[len(d.tried)-1]
	if h.Seen == nil {
		h.Seen = new(quirk.Seen)
	}
	return h.Seen
}

// sawTooMany notes how many recipients a server took before one was too many.
func (d *delivery) sawTooMany(t *transaction) {
	for i := range t.rcpts {
		if r := &t.rcpts[i]; r.tooMany && t.accepted > 0 {
			seen := d.seenOfLast()
			seen.Took = t.accepted
			seen.TooMany = quirk.Mark{How: quirk.HowRefused, Code: r.out.Code, Text: r.out.Text}
			return
		}
	}
}

// sawOutOfStep notes a server that lost count while commands were sent ahead; site is why
// the session ended.
func (d *delivery) sawOutOfStep(s *session, site *outcome.Outcome) {
	if site.Kind != outcome.Protocol || !s.tx.plan.pipeline || s.tx.state > txData {
		return
	}
	d.seenOfLast().OutOfStep = quirk.Mark{How: quirk.HowBroken, Code: site.Code, Text: site.Text}
}

// enough tells whether what a HELO has shown of a server will do for the message. What is only
// remembered must not have it refused or altered: then the session ends, and the
// next one begins with EHLO.
func (d *delivery) enough(s *session, p *plan, why *outcome.Outcome) *failure {
	if !s.short || why == nil && !p.convert && !d.wantsMore() {
		return nil
	}
	s.uses = s.maxUses()
	return &failure{out: outcome.Defer(outcome.Protocol, statusOf(outcome.Protocol), "%v", errHELOAlone), cause: errHELOAlone}
}

// again tells whether a failed opening is worth another connection, and what it has taught.
func (w *how) again(t *target, f *failure) bool {
	switch {
	case w.short && errors.Is(f, errShort):
		w.short, w.heloOnly = false, false
	case !w.inClear && errors.Is(f, errHandshake) && t.clearWillDo():
		w.inClear = true
	case !w.heloOnly && errors.Is(f, errNoEHLO):
		w.heloOnly, w.ehlo = true, quirk.Mark{How: quirk.HowDropped, Text: f.out.Text}
	default:
		return false
	}
	return true
}
