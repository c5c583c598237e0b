package router

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"filbert/pkg/aliases"
	"filbert/pkg/envelope"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// entries makes recipients of what names stand for: what aliasfile, virtual and
// list have in common.
type entries struct {
	rules    *rules
	director *director
	source   source
	includes *includes
	bare     string // the domain of items without one; "" = that of the name
}

// entry is what a name stands for.
type entry struct {
	items []aliases.Item
	where string // file:line, or the lookup
	base  string // the file beside which included ones lie
	runAs string // who runs commands and writes files; "" = whom the director says
}

// source is a file or lookup with entries.
type source interface {
	open(q *query) (book, error)
}

// book is a source at one moment.
type book interface {
	has(key string) (bool, error)
	// entry is what stands under a key; a *mistake is an error for good.
	entry(key string) (e entry, found bool, err error)
}

// mistake is an entry that cannot be read until somebody mends it.
type mistake struct{ err error }

func (m *mistake) Error() string { return m.err.Error() }

// fileSource is an alias file.
type fileSource struct {
	rules *rules
	file  *lookup.File[*aliases.Table]
}

func (s *fileSource) open(q *query) (book, error) {
	table, err := s.file.Get(s.rules.world.Now())
	return &tableBook{table, s.file.Path()}, err
}

type tableBook struct {
	table *aliases.Table
	path  string
}

func (b *tableBook) has(key string) (bool, error) { return b.table.Has(key), nil }

func (b *tableBook) entry(key string) (entry, bool, error) {
	e, found := b.table.Find(key)
	if !found {
		return entry{}, false, nil
	}
	return entry{items: e.Items, where: fmt.Sprintf("%s:%d", b.path, e.Line), base: b.path}, true, nil
}

// lookupSource is a lookup whose values are items.
type lookupSource struct {
	rules   *rules
	name    string
	virtual aliases.Virtual
}

func (s *lookupSource) open(q *query) (book, error) { return &lookupBook{s, q}, nil }

type lookupBook struct {
	*lookupSource
	query *query
}

func (b *lookupBook) has(key string) (bool, error) { return b.query.ask(b.query.ctx, b.name, key) }

func (b *lookupBook) entry(key string) (entry, bool, error) {
	a, err := b.query.find(b.query.ctx, b.name, key)
	if err != nil || !a.Found {
		return entry{}, false, err
	}
	e := entry{where: a.Where, base: filepath.Join(b.rules.settings.Instance.Etc, b.name)}
	if e.where == "" {
		e.where = "lookup " + b.name
	}
	if e.items, err = aliases.ParseValues("lookup "+b.name, a.Values, b.virtual); err != nil {
		b.rules.tell("reading "+key+" of lookup "+b.name, err)
		return entry{}, true, &mistake{err}
	}
	return e, true, nil
}

// newEntries opens the file or lookup of a director.
func newEntries(r *rules, d *director, parse func(string, []byte) (*aliases.Table, error), virtual aliases.Virtual) entries {
	a := entries{rules: r, director: d, includes: &includes{rules: r}}
	if d.set.Lookup != "" {
		a.source = &lookupSource{r, d.set.Lookup, virtual}
		return a
	}
	file, err := lookup.NewFile(lookup.Source[*aliases.Table]{
		Path: d.set.File, MaxSize: aliases.MaxFile, Parse: parse, Fit: aliases.Fit,
		Complain: func(err error) { r.mistake("reading "+d.set.File, err) },
	})
	r.warn(d.set.File, err, d.set.Optional)
	a.source = &fileSource{r, file}
	return a
}

// found makes what stands under a key.
func (a *entries) found(q *query, n *node, c candidate, b book, key string) said {
	if a.director.set.Transport != "" {
		return a.class(c, key)
	}
	e, _, err := b.entry(key)
	if err != nil {
		return a.trouble(key, err)
	}
	errorsTo, err := a.errorsTo(q, b, c.addr)
	if err != nil {
		return a.trouble(key, err)
	}
	return a.expand(q, n, key, e, errorsTo)
}

// trouble is what is said while an entry cannot be had: for a lookup that does
// not answer on_defer decides, a mistake waits for whoever mends it.
func (a *entries) trouble(key string, err error) said {
	var m *mistake
	if errors.As(err, &m) {
		return a.later("%s: %s", key, untrusted.From(err.Error()).ForTerminal())
	}
	return a.director.unreadable(err)
}

// later defers until somebody mends what is wrong.
func (a *entries) later(format string, args ...any) said {
	return said{decision: decided, verdict: outcome.Defer(outcome.Internal, statusConfig, format, args...)}
}

// expand makes what an entry stands for.
func (a *entries) expand(q *query, n *node, key string, e entry, errorsTo *mailaddr.Address) said {
	items, err := a.includes.flatten(e.base, e.items)
	if err != nil {
		return a.later("alias %s: %s", key, untrusted.From(err.Error()).ForTerminal())
	}
	if len(items) == 0 {
		return said{decision: decided, verdict: unlisted(n.addr)}
	}
	if v, ok := verdictOf(items[0], n.addr); ok {
		return said{decision: decided, verdict: v}
	}
	if what := a.director.forbidden(items); what != "" {
		// The whole entry waits: a child that waits alone would be asked about
		// as a command later, by when nobody knows whose it was.
		return said{decision: decided, verdict: outcome.Defer(outcome.Policy, statusConfig,
			"alias %s: director %s does not allow %s", key, a.director.set.Name, what)}
	}
	children := make([]node, 0, len(items))
	for i := range items {
		children = append(children, a.child(n, &items[i], e.runAs, errorsTo, len(items)))
	}
	s := said{decision: redirected, children: children}
	if q.trace.on() {
		s.why = fmt.Sprintf("%s stands for %s (%s)", key, list(items), e.where)
		if errorsTo != nil {
			s.why += fmt.Sprintf(", errors to %s", errorsTo)
		}
	}
	return s
}

