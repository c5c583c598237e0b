package lookup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// dialect is what the reader of queries must know of a database.
type dialect struct {
	numbered    bool // parameters are $1, $2, not ?
	backslashes bool // a backslash in quotes protects what follows
	dollars     bool // $tag$ begins a quoted text
	hashes      bool // # begins a comment
}

// dialects are those of the types of lookups.
var dialects = map[string]dialect{
	"sqlite": {},
	"pgsql":  {numbered: true, dollars: true},
	"mysql":  {backslashes: true, hashes: true},
}

// Statement is a query of SQL as the database gets it, and what its parameters are.
type Statement struct {
	Text   string
	places []Place
}

// ParseStatement makes parameters of the places in a query for a type of lookup:
// sqlite, pgsql or mysql.
func ParseStatement(kind, query string) (Statement, error) {
	d, ok := dialects[kind]
	if !ok {
		return Statement{}, fmt.Errorf("%q is no SQL database", kind)
	}
	return d.parse(query)
}

// parse reads quotes and comments
// only as far as needed to tell what is outside of them: nothing of a key is ever
// put into the text, so that a mistake here can make a query fail, not lie.
func (d dialect) parse(query string) (Statement, error) {
	var s Statement
	var out strings.Builder
	for i := 0; i < len(query); {
		if n, err := d.quoted(query[i:]); err != nil {
			return s, err
		} else if n > 0 {
			out.WriteString(query[i : i+n])
			i += n
			continue
		}
		if err := d.foreign(query[i:]); err != nil {
			return s, err
		}
		place, n, err := PlaceAt(query[i:])
		if err != nil {
			return s, err
		}
		if n == 0 {
			out.WriteByte(query[i])
			i++
			continue
		}
		// A number for each place, not for each word: PostgreSQL finds out a type
		// for each, and they may differ.
		s.places = append(s.places, place)
		if d.numbered {
			out.WriteString("$" + strconv.Itoa(len(s.places)))
		} else {
			out.WriteByte('?')
		}
		i += n
	}
	if len(s.places) == 0 {
		return s, ErrNoPlace
	}
	s.Text = out.String()
	return s, nil
}

// foreign refuses parameters of the database's own, which nothing would fill.
func (d dialect) foreign(s string) error {
	switch {
	case !d.numbered && s[0] == '?':
		return errors.New("the query has a ? in it, write {key}, {local_part} or {domain}")
	case d.numbered && s[0] == '$' && len(s) > 1 && s[1] >= '0' && s[1] <= '9':
		return errors.New("the query has a parameter like $1 in it, write {key}, {local_part} or {domain}")
	}
	return nil
}

// quoted is the length of the quoted text or comment at the beginning of s.
func (d dialect) quoted(s string) (int, error) {
	switch {
	case s[0] == '\'', s[0] == '"', s[0] == '`':
		return d.inQuotes(s)
	case strings.HasPrefix(s, "--"), d.hashes && s[0] == '#':
		if i := strings.IndexByte(s, '\n'); i >= 0 {
			return i + 1, nil
		}
		return len(s), nil
	case strings.HasPrefix(s, "/*"):
		i := strings.Index(s[2:], "*/")
		if i < 0 {
			return 0, errors.New("a comment in the query has no end")
		}
		return i + 4, nil
	case d.dollars && s[0] == '$':
		return d.dollarQuoted(s)
	}
	return 0, nil
}

func (d dialect) inQuotes(s string) (int, error) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && d.backslashes && quote != '`':
			i++
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++ // doubled, it stands for itself
		default:
			return i + 1, d.noPlaceIn(s[1:i])
		}
	}
	return 0, fmt.Errorf("a %c in the query is never closed", quote)
}

// dollarQuoted reads PostgreSQL's $tag$text$tag$.
func (d dialect) dollarQuoted(s string) (int, error) {
	end := strings.IndexByte(s[1:], '$')
	if end < 0 {
		return 0, nil
	}
	tag := s[:end+2]
	name := tag[1 : len(tag)-1]
	if name != "" && (name[0] >= '0' && name[0] <= '9' || strings.ContainsFunc(name, notInName)) {
		return 0, nil
	}
	n := strings.Index(s[len(tag):], tag)
	if n < 0 {
		return 0, fmt.Errorf("a %s in the query is never closed", tag)
	}
	return n + 2*len(tag), d.noPlaceIn(s[len(tag) : len(tag)+n])
}

func notInName(r rune) bool {
	return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= 0x80)
}

func (d dialect) noPlaceIn(text string) error {
	for _, word := range []string{"{key}", "{local_part}", "{domain}"} {
		if strings.Contains(text, word) {
			more := "'text' || " + word
			if d.backslashes {
				more = "concat('text', " + word + ")"
			}
			return fmt.Errorf("the query has %s inside quotes: leave out the quotes, it is bound as a parameter (with more text: %s)", word, more)
		}
	}
	return nil
}

// Arguments are the parameters for a key. False: the key lacks a part.
func (s Statement) Arguments(of Subject) ([]any, bool) {
	args := make([]any, len(s.places))
	for i, p := range s.places {
		v, ok := of.At(p)
		if !ok {
			return nil, false
		}
		args[i] = v
	}
	return args, true
}
