package router

import (
	"fmt"
	"strings"

	"filbert/pkg/aliases"
	"filbert/pkg/envelope"
	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// ownerPrefix is in front of the name of a list in the address of its owner
// (RFC 2142, section 6, has list-request; owner-list is older than it).
const ownerPrefix = "owner-"

// mailingList is the driver `list`. Reports about its mail go to errors_to, or to
// owner-NAME, so that one member's trouble is not every sender's; with VERP each
// member has a return address of his own, owner-NAME+member=domain. What comes to
// owner-NAME goes to errors_to.
type mailingList struct {
	entries
	name    string // "" = each name that the lookup has
	domain  string // "" = any
	members *lookup.File[[]aliases.Item]
}

func newMailingList(r *rules, d *director) (*mailingList, error) {
	l := &mailingList{entries: entries{rules: r, director: d, includes: &includes{rules: r}}}
	if d.set.List != "" {
		a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(d.set.List))
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		l.name, l.domain = a.Local(), a.Domain()
	}
	if d.set.Lookup != "" {
		l.source = &lookupSource{r, d.set.Lookup, false}
		return l, nil
	}
	file, err := lookup.NewFile(lookup.Source[[]aliases.Item]{
		Path: d.set.File, MaxSize: aliases.MaxInclude, Parse: aliases.ParseList, Fit: aliases.Fit,
		Complain: func(err error) { r.mistake("reading "+d.set.File, err) },
	})
	r.warn(d.set.File, err, d.set.Optional)
	l.members = file
	return l, nil
}

func (l *mailingList) direct(q *query, n *node) said {
	for _, c := range candidates(n.addr, l.director.set.Separator) {
		key, found, err := l.has(q, c.addr)
		switch {
		case err != nil:
			return l.director.unreadable(err)
		case !found:
			continue
		case n.descends(c.addr):
			return said{why: fmt.Sprintf("%s is one of its own ancestors", c.addr)}
		}
		return l.post(q, n, c.addr, key)
	}
	return l.owner(q, n)
}

// has tells whether an address is a list, and by which key its members are found.
func (l *mailingList) has(q *query, a mailaddr.Address) (key string, found bool, err error) {
	if l.name != "" && (!strings.EqualFold(a.Local(), l.name) || l.domain != "" && a.Domain() != l.domain) {
		return "", false, nil
	}
	if l.source == nil {
		return l.name, true, nil
	}
	b, err := l.source.open(q)
	if err != nil {
		return "", false, err
	}
	return keyIn(b, a)
}

// read gives the members.
func (l *mailingList) read(q *query, key string) (entry, error) {
	if l.source == nil {
		items, err := l.members.Get(l.rules.world.Now())
		return entry{items: items, where: l.director.set.File, base: l.director.set.File}, err
	}
	b, err := l.source.open(q)
	if err != nil {
		return entry{}, err
	}
	e, _, err := b.entry(key)
	if err != nil {
		return e, err
	}
	for i := range e.items {
		if k := e.items[i].Kind; k != aliases.Address && k != aliases.Include {
			return e, &mistake{fmt.Errorf("list %s: %s is no member", key, untrusted.From(e.items[i].String()).ForTerminal())}
		}
	}
	return e, nil
}

// post sends a message to the members.
func (l *mailingList) post(q *query, n *node, list mailaddr.Address, key string) said {
	e, err := l.read(q, key)
	if err != nil {
		return l.trouble("list "+list.String(), err)
	}
	s := l.expand(q, n, key, e, l.returnTo(q, list))
	if s.decision != redirected {
		return s
	}
	edit := l.identify(list)
	for i := range s.children {
		r := &s.children[i].rcpt
		r.Edit = r.Edit.Then(edit)
		if l.director.set.VERP && r.ErrorsTo != nil {
			r.ErrorsTo = verp(list, r.ErrorsTo, r.Address)
		}
	}
	return s
}

