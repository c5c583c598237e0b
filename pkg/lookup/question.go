package lookup

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Place is a word in braces in a query, for which something of the key is put.
type Place int

const (
	// Nowhere is plain text.
	Nowhere Place = iota
	// WholeKey is {key}.
	WholeKey
	// LocalPart is {local_part}: of an address, or the key when it is none.
	LocalPart
	// Domain is {domain}: of an address.
	Domain
)

// ErrNoPlace is about a query that does not ask for the key.
var ErrNoPlace = errors.New("the query has no {key}, {local_part} or {domain} in it")

// PlaceAt reads the place at the beginning of s, and how long it is; 0 when
// there is nothing of the kind. A word that we do not know is an error.
func PlaceAt(s string) (Place, int, error) {
	end := strings.IndexByte(s, '}')
	if !strings.HasPrefix(s, "{") || end < 2 {
		return Nowhere, 0, nil
	}
	switch word := s[1:end]; word {
	case "key":
		return WholeKey, end + 1, nil
	case "local_part":
		return LocalPart, end + 1, nil
	case "domain":
		return Domain, end + 1, nil
	default:
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") != "" {
			return Nowhere, 0, nil
		}
		return Nowhere, 0, fmt.Errorf("the query has {%s} in it, which is not {key}, {local_part} or {domain}", word)
	}
}

// Subject is what can be put for the places of a query.
type Subject struct{ key, local, domain string }

// SubjectOf takes a key apart. False: no table has such a key. It is not an
// error of anything, for keys are what strangers write.
func SubjectOf(key string) (Subject, bool) {
	if key == "" || len(key) > MaxKey || !utf8.ValidString(key) || strings.IndexByte(key, 0) >= 0 {
		return Subject{}, false
	}
	i := strings.LastIndexByte(key, '@')
	if i < 0 {
		return Subject{key: key, local: key}, true
	}
	return Subject{key, key[:i], key[i+1:]}, true
}

// At is what stands at a place. False: the key has nothing of the kind, so that
// the question needs not be asked: {domain} of a key without @, {local_part} of
// one that begins with it.
func (s Subject) At(p Place) (string, bool) {
	switch p {
	case LocalPart:
		return s.local, s.local != ""
	case Domain:
		return s.domain, s.domain != ""
	}
	return s.key, true
}

// Question is a query taken apart at its places.
type Question []Piece

// Piece is plain text, or a place.
type Piece struct {
	Text  string
	Place Place
}

// ParseQuestion takes a query apart, of a language without quotes.
func ParseQuestion(query string) (Question, error) {
	var q Question
	begin := 0
	for i := 0; i < len(query); {
		place, n, err := PlaceAt(query[i:])
		if err != nil {
			return nil, err
		}
		if n == 0 {
			i++
			continue
		}
		if i > begin {
			q = append(q, Piece{Text: query[begin:i]})
		}
		q = append(q, Piece{Place: place})
		i += n
		begin = i
	}
	if begin < len(query) {
		q = append(q, Piece{Text: query[begin:]})
	}
	return q, nil
}

// Asks says whether there is any place in q.
func (q Question) Asks() bool {
	for _, p := range q {
		if p.Place != Nowhere {
			return true
		}
	}
	return false
}

// OnTheRight refuses a place of an LDAP filter or base that is not in a value:
// escaping protects values, and a key must not choose the attribute. Each part begins
// behind one of these characters.
func (q Question) OnTheRight(begins string) error {
	before := ""
	for _, p := range q {
		if p.Place == Nowhere {
			before += p.Text
			continue
		}
		if !strings.Contains(before[strings.LastIndexAny(before, begins)+1:], "=") {
			return errors.New("a {key}, {local_part} or {domain} may only stand behind a =")
		}
	}
	return nil
}

// Fill puts a key, escaped for the language of the question. False: see
// Subject.At.
func (q Question) Fill(s Subject, escape func(string) string) (string, bool) {
	var b strings.Builder
	for _, p := range q {
		if p.Place == Nowhere {
			b.WriteString(p.Text)
			continue
		}
		v, ok := s.At(p.Place)
		if !ok {
			return "", false
		}
		b.WriteString(escape(v))
	}
	return b.String(), true
}
