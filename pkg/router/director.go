package router

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// decision is what a director or router says of an address.
type decision uint8

const (
	declined   decision = iota // not mine: ask the next
	taken                      // deliver as the leaf says
	redirected                 // by its children
	elsewhere                  // by the routers, as if the domain were not local
	decided                    // failed, deferred or done, as somebody wants it: the verdict
	unsure                     // it can't tell at the moment: on_defer says what follows the verdict
)

// said is a director's whole answer.
type said struct {
	decision decision
	why      string // for the explanation
	leaf     proto.Leaf
	children []node
	verdict  outcome.Outcome
}

// directs is what a driver does.
type directs interface {
	direct(q *query, n *node) said
}

// director is one entry of the configuration.
type director struct {
	course
	set    settings.Director
	driver directs
}

func (r *rules) compileDirectors() error {
	var chain []*course
	for i := range r.settings.Directors {
		d := &director{set: r.settings.Directors[i]}
		if err := r.compileDirector(d); err != nil {
			return fmt.Errorf("director %s: %w", d.set.Name, err)
		}
		r.directors = append(r.directors, d)
		chain = append(chain, &d.course)
	}
	return chainOf(chain)
}

func (r *rules) compileDirector(d *director) (err error) {
	if d.course, err = r.compileCourse("director", d.set.Name, d.set.Driver, &d.set.Conditions, &d.set.Course); err != nil {
		return err
	}
	if d.set.Lookup != "" && !r.tables.Has(d.set.Lookup) {
		return fmt.Errorf("there is no lookup %q", d.set.Lookup)
	}
	if d.set.User != "" {
		r.needPasswd()
	}
	switch d.set.Driver {
	case "aliasfile":
		d.driver = newAliasFile(r, d)
	case "forwardfile":
		d.driver = newForwardFile(r, d)
	case "user":
		d.driver, err = newUsers(r, d)
	case "virtual":
		d.driver = newVirtual(r, d)
	case "list":
		d.driver, err = newMailingList(r, d)
	case "relocated":
		d.driver = newRelocated(r, d)
	case "command":
		d.driver = &commandDirector{r, d}
	case "accept":
		d.driver = &acceptor{r, d}
	case "smartuser":
		d.driver, err = newSmartUser(d)
	case "route":
		d.driver = toRouters{}
	default:
		err = fmt.Errorf("driver %q is not known", d.set.Driver)
	}
	return err
}

// warn notes that a file cannot be used at the start.
func (r *rules) warn(path string, err error, optional bool) {
	if err != nil && !(optional && errors.Is(err, fs.ErrNotExist)) {
		r.warnings = append(r.warnings, fmt.Errorf("read %s: %w", path, err))
	}
}

// unreadable is what a director says while its file cannot be used.
func (d *director) unreadable(err error) said {
	if d.set.Optional && errors.Is(err, fs.ErrNotExist) {
		return said{why: "there is no file " + d.set.File}
	}
	return said{decision: unsure, verdict: outcome.Defer(outcome.Internal, statusConfig,
		"director %s: %s", d.set.Name, untrusted.From(err.Error()).ForTerminal())}
}

// candidate is a local part to look for: the whole one, or what stands before
// the separator, and then what stands behind it.
type candidate struct {
	addr   mailaddr.Address
	detail string
}

// candidates gives the whole local part and then, if there is a separator in
// it, its beginning.
func candidates(a mailaddr.Address, separator string) []candidate {
	list := []candidate{{addr: a}}
	if separator == "" {
		return list
	}
	base, detail, found := strings.Cut(a.Local(), separator)
	if !found || base == "" {
		return list
	}
	short, err := a.WithLocal(base)
	if err != nil {
		return list
	}
	return append(list, candidate{short, detail})
}

// child makes a recipient that takes the place of n, as RFC 3461, section
// 5.2.7 wants its parameters: those of an alias pass on, but for the report of
// success when there are several to share it; a list with an owner is an end of
// its own.
func (n *node) child(errorsTo *mailaddr.Address, siblings int) node {
	c := node{rcpt: n.rcpt, root: n.root, expanded: true, depth: n.depth + 1, fallback: n.fallback}
	c.rcpt.Lineage = n.lineage()
	if errorsTo != nil {
		c.rcpt.ErrorsTo = errorsTo
		c.rcpt.Notify, c.rcpt.OrigType, c.rcpt.Orig = 0, "", untrusted.Text{}
		return c
	}
	if siblings > 1 && c.rcpt.Notify.Has(envelope.NotifySuccess) {
		if c.rcpt.Notify &^= envelope.NotifySuccess; c.rcpt.Notify == 0 {
			c.rcpt.Notify = envelope.NotifyNever
		}
	}
	return c
}

// lineage is n's with n itself: what its children have. Siblings share it.
func (n *node) lineage() []mailaddr.Address {
	if n.passed == nil {
		n.passed = append(append(make([]mailaddr.Address, 0, len(n.rcpt.Lineage)+1), n.rcpt.Lineage...), n.addr)
	}
	return n.passed
}

// descends tells whether an address is among n's ancestors.
func (n *node) descends(a mailaddr.Address) bool {
	for _, up := range n.rcpt.Lineage {
		if sameLocal(up, a) {
			return true
		}
	}
	return false
}

// forwarded is how often an address stands in the lineage of what its own
// forward file made of it, and what \name means: an alias that names its own
// ancestor puts it there once, and leaves the forward file its turn.
const forwarded = 2

// times counts an address among n's ancestors.
func (n *node) times(a mailaddr.Address) int {
	count := 0
	for _, up := range n.rcpt.Lineage {
		if sameLocal(up, a) {
			count++
		}
	}
	return count
}

// marked is a lineage in which an address stands a number of times, as far as
// there is room. It is a copy: siblings share theirs.
func marked(lineage []mailaddr.Address, a mailaddr.Address, times int) []mailaddr.Address {
	out := slices.Clone(lineage)
	for _, up := range lineage {
		if sameLocal(up, a) {
			times--
		}
	}
	for again := false; times > 0 && len(out) < envelope.MaxLineage; times-- {
		if again && len(out) == envelope.MaxLineage-1 {
			break // the place that is left is one for a step, not for a mark
		}
		out, again = append(out, a), true
	}
	return out
}

// sameLocal compares local addresses: our own local parts do not mind case.
func sameLocal(a, b mailaddr.Address) bool {
	return a.Domain() == b.Domain() && strings.EqualFold(a.Local(), b.Local())
}