// returnTo is who is told of failures: nil for a message that is a report itself.
// An owner's own list has no owner.
func (l *mailingList) returnTo(q *query, list mailaddr.Address) *mailaddr.Address {
	to := l.director.report(q)
	if to != nil && !l.director.set.VERP || q.sender.IsNull() {
		return to
	}
	if strings.HasPrefix(strings.ToLower(list.Local()), ownerPrefix) {
		return to
	}
	owner, err := list.WithLocal(ownerPrefix + list.Local())
	if err != nil {
		return to
	}
	return &owner
}

// verp is the return address of one member: owner-list+member=domain. A member
// whose address makes it too long has that of the list.
func verp(list mailaddr.Address, owner *mailaddr.Address, member mailaddr.Address) *mailaddr.Address {
	a, err := list.WithLocal(ownerPrefix + list.Local() + "+" + member.Local() + "=" + member.Domain())
	if err != nil || len(a.Local()) > maxLocal {
		return owner
	}
	return &a
}

// maxLocal is RFC 5321, section 4.5.3.1.1.
const maxLocal = 64

// identify is the List-Id of RFC 2919: of the last list, when one is a member of
// another. The setting headers_add may have another.
func (l *mailingList) identify(list mailaddr.Address) *envelope.Edit {
	for _, field := range l.director.set.HeadersAdd {
		if name, _, _ := strings.Cut(field, ":"); strings.EqualFold(name, "list-id") {
			return &envelope.Edit{Remove: []string{"list-id"}}
		}
	}
	domain, err := list.ASCIIDomain()
	if err != nil || strings.HasPrefix(domain, "[") || !isListLabel(list.Local()) {
		return nil
	}
	return &envelope.Edit{
		Remove: []string{"list-id"},
		Add:    []string{fmt.Sprintf("List-Id: <%s.%s>", strings.ToLower(list.Local()), domain)},
	}
}

// isListLabel tells whether a local part can stand in a List-Id as it is: a
// dot-atom (RFC 5322, section 3.2.3) of the usual characters.
func isListLabel(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-_+.", rune(c)) {
			return false
		}
	}
	return !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, ".") && !strings.Contains(s, "..")
}

// owner sends on what comes to owner-NAME and owner-NAME+member=domain, where
// errors_to says who that is.
func (l *mailingList) owner(q *query, n *node) said {
	const why = "no list"
	local := n.addr.Local()
	if len(local) <= len(ownerPrefix) || !strings.EqualFold(local[:len(ownerPrefix)], ownerPrefix) {
		return said{why: why}
	}
	base, err := n.addr.WithLocal(local[len(ownerPrefix):])
	if err != nil {
		return said{why: why}
	}
	for _, c := range candidates(base, "+") {
		_, found, err := l.has(q, c.addr)
		switch to := l.director.errorsTo; {
		case err != nil:
			return l.director.unreadable(err)
		case !found:
			continue
		case to == nil:
			return said{why: fmt.Sprintf("the list %s has no errors_to", c.addr)}
		case n.descends(*to) || sameLocal(*to, n.addr):
			return said{why: fmt.Sprintf("%s is one of its own ancestors", to)}
		default:
			child := n.child(nil, 1)
			child.rcpt.Address = *to
			if c.detail != "" {
				// The owner wants to know whose address failed.
				child.rcpt.Edit = child.rcpt.Edit.Then(&envelope.Edit{Add: []string{"X-Original-To: " + untrusted.From(n.addr.String()).ForHeader()}})
			}
			return said{decision: redirected, children: []node{child}, why: fmt.Sprintf("the owner of %s: %s", c.addr, to)}
		}
	}
	return said{why: why}
}

// unlisted is the verdict for a list that has nobody at present.
func unlisted(a mailaddr.Address) outcome.Outcome {
	return outcome.Defer(outcome.Policy, statusExpansion, "the list %s has no members at present", a)
}
