package pattern

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Ask tells whether a lookup has a key. An error is temporary.
type Ask func(ctx context.Context, lookup, key string) (bool, error)

// prefix marks a pattern that is a lookup.
const prefix = "lookup:"

// An Asking list may have lookups among its patterns: "lookup:NAME", and
// "!lookup:NAME" for whoever is not in it. The zero value contains nothing. It may be
// used by several goroutines.
//
// A lookup is asked for the text in lower case, a domain with A-labels, an
// address of a network as netip writes it. A first pattern that matches decides
// before lookups behind it are asked.
type Asking struct {
	kind  Kind
	runs  []run
	names []string
}

// run is some ordinary patterns, or one lookup.
type run struct {
	list   List
	lookup string
	not    bool
}

// CompileAsking compiles a list that may have lookups. The error, if any, is of
// type Errors. Whether there are lookups of these names is for the caller to
// check.
func CompileAsking(patterns []string, kind Kind) (Asking, error) {
	a := Asking{kind: kind}
	var ordinary []string
	for i, text := range patterns {
		body, not := strings.CutPrefix(text, "!")
		name, is := strings.CutPrefix(body, prefix)
		if !is {
			ordinary = append(ordinary, text)
			continue
		}
		if !plainName(name) {
			return Asking{}, Errors{{Index: i, Pattern: text, Problem: "names no lookup", Hint: `write "lookup:NAME" for [lookup.NAME]`}}
		}
		// For the checks of the list as a whole, a lookup is a pattern like others.
		ordinary = append(ordinary, stand(not, i))
		a.names = append(a.names, name)
	}
	if len(a.names) == 0 {
		l, err := CompileList(patterns, kind)
		if err == nil && !l.Empty() {
			a.runs = []run{{list: l}}
		}
		return a, err
	}
	if err := checkWhole(patterns, ordinary, kind); err != nil {
		return Asking{}, err
	}
	if err := a.divide(patterns); err != nil {
		return Asking{}, err
	}
	return a, nil
}

// divide makes the runs: each lookup, and what ordinary patterns stand between them.
func (a *Asking) divide(patterns []string) error {
	plain := List{kind: a.kind}
	flush := func() {
		if !plain.Empty() {
			a.runs = append(a.runs, run{list: plain})
		}
		plain = List{kind: a.kind}
	}
	next := 0
	for _, text := range patterns {
		body, not := strings.CutPrefix(text, "!")
		if strings.HasPrefix(body, prefix) {
			flush()
			a.runs = append(a.runs, run{lookup: a.names[next], not: not})
			next++
			continue
		}
		s, err := compile(text, a.kind)
		if err != nil {
			return Errors{err}
		}
		plain.add(s)
	}
	flush()
	return nil
}

// stand is an ordinary pattern in the place of a lookup.
func stand(not bool, i int) string {
	sign := ""
	if not {
		sign = "!"
	}
	return fmt.Sprintf("%s/^lookup-%d$/", sign, i)
}

// checkWhole reports the mistakes of a list with its lookups replaced.
func checkWhole(patterns, ordinary []string, kind Kind) error {
	if kind == Networks {
		// There are no expressions among networks: leave the lookups out, and what
		// is left is a list if it is not of exceptions alone.
		var rest []string
		for i := range patterns {
			if ordinary[i] == patterns[i] {
				rest = append(rest, patterns[i])
			}
		}
		for i, text := range rest {
			if _, err := compile(text, kind); err != nil {
				err.Index, err.Pattern = i, text
				return Errors{err}
			}
		}
		return nil
	}
	_, err := CompileList(ordinary, kind)
	if list, ok := err.(Errors); ok {
		for _, e := range list {
			e.Pattern = patterns[e.Index]
		}
	}
	return err
}

func plainName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Empty reports whether the list has no patterns at all, which many settings
// take for "not restricted".
func (a Asking) Empty() bool { return len(a.runs) == 0 }

// Lookups names the lookups that may be asked.
func (a Asking) Lookups() []string { return a.names }

// Match reports whether a text is in the list, and which lookup said so ("" if
// none did).
func (a Asking) Match(ctx context.Context, text string, ask Ask) (in bool, by string, err error) {
	key := strings.ToLower(text)
	if len(a.names) > 0 {
		key = Key(text, a.kind)
	}
	for i := range a.runs {
		r := &a.runs[i]
		if r.lookup == "" {
			if yes, decided := r.list.decide(text); decided {
				return yes, "", nil
			}
			continue
		}
		found, err := ask(ctx, r.lookup, key)
		if err != nil {
			return false, r.lookup, err
		}
		if found {
			return !r.not, r.lookup, nil
		}
	}
	return false, "", nil
}

// Certain reports what Match will say whatever the lookups say; certain is false when
// it depends on them. Nobody is asked.
func (a Asking) Certain(text string) (in, certain bool) {
	mayBe, mayNotBe := false, false
	for i := range a.runs {
		r := &a.runs[i]
		if r.lookup != "" {
			mayBe, mayNotBe = mayBe || !r.not, mayNotBe || r.not
			continue
		}
		if yes, decided := r.list.decide(text); decided {
			mayBe, mayNotBe = mayBe || yes, mayNotBe || !yes
			return mayBe, mayBe != mayNotBe
		}
	}
	return mayBe, !mayBe
}

// CertainAddr is Certain for an address in a list of networks.
func (a Asking) CertainAddr(addr netip.Addr) (in, certain bool) {
	if a.kind != Networks || !addr.IsValid() {
		return false, true
	}
	return a.Certain(addr.Unmap().WithZone("").String())
}

// Key is for what a lookup is asked that stands for a pattern of a kind: the text in
// lower case, a domain with A-labels.
func Key(text string, kind Kind) string { return List{kind: kind}.ascii(strings.ToLower(text)) }

// LookupOf gives the name of the lookup that a pattern without its "!" is.
func LookupOf(body string) (name string, is bool) {
	name, is = strings.CutPrefix(body, prefix)
	return name, is && plainName(name)
}

// MatchAddr is Match for an address in a list of networks.
func (a Asking) MatchAddr(ctx context.Context, addr netip.Addr, ask Ask) (in bool, by string, err error) {
	if a.kind != Networks || !addr.IsValid() {
		return false, "", nil
	}
	return a.Match(ctx, addr.Unmap().WithZone("").String(), ask)
}

// Plain gives the list without lookups, and whether that is all of it.
func (a Asking) Plain() (List, bool) {
	switch {
	case len(a.names) > 0:
		return List{}, false
	case len(a.runs) == 0:
		return List{kind: a.kind}, true
	}
	return a.runs[0].list, true
}
