package rewrite

import (
	"errors"
	"fmt"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Ask asks a lookup for the values of a key, and whether it has the key at all.
// An error is temporary: the lookup can't tell at the moment.
type Ask func(name, key string) (values []string, found bool, err error)

// ErrUnanswered is wrapped by an error for a lookup that could not be asked.
// Whoever gets it keeps the mail for later: to go on without the rule would send
// addresses into the world that it was meant to change.
var ErrUnanswered = errors.New("a rewriting rule waits for a lookup")

// errNobodyToAsk is a mistake of the caller, and no reason to lose mail either.
var errNobodyToAsk = errors.New("there is nobody to ask")

// Asking is the set with somebody to ask for the values of lookups.
func (s Set) Asking(ask Ask) Set {
	s.ask = ask
	return s
}

// absent is why a `to` made no address: a lookup has nothing for its key.
type absent struct{ lookup, key string }

func (a absent) Error() string {
	if a.key == "" {
		return "there is no key for lookup " + a.lookup
	}
	return fmt.Sprintf("lookup %s has nothing for %s", a.lookup, a.key)
}

// values asks for a key, which is what some sender wrote. One that is empty no
// table has.
func (s *Set) values(lookup, key string) (values []string, found bool, err error) {
	if key == "" {
		return nil, false, nil
	}
	if s.ask == nil {
		err = errNobodyToAsk
	} else {
		values, found, err = s.ask(lookup, key)
	}
	if err != nil {
		return nil, false, fmt.Errorf("%w: %s: %w", ErrUnanswered, lookup, err)
	}
	return values, found, nil
}

// value is the first value for a key; an absent error where there is none.
func (s *Set) value(lookup, key string) (string, error) {
	values, found, err := s.values(lookup, key)
	switch {
	case err != nil:
		return "", err
	case !found || len(values) == 0:
		return "", absent{lookup, key}
	}
	return values[0], nil
}

// keyOf is an address as lookups are asked for it: in lower case, its domain with
// A-labels, as pkg/pattern asks them.
func keyOf(a mailaddr.Address) string {
	return strings.ToLower(strings.TrimSuffix(a.String(), a.Domain())) + domainKey(a)
}

func domainKey(a mailaddr.Address) string {
	if ascii, err := a.ASCIIDomain(); err == nil {
		return strings.ToLower(ascii)
	}
	return strings.ToLower(a.Domain())
}

// localValue reads a value that stands for a local part. It must be one by
// itself: quotes are taken for what they are, and no value brings a domain along.
func localValue(text string) (string, error) {
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(text))
	if err == nil && a.Domain() != "" {
		err = fmt.Errorf("%w: an address where a local part is wanted", mailaddr.ErrSyntax)
	}
	return a.Local(), err
}

// domainValue is the same for a domain.
func domainValue(text string) (string, error) {
	a, err := mailaddr.New("x", text)
	if err == nil && a.Domain() == "" {
		err = fmt.Errorf("%w: empty domain", mailaddr.ErrSyntax)
	}
	return a.Domain(), err
}

// addressValue is the same for a whole address.
func addressValue(text string) (mailaddr.Address, error) { return mailaddr.Parse(untrusted.From(text)) }
