package lookup

import (
	"slices"
	"strings"
	"testing"
)

var postgresql, mariadb, sqlite = dialects["pgsql"], dialects["mysql"], dialects["sqlite"]

func TestPlacesBecomeParameters(t *testing.T) {
	for _, c := range []struct {
		d           dialect
		query, want string
		places      []Place
	}{
		{sqlite, "SELECT v FROM t WHERE k={key}", "SELECT v FROM t WHERE k=?", []Place{WholeKey}},
		{postgresql, "SELECT v FROM t WHERE l={local_part} AND d={domain} OR k={key}",
			"SELECT v FROM t WHERE l=$1 AND d=$2 OR k=$3", []Place{LocalPart, Domain, WholeKey}},
		{sqlite, "SELECT '?{other}' FROM t WHERE k={key} -- what? {key}", "SELECT '?{other}' FROM t WHERE k=? -- what? {key}", []Place{WholeKey}},
		{postgresql, `SELECT $a$it's $1$a$, "it's" FROM t WHERE x ? {key}`, `SELECT $a$it's $1$a$, "it's" FROM t WHERE x ? $1`, []Place{WholeKey}},
		{mariadb, `SELECT 'it\'s', "a""b" FROM t # it's
WHERE k={key}`, `SELECT 'it\'s', "a""b" FROM t # it's
WHERE k=?`, []Place{WholeKey}},
		{mariadb, "SELECT `a\\` FROM t WHERE /* it's {key}? */ k={key}", "SELECT `a\\` FROM t WHERE /* it's {key}? */ k=?", []Place{WholeKey}},
		{sqlite, "SELECT json('{\"a\":1}') WHERE x={key}", "SELECT json('{\"a\":1}') WHERE x=?", []Place{WholeKey}},
	} {
		s, err := c.d.parse(c.query)
		if err != nil || s.Text != c.want || !slices.Equal(s.places, c.places) {
			t.Errorf("%s: got %s, %v, %v", c.query, s.Text, s.places, err)
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
		if s, err := c.d.parse(c.query); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %q, %v", c.query, s.Text, err)
		}
	}
}

func FuzzParseStatementKeepsTheText(f *testing.F) {
	for _, s := range []string{"SELECT {key}", "'{key}'", "$a$ $a$ {domain}", "`", "--", "/*", "{key}{key}", "'\\'{key}"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, query string, numbered bool) {
		d := dialect{numbered: numbered, dollars: numbered, backslashes: !numbered, hashes: !numbered}
		s, err := d.parse(query)
		if err != nil {
			return
		}
		if len(s.places) == 0 || len(s.Text) > len(query) {
			t.Errorf("%q: got %q with %d places", query, s.Text, len(s.places))
		}
	})
}
