package lookup

import (
	"bytes"
	"strconv"
	"strings"
)

// MaxPasswd bounds the password file: half a million users.
const MaxPasswd = 64 << 20

// Account is one user of the system.
type Account struct {
	Name     string
	UID, GID uint32
	Home     string
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
			p.byName[f[0]] = Account{Name: f[0], UID: uint32(uid), GID: uint32(gid), Home: f[5]}
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
