package lookup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// MaxUsers bounds a table of virtual users.
const MaxUsers = 256 << 20

// Users is a table of virtual users:
//
//	# address, name or @domain    user[:home]
//	alice@example.org             alice
//	bob                           robert:/home/mail/robert
//	@example.net                  postbox
//
// A bare name stands for that name in every local domain, "@domain" for all
// names there that have no line of their own. The user is an account of the
// system or, where the instance does not change users, any name.
type Users struct {
	byKey map[string]User
}

// User is the right side of a line.
type User struct {
	Name string
	Home string // "" = the account's
	Line int
}

// ParseUsers reads the table; the error is of type *Problems.
func ParseUsers(name string, data []byte) (*Users, error) {
	t := &Users{byKey: make(map[string]User)}
	var ps Problems
	eachLine(name, data, &ps, func(n int, line string) {
		f := strings.Fields(line)
		if len(f) != 2 {
			ps.Add(name, n, "two words are wanted: an address and a user")
			return
		}
		key, problem := userKey(f[0])
		if problem != "" {
			ps.Add(name, n, "%s: %s", quote(f[0]), problem)
			return
		}
		u, problem := parseUser(f[1])
		if problem != "" {
			ps.Add(name, n, "%s: %s", quote(f[1]), problem)
			return
		}
		if first, twice := t.byKey[key]; twice {
			ps.Add(name, n, "%s stands here twice (first in line %d)", quote(f[0]), first.Line)
			return
		}
		u.Line = n
		t.byKey[key] = u
	})
	return t, ps.Err()
}

// quote shows a word of a file in a message.
func quote(s string) string { return untrusted.From(s).ForLog() }

// userKey gives the one form of a key.
func userKey(s string) (key, problem string) {
	if domain, ok := strings.CutPrefix(s, "@"); ok {
		a, err := mailaddr.New("x", domain)
		if err != nil || domain == "" {
			return "", "no domain behind the @"
		}
		return "@" + a.Domain(), ""
	}
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(s))
	if err != nil {
		return "", err.Error()
	}
	return strings.ToLower(a.String()), ""
}

func parseUser(s string) (User, string) {
	name, home, _ := strings.Cut(s, ":")
	for i := range len(name) {
		if c := name[i]; c == '/' || c <= ' ' || c >= 0x7f {
			return User{}, "no user name"
		}
	}
	switch {
	case name == "" || name == "." || name == ".." || name[0] == '-' || len(name) > 64:
		return User{}, "no user name"
	case strings.Contains(s, ":") && !path.IsAbs(home):
		return User{}, "the home behind the colon is no absolute path"
	case slices.Contains(strings.Split(home, "/"), ".."):
		// A database may have made it of an address.
		return User{}, "the home behind the colon has .. in it"
	}
	return User{Name: name, Home: home}, ""
}

// ParseUser reads the right side of a line where it is the value of a lookup.
func ParseUser(s string) (User, error) {
	u, problem := parseUser(s)
	if problem != "" {
		return User{}, fmt.Errorf("%s: %s", quote(s), problem)
	}
	return u, nil
}

// Find gives the user of an address: by the whole address, then by the local
// part alone. Catch-alls are asked for with FindDomain, so that a caller can try
// shorter local parts first.
func (t *Users) Find(a mailaddr.Address) (User, bool) {
	full := strings.ToLower(a.String())
	if u, ok := t.byKey[full]; ok {
		return u, true
	}
	local := full[:len(full)-len(a.Domain())]
	u, ok := t.byKey[strings.TrimSuffix(local, "@")]
	return u, ok
}

// FindDomain gives the user who has the mail for all other names of a domain.
func (t *Users) FindDomain(domain string) (User, bool) {
	u, ok := t.byKey["@"+domain]
	return u, ok
}

// Len is the number of lines.
func (t *Users) Len() int { return len(t.byKey) }
