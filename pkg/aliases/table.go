package aliases

import (
	"errors"
	"strings"
	"unicode/utf8"

	"filbert/pkg/lookup"
	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// Bounds of files. Ours.
const (
	MaxFile    = 256 << 20 // an alias file
	MaxInclude = 16 << 20  // a file named by :include:
)

// Table is an alias file.
type Table struct {
	entries  map[string]entry // by key: lower case
	includes []string
	virtual  bool // of whole domains
}

// entry is the place of an entry's items in the text.
type entry struct {
	items string
	line  int32
}

// Entry is what a name stands for.
type Entry struct {
	Items []Item
	Line  int
}

// Parse reads an alias file. Name stands in the messages. The error is of type
// *lookup.Problems and has every mistake.
func Parse(name string, data []byte) (*Table, error) {
	return parse(name, data, &Table{entries: make(map[string]entry)})
}

// ParseVirtual reads an alias file of whole domains: its names are name@domain,
// and @domain for all that have no entry of their own.
func ParseVirtual(name string, data []byte) (*Table, error) {
	return parse(name, data, &Table{entries: make(map[string]entry), virtual: true})
}

func parse(name string, data []byte, t *Table) (*Table, error) {
	var ps lookup.Problems
	text := string(data)
	if !utf8.ValidString(text) {
		ps.Add(name, 0, "the file is not UTF-8")
		return t, ps.Err()
	}
	for line := 1; text != ""; {
		n, lines := logicalLine(text)
		if first := text[:n]; !isBlank(first) {
			t.add(name, first, line, &ps)
		}
		text, line = text[n:], line+lines
	}
	return t, ps.Err()
}

// logicalLine is the length of a line with those that continue it, and their
// number. Comments and empty lines between them belong to it.
func logicalLine(s string) (n, lines int) {
	end, endLines := 0, 0
	for n < len(s) {
		i := strings.IndexByte(s[n:], '\n')
		if i < 0 {
			i = len(s) - n - 1
		}
		line := s[n : n+i+1]
		continues := line[0] == ' ' || line[0] == '\t'
		silent := isBlank(line)
		if n > 0 && !continues && !silent {
			break
		}
		n += i + 1
		lines++
		if n == len(line) && silent {
			return n, lines // a comment or empty line has no continuation
		}
		if !silent {
			end, endLines = n, lines
		}
	}
	return end, endLines
}

// isBlank reports whether a line says nothing.
func isBlank(line string) bool {
	line = strings.TrimLeft(line, " \t\r\n")
	return line == "" || line[0] == '#'
}

func (t *Table) add(name, text string, line int, ps *lookup.Problems) {
	if text[0] == ' ' || text[0] == '\t' {
		ps.Add(name, line, "the line begins with a blank, but there is no entry that it could continue")
		return
	}
	word, rest, err := cutKey(text)
	if err != nil {
		ps.Add(name, line, "%v", err)
		return
	}
	key, err := t.keyOf(word)
	if err != nil {
		ps.Add(name, line, "%s: %v", untrusted.From(word).ForLog(), err)
		return
	}
	if first, twice := t.entries[key]; twice {
		ps.Add(name, line, "%s is defined twice (first in line %d)", word, first.line)
		return
	}
	rest = strings.TrimRight(rest, " \t\r\n") // so that a mistake at its end has its line
	c := scanner{s: rest, line: line, domains: t.virtual}
	items, err := c.items()
	if err != nil {
		var se *syntaxError
		errors.As(err, &se)
		ps.Add(name, se.line, "%s: %s", word, se.text)
		return
	}
	for _, it := range items {
		if it.Kind == Include {
			t.includes = append(t.includes, it.Text)
		}
	}
	t.entries[key] = entry{items: rest, line: int32(line)}
}

// cutKey cuts an entry at the colon behind its name. A quoted local part may
// hold colons, and so may an address literal of IPv6.
func cutKey(s string) (key, rest string, err error) {
	quoted, literal := false, false
	for i := 0; i < len(s) && s[i] != '\n'; i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == ']':
			literal = c == '['
		case c == ':' && !literal:
			return strings.TrimRight(s[:i], " \t"), s[i+1:], nil
		}
	}
	return "", "", errors.New("no colon behind the name")
}

