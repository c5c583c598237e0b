package sqltable

import (
	"slices"
	"strings"
	"testing"

	"filbert/pkg/lookup"
)

var (
	postgresql = dialect{numbered: true, dollars: true}
	mariadb    = dialect{backslashes: true, hashes: true}
	sqlite     = dialect{}
)

func TestPlacesBecomeParameters(t *testing.T) {
	for _, c := range []struct {
		d           dialect
		query, want string
		places      []lookup.Place
	}{
		{sqlite, "SELECT v FROM t WHERE k={key}", "SELECT v FROM t WHERE k=?", []lookup.Place{lookup.WholeKey}},
		{postgresql, "SELECT v FROM t WHERE l={local_part} AND d={domain} OR k={key}",
			"SELECT v FROM t WHERE l=$1 AND d=$2 OR k=$3", []lookup.Place{lookup.LocalPart, lookup.Domain, lookup.WholeKey}},
		{sqlite, "SELECT '?{other}' FROM t WHERE k={key} -- what? {key}", "SELECT '?{other}' FROM t WHERE k=? -- what? {key}", []lookup.Place{lookup.WholeKey}},
		{postgresql, `SELECT $a$it's $1$a$, "it's" FROM t WHERE x ? {key}`, `SELECT $a$it's $1$a$, "it's" FROM t WHERE x ? $1`, []lookup.Place{lookup.WholeKey}},
		{mariadb, `SELECT 'it\'s', "a""b" FROM t # it's
WHERE k={key}`, `SELECT 'it\'s', "a""b" FROM t # it's
WHERE k=?`, []lookup.Place{lookup.WholeKey}},
		{mariadb, "SELECT `a\\` FROM t WHERE /* it's {key}? */ k={key}", "SELECT `a\\` FROM t WHERE /* it's {key}? */ k=?", []lookup.Place{lookup.WholeKey}},
		{sqlite, "SELECT json('{\"a\":1}') WHERE x={key}", "SELECT json('{\"a\":1}') WHERE x=?", []lookup.Place{lookup.WholeKey}},
	} {
		s, err := parse(c.query, c.d)
		if err != nil || s.text != c.want || !slices.Equal(s.places, c.places) {
			t.Errorf("%s: got %s, %v, %v", c.query, s.text, s.places, err)
		}
	}
}

func TestQueriesThatCannotBeBoundAreRefused(t *testing.T) {
	for _, c := range []struct {
		d           dialect
		query, want string
	}{
		{sqlite, "SELECT v FROM t WHERE k='{key}'", "leave out the quotes"},
		{sqlite, `SELECT v FROM t WHERE k="{domain}"`, "leave out the quotes"},
		{mariadb, "SELECT v FROM t WHERE k LIKE '%@{domain}'", "leave out the quotes"},
		{postgresql, "SELECT v FROM t WHERE k=$$ {key} $$", "leave out the quotes"},
		{postgresql, "SELECT v FROM t WHERE k=$x$ {key} $x$", "leave out the quotes"},
		{sqlite, "SELECT v FROM t", "no {key}"},
		{sqlite, "SELECT v FROM t WHERE k={user}", "{user}"},
		{sqlite, "SELECT v FROM t WHERE k=? AND l={key}", "has a ?"},
		{postgresql, "SELECT v FROM t WHERE k=$1 AND l={key}", "like $1"},
		{sqlite, "SELECT 'v FROM t WHERE k={key}", "never closed"},
		{postgresql, "SELECT $a$ FROM t WHERE k={key}", "never closed"},
		{sqlite, "SELECT /* FROM t WHERE k={key}", "no end"},
	} {
		if s, err := parse(c.query, c.d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v", c.query, s.text, err)
		}
	}
}

func FuzzParseKeepsTheText(f *testing.F) {
	for _, s := range []string{"SELECT {key}", "'{key}'", "$a$ $a$ {domain}", "`", "--", "/*", "{key}{key}", "'\\'{key}"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, query string, numbered bool) {
		d := dialect{numbered: numbered, dollars: numbered, backslashes: !numbered, hashes: !numbered}
		s, err := parse(query, d)
		if err != nil {
			return
		}
		if len(s.places) == 0 || len(s.text) > len(query) {
			t.Errorf("%q: got %q with %d places", query, s.text, len(s.places))
		}
	})
}
