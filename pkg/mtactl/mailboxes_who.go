package mtactl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// passwdFile is the password file of the system.
const passwdFile = "/etc/passwd"

// mailboxOf is where mailboxes of a user may be.
type mailboxOf struct {
	user      string // whom the mail is for
	actor     string // who writes it
	transport string
	where     proto.MeasureMailbox
}

// mailboxList finds the mailboxes that the configuration names: those of user
// directors, by their tables and the password file, and of directors that accept
// whatever comes.
type mailboxList struct {
	s      *settings.Settings
	passwd *lookup.Passwd
	found  map[mailboxOf]bool
	notes  []string // what is not listed, and why
}

func findMailboxes(s *settings.Settings, passwd *lookup.Passwd) *mailboxList {
	l := &mailboxList{s: s, passwd: passwd, found: map[mailboxOf]bool{}}
	for i := range s.Directors {
		d := &s.Directors[i]
		t, ok := s.Transports[d.Transport]
		if !ok || t.Driver != "maildir" && t.Driver != "mbox" || t.Path == "" {
			continue
		}
		switch {
		case d.Driver == "accept":
			l.accepted(d, t)
		case d.Driver != "user":
		case d.Users == "table":
			l.table(d, t)
		case d.Users == "lookup":
			l.notes = append(l.notes, fmt.Sprintf("the users of director %s are not listed: lookup %s can be asked, but not walked through", d.Name, d.Lookup))
		default:
			for a := range l.passwd.All() {
				if a.UID != 0 {
					l.add(d, t, person{user: a.Name, home: a.Home, local: a.Name})
				}
			}
		}
	}
	return l
}

// person is whose mailbox a path is filled in for; "" stands for anything.
type person struct {
	user, home, local, domain string
}

func (l *mailboxList) accepted(d *settings.Director, t settings.Transport) {
	p := person{user: t.User}
	if p.user == "" {
		p.user = d.User
	}
	if a, ok := l.passwd.Find(p.user); ok {
		p.home = a.Home
	}
	l.add(d, t, p)
}

func (l *mailboxList) table(d *settings.Director, t settings.Transport) {
	data, err := lookup.ReadFile(d.File, lookup.MaxUsers)
	if errors.Is(err, fs.ErrNotExist) && d.Optional {
		return
	}
	var users *lookup.Users
	if err == nil {
		users, err = lookup.ParseUsers(d.File, data)
	}
	if err != nil {
		l.notes = append(l.notes, fmt.Sprintf("the users of director %s are not listed: %v", d.Name, err))
		return
	}
	for key, u := range users.All() {
		p := person{user: u.Name, home: l.home(u, t)}
		if domain, all := strings.CutPrefix(key, "@"); all {
			p.domain = domain
		} else if a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(key)); err == nil {
			p.local, p.domain = a.Local(), a.Domain()
		}
		l.add(d, t, p)
	}
}

// home is the home directory of a user of a table, as router and local-deliver
// take it.
func (l *mailboxList) home(u lookup.User, t settings.Transport) string {
	if !l.s.Instance.Separate {
		if u.Home == "" {
			return filepath.Join(l.s.Instance.Mail, u.Name)
		}
		return u.Home
	}
	a, ok := l.passwd.Find(u.Name)
	if u.Home != "" && (!ok || t.User != "" && t.User != u.Name) {
		return u.Home
	}
	return a.Home
}

func (l *mailboxList) add(d *settings.Director, t settings.Transport, p person) {
	if !mayHold(d.Domains, p.domain, pattern.Domains) || !mayHold(d.LocalParts, p.local, pattern.LocalParts) {
		return
	}
	where, wild, ok := fillPattern(t.Path, p, l.s.Instance.Mail)
	if !ok {
		return
	}
	actor := t.User
	if actor == "" {
		actor = p.user
	}
	l.found[mailboxOf{user: p.user, actor: actor, transport: d.Transport,
		where: proto.MeasureMailbox{Driver: t.Driver, Pattern: where, Wild: wild}}] = true
}

// mayHold tells whether a condition may hold for a text, "" being one that is not
// known. Lookups are not asked here: they may hold.
func mayHold(patterns []string, text string, kind pattern.Kind) bool {
	if len(patterns) == 0 || text == "" {
		return true
	}
	list, err := pattern.CompileAsking(patterns, kind)
	if err != nil {
		return true // told by check
	}
	in, _, err := list.Match(context.Background(), text, func(context.Context, string, string) (bool, error) { return true, nil })
	return in || err != nil
}

// fillPattern is the path of a transport as a pattern: what is known of the person
// is filled in, the rest may be any one name.
func fillPattern(path string, p person, mail string) (where string, wild, ok bool) {
	values := map[string]string{
		"home": p.home, "mail": mail, "user": p.user, "local_part": p.local, "domain": p.domain, "detail": "",
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(path, "{")
		b.WriteString(literally(before))
		if !found {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		value, known := values[name]
		switch {
		case !closed || !known, name == "home" && value == "", name == "mail" && value == "":
			return "", false, false
		case value == "":
			b.WriteByte('*')
			wild = true
		case name != "home" && name != "mail" && strings.Contains(value, "/"):
			return "", false, false // such an address has no mailbox
		default:
			b.WriteString(literally(value))
		}
		path = after
	}
	return filepath.Clean(b.String()), wild, filepath.IsAbs(b.String())
}

// literally keeps what has a meaning in patterns from having it.
func literally(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}

// keepOnly leaves the mailboxes that one user may look at.
func (l *mailboxList) keepOnly(actor string) {
	for m := range l.found {
		if m.actor != actor {
			delete(l.found, m)
		}
	}
	l.notes = append(l.notes, "these are your own mailboxes; root can list all")
}

// byActor groups the mailboxes by who may look at them.
func (l *mailboxList) byActor() (actors []string, of map[string][]mailboxOf) {
	of = map[string][]mailboxOf{}
	for m := range l.found {
		actor := m.actor
		if !l.s.Instance.Separate {
			actor = ""
		}
		of[actor] = append(of[actor], m)
	}
	for _, list := range of {
		// Those that are named before those that a wildcard finds as well.
		slices.SortFunc(list, func(a, b mailboxOf) int {
			if a.where.Wild != b.where.Wild {
				if b.where.Wild {
					return -1
				}
				return 1
			}
			return strings.Compare(a.user+a.where.Pattern, b.user+b.where.Pattern)
		})
	}
	return slices.Sorted(maps.Keys(of)), of
}

// readPasswd reads the accounts of the system.
func readPasswd() (*lookup.Passwd, error) {
	data, err := lookup.ReadFile(passwdFile, lookup.MaxPasswd)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return lookup.ParsePasswd(passwdFile, data)
}
