package oldaddr

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/mailaddr"
)

// ErrDoubtful is wrapped where an address can't be said to mean one thing. The
// messages never repeat the text.
var ErrDoubtful = errors.New("doubtful address")

// maxHops bounds the hosts of ours that one address may lead through. Ours; one
// is usual, and a local part has no room for many.
const maxHops = 8

// Names are the values of domains.syntax.
func Names() []string { return []string{"percent", "bang"} }

// Syntax is a set of ways of writing. The zero value has none.
type Syntax struct {
	percent, bang bool
}

// Parse reads domains.syntax.
func Parse(names []string) (Syntax, error) {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return Syntax{}, fmt.Errorf("address syntax %q is not known", name)
		}
	}
	return Syntax{percent: slices.Contains(names, "percent"), bang: slices.Contains(names, "bang")}, nil
}

// None reports whether nothing but the Internet's way is understood.
func (s Syntax) None() bool { return s == Syntax{} }

// Meant gives the address that a means; a itself where it is written in the
// Internet's way, or is of a domain that is not ours. ours is asked for "" where
// there is no domain, and only about addresses that are written in another way;
// its errors are returned as they are. All others wrap ErrDoubtful.
func (s Syntax) Meant(a mailaddr.Address, ours func(domain string) (bool, error)) (mailaddr.Address, error) {
	now := a
	for range maxHops {
		if !s.concerns(now.Local()) {
			return now, nil
		}
		if yes, err := ours(now.Domain()); err != nil || !yes {
			return now, err
		}
		next, err := s.step(now)
		if err != nil {
			return a, err
		}
		now = next
	}
	return a, fmt.Errorf("%w: it leads through more than %d hosts", ErrDoubtful, maxHops)
}

// concerns tells whether a local part is written in one of the ways.
func (s Syntax) concerns(local string) bool {
	return s.percent && strings.Contains(local, "%") || s.bang && strings.Contains(local, "!")
}

// step takes one host out of the local part.
func (s Syntax) step(a mailaddr.Address) (mailaddr.Address, error) {
	local := a.Local()
	if strings.HasPrefix(a.String(), `"`) {
		return a, fmt.Errorf("%w: its local part is quoted", ErrDoubtful)
	}
	var user, host string
	switch percent, bang := strings.LastIndexByte(local, '%'), strings.IndexByte(local, '!'); {
	case percent >= 0 && bang >= 0:
		// host!user%other: whose turn comes first nobody ever agreed on.
		return a, fmt.Errorf("%w: it has both %% and !", ErrDoubtful)
	case percent >= 0:
		user, host = local[:percent], local[percent+1:]
	default:
		host, user = local[:bang], local[bang+1:]
	}
	if user == "" || host == "" {
		return a, fmt.Errorf("%w: no user or no host", ErrDoubtful)
	}
	next, err := mailaddr.New(user, host)
	if err != nil {
		return a, fmt.Errorf("%w: %w", ErrDoubtful, err)
	}
	if strings.HasPrefix(next.String(), `"`) {
		// "a..b" and the like: nobody writes such a user.
		return a, fmt.Errorf("%w: no user of that form", ErrDoubtful)
	}
	return next, nil
}
