package router

import (
	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

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
	leaf := proto.Leaf{Transport: transport, By: d.set.Name, Once: !settings.Or(d.set.Retry, true)}
	if d.set.Group != "" && n.rcpt.User == d.set.User {
		leaf.User = q.rules.actor(d.set.User, d.set.Group)
	}
	// What the director changes in the header it did when it redirected to here.
	leaf.Edit = n.rcpt.Edit
	q.add(n, leaf)
}

// allowing finds the first director that an alias with such a target may have
// come from.
func (q *query) allowing(n *node) *director {
	for _, d := range q.rules.directors {
		allowed := d.set.AllowPipes
		if n.rcpt.Kind == envelope.TargetFile {
			allowed = d.set.AllowFiles
		}
		if !allowed || !d.wrote(q, n) {
			continue
		}
		if why, err := d.conditions.mismatch(q, n.addr); why == "" && err == nil {
			return d
		}
	}
	return nil
}

// wrote tells whether a command or file that runs as its user may come from a
// director: from a forward file only as the user whose file it is.
func (d *director) wrote(q *query, n *node) bool {
	switch driver := d.driver.(type) {
	case *aliasFile, *virtual:
		return !n.ofForwardFile()
	case *forwardFile:
		return driver.owns(q, n)
	}
	return false
}

// ofForwardFile tells whether a command or file is of a forward file: that marks the
// address whose it is twice.
func (n *node) ofForwardFile() bool {
	up := n.rcpt.Lineage
	return len(up) >= forwarded && sameLocal(up[len(up)-1], up[len(up)-forwarded])
}

func targetText(n *node) string {
	if n.rcpt.Kind == envelope.TargetPipe {
		return untrusted.From("|" + n.rcpt.Target).ForTerminal()
	}
	return untrusted.From(n.rcpt.Target).ForTerminal()
}
