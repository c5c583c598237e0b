package router

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// course is what directors and routers have in common: when they are asked, and
// what follows.
type course struct {
	name, kind, driver string // kind: "director" or "router"
	conditions         conditions
	set                settings.Course
	errorsTo           *mailaddr.Address
	at, next           int // its place, and the entry that is asked when it declines
}

func (r *rules) compileCourse(kind, name, driver string, cond *settings.Conditions, set *settings.Course) (course, error) {
	c := course{name: name, kind: kind, driver: driver, set: *set}
	var err error
	if c.conditions, err = r.compileConditions(cond); err != nil {
		return c, err
	}
	if set.ErrorsTo != "" {
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(set.ErrorsTo))
		if err == nil && a.Domain() == "" {
			a, err = a.WithDomain(r.home)
		}
		if err != nil {
			return c, fmt.Errorf("errors_to: %w", err)
		}
		c.errorsTo = &a
	}
	return c, nil
}

// chainOf finds the entries that `pass` names.
func chainOf(list []*course) error {
	for i, c := range list {
		c.at, c.next = i, i+1
		if c.set.Pass == "" {
			continue
		}
		behind := slices.IndexFunc(list[i+1:], func(o *course) bool { return o.name == c.set.Pass })
		if c.next += max(behind, 0); behind < 0 {
			return fmt.Errorf("%s %s: pass: there is no %s %q behind it", c.kind, c.name, c.kind, c.set.Pass)
		}
	}
	return nil
}

// step begins what the explanation says of the entry.
func (c *course) step(did, why string) proto.Step {
	return proto.Step{Kind: c.kind, Name: c.name, Driver: c.driver, Did: did, Why: why}
}

// absent says why the entry is not asked about this kind of question at all, ""
// if it is.
func (c *course) absent(q *query) string {
	switch {
	case q.verify != proto.VerifyOff && !settings.Or(c.set.Verify, true):
		return "not for verification (verify = false)"
	case q.verify == proto.VerifyOff && c.set.VerifyOnly:
		return "for verification alone (verify_only)"
	}
	return ""
}

// turn is what the loop over the entries does next.
type turn uint8

const (
	ask     turn = iota // the driver
	goOn                // with the next entry
	giveUp              // no further entry is asked: nobody takes the address
	concede             // the verdict
)

// after is the entry that is asked when this one was not.
func (c *course) after() int { return c.at + 1 }

// before decides whether the driver is asked.
func (c *course) before(q *query, a mailaddr.Address) (turn, outcome.Outcome) {
	if why := c.absent(q); why != "" {
		q.trace.step(c.step("skipped", why))
		return goOn, outcome.Outcome{}
	}
	why, err := c.conditions.mismatch(q, a)
	if err != nil {
		return c.unsure(q, outcome.Defer(outcome.Internal, statusConfig, "%s %s: %s", c.kind, c.name, untrusted.From(err.Error()).ForTerminal()))
	}
	if why != "" {
		q.trace.step(c.step("skipped", why))
		return goOn, outcome.Outcome{}
	}
	return ask, outcome.Outcome{}
}

// declined decides what follows when the driver has declined.
func (c *course) declined(q *query, why string) turn {
	if !settings.Or(c.set.More, true) {
		q.trace.step(c.step("declined", why+"; and no other is asked (more = false)"))
		return giveUp
	}
	if c.set.Pass != "" {
		why += "; passes to " + c.set.Pass
	}
	q.trace.step(c.step("declined", why))
	return goOn
}

// unsure decides what follows when the entry can't tell at the moment.
func (c *course) unsure(q *query, v outcome.Outcome) (turn, outcome.Outcome) {
	why := verdictText(v)
	switch c.set.OnDefer {
	case "decline":
		q.trace.step(c.step("declined", "it can't tell, and is passed over (on_defer): "+why))
		return goOn, v
	case "fail":
		v.Class = outcome.Failed
		v.Status = smtp.Status{Class: 5, Subject: v.Status.Subject, Detail: v.Status.Detail}
		q.trace.step(c.step("failed", "it can't tell, and on_defer says fail: "+why))
		return concede, v
	}
	q.trace.step(c.step("deferred", why))
	return concede, v
}

func verdictText(v outcome.Outcome) string {
	return fmt.Sprintf("%s %s: %s", v.Kind, v.Status, v.Text.ForTerminal())
}

// edit is what the entry changes in the header of mail for an address; nil =
// nothing.
func (c *course) edit(q *query, a mailaddr.Address) *envelope.Edit {
	if len(c.set.HeadersAdd) == 0 && len(c.set.HeadersRemove) == 0 {
		return nil
	}
	e := &envelope.Edit{}
	for _, name := range c.set.HeadersRemove {
		e.Remove = append(e.Remove, strings.ToLower(name))
	}
	for _, text := range c.set.HeadersAdd {
		// A quoted local part may have anything in it that RFC 5321 allows, which
		// is no line end; that is seen to all the same.
		line := strings.Map(noControl, fill(text, a, q))
		if len(line) > maxField {
			line = strings.ToValidUTF8(line[:maxField], "")
		}
		e.Add = append(e.Add, line)
	}
	return e
}

// maxField is the longest line of RFC 5322, section 2.1.1.
const maxField = 998

func noControl(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}

// report is who is told of failures instead of the sender: nil = nobody else. A
// message that is a report itself has no sender, and gets none here: its report
// would be another.
func (c *course) report(q *query) *mailaddr.Address {
	if q.sender.IsNull() {
		return nil
	}
	return c.errorsTo
}

// follow puts on a leaf what the entry that took it says of all mail.
func (c *course) follow(q *query, l *proto.Leaf) {
	l.By = c.name
	l.Edit = l.Recipient.Edit.Then(l.Edit).Then(c.edit(q, l.Recipient.Address))
	l.Once = !settings.Or(c.set.Retry, true)
	if to := c.report(q); to != nil {
		l.Recipient.ErrorsTo = to
	}
}
