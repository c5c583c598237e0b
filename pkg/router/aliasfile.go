package router

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"filbert/pkg/aliases"
	"filbert/pkg/envelope"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// aliasFile is the driver `aliasfile`.
type aliasFile struct {
	rules    *rules
	director *director
	file     *lookup.File[*aliases.Table]
	includes includes
}

func newAliasFile(r *rules, d *director) *aliasFile {
	a := &aliasFile{rules: r, director: d}
	a.includes.rules = r
	if d.set.Transport != "" && d.set.User != "" {
		r.needPasswd()
	}
	file, err := lookup.NewFile(lookup.Source[*aliases.Table]{
		Path: d.set.File, MaxSize: aliases.MaxFile, Parse: aliases.Parse, Fit: aliases.Fit,
		Complain: func(err error) { r.tell("reading "+d.set.File, err) },
	})
	r.warn(d.set.File, err, d.set.Optional)
	a.file = file
	return a
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

// direct looks an address up: name@domain, then name, and with a separator the
// same for what stands before it.
func (a *aliasFile) direct(q *query, n *node) said {
	table, err := a.file.Get(q.rules.world.Now())
	if err != nil {
		return a.director.unreadable(err)
	}
	why := "no entry"
	for _, c := range candidates(n.addr, a.director.set.Separator) {
		key, found := keyIn(table, c.addr)
		if !found {
			continue
		}
		if n.descends(c.addr) {
			why = fmt.Sprintf("%s is one of its own ancestors", c.addr)
			continue
		}
		entry, _ := table.Find(key)
		return a.entry(q, n, c, table, key, entry)
	}
	return said{why: why}
}

// keyIn gives the key by which a table has an address, the whole address
// before the name alone.
func keyIn(t *aliases.Table, addr mailaddr.Address) (string, bool) {
	full := aliases.Key(addr)
	if t.Has(full) {
		return full, true
	}
	name := strings.TrimSuffix(full[:len(full)-len(addr.Domain())], "@")
	return name, t.Has(name)
}

// entry makes what an entry stands for.
func (a *aliasFile) entry(q *query, n *node, c candidate, t *aliases.Table, key string, e aliases.Entry) said {
	set := &a.director.set
	if set.Transport != "" {
		return a.class(c, key)
	}
	items, err := a.includes.flatten(set.File, e.Items)
	if err != nil {
		return said{decision: decided, verdict: outcome.Defer(outcome.Internal, statusConfig,
			"alias %s: %s", key, untrusted.From(err.Error()).ForTerminal())}
	}
	if len(items) == 0 {
		return said{decision: decided, verdict: outcome.Defer(outcome.Policy, statusExpansion,
			"the list %s has no members at present", n.addr)}
	}
	if v, ok := verdictOf(items[0], n.addr); ok {
		return said{decision: decided, verdict: v}
	}
	if what := a.forbidden(items); what != "" {
		// The whole entry waits: a child that waits alone would be asked about
		// as a command later, by when nobody knows whose it was.
		return said{decision: decided, verdict: outcome.Defer(outcome.Policy, statusConfig,
			"alias %s: director %s does not allow %s", key, set.Name, what)}
	}
	errorsTo := a.errorsTo(q, n, t, c.addr)
	children := make([]node, 0, len(items))
	for i := range items {
		children = append(children, a.child(n, &items[i], errorsTo, len(items)))
	}
	s := said{decision: redirected, children: children}
	if q.trace.on() {
		s.why = fmt.Sprintf("%s stands for %s (%s:%d)", key, list(items), set.File, e.Line)
		if errorsTo != nil {
			s.why += fmt.Sprintf(", errors to %s", errorsTo)
		}
	}
	return s
}

// class delivers all addresses of an alias file by one transport: a class of
// users whose mail goes to one script, as the paper wants (section 1).
func (a *aliasFile) class(c candidate, key string) said {
	leaf := proto.Leaf{Transport: a.director.set.Transport, Detail: c.detail}
	if name := a.director.set.User; name != "" {
		leaf.User = &proto.User{Name: name}
		if acct, err := a.rules.account(name); err == nil {
			leaf.User = &acct
		}
	}
	return said{decision: taken, leaf: leaf, why: key + " is in " + a.director.set.File}
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

// errorsTo is who is told when a child fails: the director's errors_to, or the
// owner-NAME of the same file. A message that is a report itself has no sender,
// and gets none here: its report would be another.
func (a *aliasFile) errorsTo(q *query, n *node, t *aliases.Table, addr mailaddr.Address) *mailaddr.Address {
	const prefix = "owner-"
	if q.sender.IsNull() {
		return nil
	}
	owner, err := addr.WithLocal(prefix + addr.Local())
	if err != nil || strings.HasPrefix(strings.ToLower(addr.Local()), prefix) {
		return a.director.report(q)
	}
	if _, found := keyIn(t, owner); found {
		return &owner
	}
	return a.director.report(q)
}

// forbidden says what of an entry the director does not allow, "" if nothing.
func (a *aliasFile) forbidden(items []aliases.Item) string {
	for i := range items {
		switch {
		case items[i].Kind == aliases.Pipe && !a.director.set.AllowPipes:
			return "commands (allow_pipes)"
		case items[i].Kind == aliases.File && !a.director.set.AllowFiles:
			return "files (allow_files)"
		}
	}
	return ""
}

// child makes the node of one item.
func (a *aliasFile) child(n *node, it *aliases.Item, errorsTo *mailaddr.Address, siblings int) node {
	c := n.child(errorsTo, siblings)
	c.from = a.director
	switch it.Kind {
	case aliases.Pipe:
		c.rcpt.Kind, c.rcpt.Target = envelope.TargetPipe, it.Text
		c.rcpt.Address, c.rcpt.User = n.addr, a.runsAs(a.director.set.PipeTransport)
		return c
	case aliases.File:
		c.rcpt.Kind, c.rcpt.Target = envelope.TargetFile, it.Text
		c.rcpt.Address, c.rcpt.User = n.addr, a.runsAs(a.director.set.FileTransport)
		return c
	}
	c.rcpt.Address = it.Address
	if it.Address.Domain() == "" {
		if full, err := it.Address.WithDomain(n.addr.Domain()); err == nil {
			c.rcpt.Address = full
		}
	}
	if it.Literal && len(c.rcpt.Lineage) < envelope.MaxLineage {
		// It counts as an ancestor of itself, which no alias expands, neither
		// now nor at a later attempt.
		c.rcpt.Lineage = append(c.rcpt.Lineage[:len(c.rcpt.Lineage):len(c.rcpt.Lineage)], c.rcpt.Address)
	}
	return c
}

// runsAs names the user of a command or file: the director's, else the
// transport's ("" here), else nobody.
func (a *aliasFile) runsAs(transport string) string {
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

// target makes the leaf of a command or file: of an alias just expanded, or of
// one expanded at an earlier attempt, for which it is asked again whether any
// director allows such a thing.
func (q *query) target(n *node) {
	q.trace.address(targetText(n))
	q.trace.at(n.depth + 1)
	d, what := n.from, "commands (allow_pipes)"
	if n.rcpt.Kind == envelope.TargetFile {
		what = "files (allow_files)"
	}
	if d == nil {
		d = q.allowing(n)
	}
	if d == nil {
		o := outcome.Defer(outcome.Policy, statusConfig, "alias %s: no director allows %s", n.rcpt.Address, what)
		q.trace.add("deferred: %s", o.Text.ForTerminal())
		q.verdict(n, o)
		return
	}
	transport := d.set.PipeTransport
	if n.rcpt.Kind == envelope.TargetFile {
		transport = d.set.FileTransport
	}
	q.trace.add("director %s: transport %s, user %s", d.set.Name, transport, n.rcpt.User)
	q.take(n, &d.course, proto.Leaf{Transport: transport})
}

// allowing finds the first director that an alias with such a target may have
// come from.
func (q *query) allowing(n *node) *director {
	for _, d := range q.rules.directors {
		allowed := d.set.AllowPipes
		if n.rcpt.Kind == envelope.TargetFile {
			allowed = d.set.AllowFiles
		}
		if d.set.Driver != "aliasfile" && d.set.Driver != "forwardfile" || !allowed {
			continue
		}
		if why, err := d.conditions.mismatch(q, n.addr); why == "" && err == nil {
			return d
		}
	}
	return nil
}

func targetText(n *node) string {
	if n.rcpt.Kind == envelope.TargetPipe {
		return untrusted.From("|" + n.rcpt.Target).ForTerminal()
	}
	return untrusted.From(n.rcpt.Target).ForTerminal()
}
