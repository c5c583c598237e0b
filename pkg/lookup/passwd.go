package lookup

import (
	"bytes"
	"strconv"
	"strings"

	"filbert/pkg/mailaddr"
)

// MaxPasswd bounds the password file: half a million users.
const MaxPasswd = 64 << 20

// Account is one user of the system.
type Account struct {
	Name     string
	UID, GID uint32
	Home     string
	FullName string // of the field for comments (gecos), up to its first comma
	Shell    string
}

// Passwd is the password file (passwd(5)). We read it ourselves: the system
// library could call programs and the network to answer, and reads the whole
// file for each question.
type Passwd struct {
	byName map[string]Account
}

// ParsePasswd reads the file. Lines without a name, two numbers and an
// absolute home are not for us; of two with one name the first counts, as it
// does for the system.
func ParsePasswd(_ string, data []byte) (*Passwd, error) {
	p := &Passwd{byName: make(map[string]Account, bytes.Count(data, []byte("\n")))}
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		f := strings.SplitN(string(line[:min(len(line), maxLine)]), ":", 8)
		if len(f) != 7 || f[0] == "" || strings.ContainsAny(f[0][:1], "#+-") || !strings.HasPrefix(f[5], "/") {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(f[3], 10, 32)
		if err != nil {
			continue
		}
		if _, twice := p.byName[f[0]]; !twice {
			p.byName[f[0]] = Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5], FullName: fullName(f[0], f[4]), Shell: f[6]}
		}
	}
	return p, nil
}

// Find gives the account of a name, as it is written or in lower case: mail
// comes in any.
func (p *Passwd) Find(name string) (Account, bool) {
	if a, ok := p.byName[name]; ok {
		return a, true
	}
	a, ok := p.byName[strings.ToLower(name)]
	return a, ok
}

// Len is the number of accounts.
func (p *Passwd) Len() int { return len(p.byName) }

// fullName is the name in the field for comments; & there stands for the
// account's name with a capital (finger(1) began it).
func fullName(account, gecos string) string {
	name, _, _ := strings.Cut(gecos, ",")
	if strings.Contains(name, "&") {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(account[:1])+account[1:])
	}
	return strings.TrimSpace(name)
}

// AccountAttributes are what a table of the accounts can give of one.
//
//	user         name:home, as a line of a table of users has it
//	name         the account's name
//	home         its home directory
//	uid, gid     its numbers
//	shell        its shell
//	full_name    the full name: "A. N. User"
//	dotted_name  the full name as a local part: "A.N.User"; none if it can't be one
func AccountAttributes() []string {
	return []string{"user", "name", "home", "uid", "gid", "shell", "full_name", "dotted_name"}
}

// Attribute gives one of them, "" where there is none.
func (a Account) Attribute(name string) string {
	switch name {
	case "user":
		return a.Name + ":" + a.Home
	case "name":
		return a.Name
	case "home":
		return a.Home
	case "uid":
		return strconv.FormatUint(uint64(a.UID), 10)
	case "gid":
		return strconv.FormatUint(uint64(a.GID), 10)
	case "shell":
		return a.Shell
	case "full_name":
		return a.FullName
	case "dotted_name":
		return dotted(a.FullName)
	}
	return ""
}

// dotted joins the words of a name with single dots.
func dotted(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == ' ' || r == '.' || r == '\t' })
	local := strings.Join(words, ".")
	if a, err := mailaddr.New(local, ""); err != nil || a.String() != local {
		return ""
	}
	return local
}
