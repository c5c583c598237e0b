package rig

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

const (
	localDomain  = "home.test"
	remoteDomain = "far.test"
	// sender gets the reports.
	sender = "sender@" + localDomain
	// team is an alias for two of the mailboxes.
	team = "team@" + localDomain
)

var (
	mailboxes = []string{"alice", "bob", "carol", "dora", "emil"}
	teamOf    = []string{"alice@" + localDomain, "bob@" + localDomain}
)

// where says what is to become of a recipient.
type where int

const (
	toMailbox where = iota
	toRemote
	toReport // he does not exist: the sender is told
)

func whereOf(rcpt string) where {
	switch {
	case strings.HasPrefix(rcpt, "nobody-"):
		return toReport
	case strings.HasSuffix(rcpt, "@"+remoteDomain):
		return toRemote
	}
	return toMailbox
}

// expand is what becomes of an envelope's recipients, each once.
func expand(to []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range to {
		list := []string{r}
		if r == team {
			list = teamOf
		}
		for _, r := range list {
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}

// someone picks the recipients of a message.
func someone(rnd *rand.Rand) []string {
	var out []string
	for range 1 + rnd.IntN(4) {
		switch p := rnd.IntN(100); {
		case p < 45:
			out = append(out, mailboxes[rnd.IntN(len(mailboxes))]+"@"+localDomain)
		case p < 52:
			out = append(out, team)
		case p < 90:
			out = append(out, fmt.Sprintf("r%d@%s", rnd.IntN(20), remoteDomain))
		case p < 95:
			out = append(out, fmt.Sprintf("nobody-%d@%s", rnd.IntN(20), remoteDomain))
		default:
			out = append(out, fmt.Sprintf("nobody-%d@%s", rnd.IntN(20), localDomain))
		}
	}
	return unique(out)
}

func unique(list []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// bodyOf makes a body of about size bytes of which every part is different, so
// that no piece can stand for another. Some of its lines begin with a dot.
func bodyOf(token string, size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, "%.*s%s line %d %s\n", n%3, "..", token, n, filler[:n%len(filler)])
	}
	b.WriteString("the end of " + token + "\n")
	return b.String()
}

const filler = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789 +-*/"

// sizeOf picks a size: small ones mostly, some that travel in files.
func sizeOf(rnd *rand.Rand) int {
	switch p := rnd.IntN(100); {
	case p < 75:
		return rnd.IntN(8 << 10)
	case p < 94:
		return rnd.IntN(100 << 10)
	}
	return 132<<10 + rnd.IntN(300<<10)
}

// leanSizeOf is the same for a small disk.
func leanSizeOf(rnd *rand.Rand) int {
	switch p := rnd.IntN(100); {
	case p < 85:
		return rnd.IntN(4 << 10)
	case p < 95:
		return rnd.IntN(30 << 10)
	}
	return 132<<10 + rnd.IntN(20<<10)
}

// text is the whole message, LF lines.
func (a *Attempt) text() string {
	return fmt.Sprintf("From: <%s>\nTo: <%s>\nSubject: %s\nMessage-ID: <%s@client.test>\nX-Token: %s\nX-Sum: %08x\n\n%s",
		sender, strings.Join(a.to, ">, <"), a.how, a.token, a.token, crc32.ChecksumIEEE([]byte(a.body)), a.body)
}