// class delivers all addresses of an alias file by one transport: a class of
// users whose mail goes to one script, as the paper wants (section 1).
func (a *entries) class(c candidate, key string) said {
	leaf := proto.Leaf{Transport: a.director.set.Transport, Detail: c.detail}
	if name := a.director.set.User; name != "" {
		leaf.User = a.rules.actor(name, a.director.set.Group)
	}
	why := key + " is in " + a.director.set.File
	if a.director.set.Lookup != "" {
		why = key + " is in lookup " + a.director.set.Lookup
	}
	return said{decision: taken, leaf: leaf, why: why}
}

// keyIn gives the key by which a book has an address, the whole address before
// the name alone.
func keyIn(b book, addr mailaddr.Address) (string, bool, error) {
	full := aliases.Key(addr)
	if found, err := b.has(full); found || err != nil {
		return full, found, err
	}
	name := strings.TrimSuffix(full[:len(full)-len(addr.Domain())], "@")
	found, err := b.has(name)
	return name, found, err
}

// errorsTo is who is told when a child fails: the owner-NAME of the same file or
// lookup, or the director's errors_to. A message that is a report itself has no
// sender, and gets none here: its report would be another.
func (a *entries) errorsTo(q *query, b book, addr mailaddr.Address) (*mailaddr.Address, error) {
	const prefix = "owner-"
	if q.sender.IsNull() {
		return nil, nil
	}
	owner, err := addr.WithLocal(prefix + addr.Local())
	if err != nil || strings.HasPrefix(strings.ToLower(addr.Local()), prefix) {
		return a.director.report(q), nil
	}
	if _, found, err := keyIn(b, owner); err != nil {
		return nil, err
	} else if found {
		return &owner, nil
	}
	return a.director.report(q), nil
}

// verdictOf is the verdict that an item is.
func verdictOf(it aliases.Item, addr mailaddr.Address) (outcome.Outcome, bool) {
	text := it.Text
	switch it.Kind {
	case aliases.Fail:
		if text == "" {
			text = fmt.Sprintf("mail for %s is not taken", addr)
		}
		return outcome.Fail(outcome.Policy, statusRefused, "%s", text), true
	case aliases.Defer:
		if text == "" {
			text = fmt.Sprintf("mail for %s is not taken at present", addr)
		}
		return outcome.Defer(outcome.Policy, statusLater, "%s", text), true
	case aliases.Blackhole:
		return outcome.Outcome{Class: outcome.Delivered, Status: statusDone, Text: untrusted.From("thrown away, as the alias says")}, true
	}
	return outcome.Outcome{}, false
}

// forbidden says what of an entry the director does not allow, "" if nothing.
func (d *director) forbidden(items []aliases.Item) string {
	for i := range items {
		switch {
		case items[i].Kind == aliases.Pipe && !d.set.AllowPipes:
			return "commands (allow_pipes)"
		case items[i].Kind == aliases.File && !d.set.AllowFiles:
			return "files (allow_files)"
		}
	}
	return ""
}

// child makes the node of one item.
func (a *entries) child(n *node, it *aliases.Item, runAs string, errorsTo *mailaddr.Address, siblings int) node {
	c := n.child(errorsTo, siblings)
	c.from = a.director
	switch it.Kind {
	case aliases.Pipe:
		c.rcpt.Kind, c.rcpt.Target = envelope.TargetPipe, it.Text
		c.rcpt.Address, c.rcpt.User = n.addr, orSo(runAs, a.runsAs(a.director.set.PipeTransport))
		return c
	case aliases.File:
		c.rcpt.Kind, c.rcpt.Target = envelope.TargetFile, it.Text
		c.rcpt.Address, c.rcpt.User = n.addr, orSo(runAs, a.runsAs(a.director.set.FileTransport))
		return c
	}
	c.rcpt.Address = a.target(n, it)
	if it.Literal {
		// It counts as an ancestor of itself, which no alias and no forward file
		// expands, neither now nor at a later attempt.
		c.rcpt.Lineage = marked(c.rcpt.Lineage, c.rcpt.Address, forwarded)
	}
	return c
}

// target is the whole address that an item is.
func (a *entries) target(n *node, it *aliases.Item) mailaddr.Address {
	if it.Kind == aliases.SameName {
		if to, err := n.addr.WithDomain(it.Text); err == nil {
			return to
		}
		return n.addr
	}
	if it.Address.Domain() != "" {
		return it.Address
	}
	domain := n.addr.Domain()
	if a.bare != "" {
		domain = a.bare
	}
	if to, err := it.Address.WithDomain(domain); err == nil {
		return to
	}
	return it.Address
}

// runsAs names the user of a command or file: the director's, else the
// transport's ("" here), else nobody.
func (a *entries) runsAs(transport string) string {
	if a.director.set.User != "" {
		return a.director.set.User
	}
	if a.rules.settings.Transports[transport].User != "" {
		return ""
	}
	return "nobody"
}

// maxListed bounds the items shown of an alias.
const maxListed = 20

func list(items []aliases.Item) string {
	var words []string
	for i := range items {
		if i == maxListed {
			words = append(words, fmt.Sprintf("and %d more", len(items)-i))
			break
		}
		words = append(words, items[i].String())
	}
	return strings.Join(words, ", ")
}
