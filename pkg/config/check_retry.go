package config

import (
	"fmt"
	"slices"
	"strings"

	"filbert/pkg/pattern"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
)

// completeRetry fills in what rules leave open, and puts the built-in ones that
// are ever asked behind them, so that `mtactl config show` prints all that is in
// force.
func (c *checker) completeRetry() {
	s := c.s
	named := map[string]bool{}
	for i := range s.Retry {
		r := &s.Retry[i]
		if r.Name == "" {
			r.Name = fmt.Sprintf("retry-%d", i+1)
		}
		named[r.Name] = true
		*r = r.Complete()
	}
	c.retryRules = len(s.Retry)
	for _, r := range settings.DefaultRetry() {
		hidden := slices.ContainsFunc(s.Retry, func(before settings.Retry) bool { return covers(&before, &r) })
		if !named[r.Name] && !hidden {
			s.Retry = append(s.Retry, r)
		}
	}
}

// checkRetry has pkg/retry look at each rule, and looks at what only all of them
// together show.
func (c *checker) checkRetry() {
	c.names("retry", len(c.s.Retry), func(i int) string { return c.s.Retry[i].Name })
	for i := range c.retryRules {
		r := &c.s.Retry[i]
		path := fmt.Sprintf("retry[%d]", i)
		for _, p := range retry.Check(r) {
			hint := p.Hint
			if strings.HasPrefix(p.Key, "on[") {
				hint = kindHint(p.What)
			}
			c.bad(path+"."+p.Key, p.What, hint)
		}
		c.retryLookups(path+".match", r.Match)
		c.retryLookups(path+".senders", r.Senders)
		c.reachable(i)
	}
}

// retryLookups checks that the lookups of a list are there.
func (c *checker) retryLookups(key string, list []string) {
	for i, text := range list {
		if name, is := pattern.LookupOf(strings.TrimPrefix(text, "!")); is {
			c.lookupName(fmt.Sprintf("%s[%d]", key, i), name)
		}
	}
}

// kindHint is what may have been meant by a kind that there is not.
func kindHint(what string) string {
	_, word, _ := strings.Cut(what, `"`)
	word = strings.TrimSuffix(word, `"`)
	all := "there are: " + strings.Join(retry.Kinds(), ", ")
	if near := nearest(word, retry.Kinds()); near != "" {
		return fmt.Sprintf("did you mean %q? (%s)", near, all)
	}
	return all
}

// reachable reports a rule that one before it leaves nothing: rules are asked in
// the order in which they stand.
func (c *checker) reachable(i int) {
	r := &c.s.Retry[i]
	for j := range i {
		if before := &c.s.Retry[j]; covers(before, r) {
			c.bad(fmt.Sprintf("retry[%d]", i), fmt.Sprintf("is never used: %q, at %s, is for all that this rule is for", before.Name, c.pos(fmt.Sprintf("retry[%d]", j))),
				"put it before that one, or narrow that one with match, on, codes, mx or senders")
			return
		}
	}
}

// covers tells whether rule a is for all that rule b is for, as far as that can be
// seen by the words.
func covers(a, b *settings.Retry) bool {
	return coversList(a.Match, b.Match) && coversList(a.Senders, b.Senders) && coversKinds(a.On, b.On) &&
		coversList(a.Codes, b.Codes) && (a.MX == nil || b.MX != nil && *a.MX == *b.MX)
}

// coversList: none is no limit; with exceptions nothing can be said.
func coversList(a, b []string) bool {
	if len(a) == 0 || slices.Contains(a, "*") && a[0] == "*" {
		return true
	}
	if len(b) == 0 || slices.ContainsFunc(append(slices.Clone(a), b...), func(p string) bool { return strings.HasPrefix(p, "!") }) {
		return false
	}
	return !slices.ContainsFunc(b, func(p string) bool { return !slices.Contains(a, p) })
}

func coversKinds(a, b []string) bool {
	a, b = retry.Ungrouped(a), retry.Ungrouped(b)
	return len(a) == 0 || len(b) > 0 && !slices.ContainsFunc(b, func(k string) bool { return !slices.Contains(a, k) })
}