// keyOf gives the one form of a name.
func (t *Table) keyOf(word string) (string, error) {
	if word == "" {
		return "", errors.New("no name before the colon")
	}
	if t.virtual && word[0] == '@' {
		domain, err := domainOf(word)
		return DomainKey(domain), err
	}
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(word))
	if err != nil {
		return "", err
	}
	if t.virtual && a.Domain() == "" {
		return "", errors.New("no domain behind the name: write name@example.org, or @example.org for all names there")
	}
	return Key(a), nil
}

// Key is what an address is found by: lower case throughout.
func Key(a mailaddr.Address) string { return strings.ToLower(a.String()) }

// DomainKey is what all names of a domain together are found by.
func DomainKey(domain string) string { return "@" + strings.ToLower(domain) }

// Find gives the entry of a key made by Key or DomainKey.
func (t *Table) Find(key string) (Entry, bool) {
	e, ok := t.entries[key]
	if !ok {
		return Entry{}, false
	}
	c := scanner{s: e.items, line: int(e.line), domains: t.virtual}
	items, err := c.items()
	if err != nil {
		// Parse read the same text without a mistake.
		return Entry{}, false
	}
	return Entry{Items: items, Line: int(e.line)}, true
}

// Has tells whether there is an entry.
func (t *Table) Has(key string) bool {
	_, ok := t.entries[key]
	return ok
}

// Len is the number of entries.
func (t *Table) Len() int { return len(t.entries) }

// Includes are the paths that entries include.
func (t *Table) Includes() []string { return t.includes }

// ParseList reads a file that an entry includes. The error is of type
// *lookup.Problems.
func ParseList(name string, data []byte) ([]Item, error) {
	return parseItems(name, data, "an included file", func(it Item) bool { return it.Kind == Address || it.Kind == Include })
}

// ParseForward reads a user's forward file: items, separated by commas or line
// ends, but no verdicts. The error is of type *lookup.Problems.
func ParseForward(name string, data []byte) ([]Item, error) {
	return parseItems(name, data, "a forward file", func(it Item) bool { return it.Kind <= Include })
}

func parseItems(name string, data []byte, what string, may func(Item) bool) ([]Item, error) {
	var ps lookup.Problems
	text := string(data)
	if !utf8.ValidString(text) {
		ps.Add(name, 0, "the file is not UTF-8")
		return nil, ps.Err()
	}
	c := scanner{s: text, line: 1, list: true}
	items, err := c.items()
	if err != nil {
		var se *syntaxError
		errors.As(err, &se)
		ps.Add(name, se.line, "%s", se.text)
		return nil, ps.Err()
	}
	for _, it := range items {
		if !may(it) {
			ps.Add(name, it.Line, "%s cannot stand in %s", untrusted.From(it.String()).ForLog(), what)
		}
	}
	return items, ps.Err()
}

// ParseValues reads the values that a lookup has for a name: each is items, as
// they stand behind the colon of an entry. virtual: "@domain" is one of them.
func ParseValues(name string, values []string, virtual Virtual) ([]Item, error) {
	var ps lookup.Problems
	var out []Item
	for _, v := range values {
		c := scanner{s: strings.TrimSpace(v), line: 1, domains: bool(virtual)}
		items, err := c.items()
		if err != nil {
			var se *syntaxError
			errors.As(err, &se)
			ps.Add(name, 0, "%s", se.text)
			continue
		}
		if out = append(out, items...); len(out) > maxItems {
			ps.Add(name, 0, "more than %d items", maxItems)
			break
		}
	}
	if len(values) > 1 {
		for _, it := range out {
			if it.Kind == Fail || it.Kind == Defer || it.Kind == Blackhole {
				ps.Add(name, 0, "%s has to stand alone", untrusted.From(it.String()).ForLog())
			}
		}
	}
	return out, ps.Err()
}

// Virtual says whether what is read is of whole domains.
type Virtual bool
