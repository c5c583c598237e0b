package aliases

import (
	"fmt"
	"path"
	"strings"

	"filbert/pkg/argv"
	"filbert/pkg/mailaddr"
	"filbert/pkg/untrusted"
)

// ItemKind says what an item is.
type ItemKind uint8

// The kinds of items.
const (
	Address   ItemKind = iota + 1
	Pipe               // Text is the command line without its |
	File               // Text is the path
	Include            // Text is the path
	Fail               // Text says why
	Defer              // Text says why
	Blackhole          //
	SameName           // "@example.org": the same local part there; Text is the domain
)

// Item is one thing that a name stands for.
type Item struct {
	Kind    ItemKind
	Address mailaddr.Address // without a domain: in that of the name
	Text    string
	Literal bool // \name: not to be looked up in alias files again
	Line    int
}

// String is the item as it could stand in a file.
func (i Item) String() string {
	switch i.Kind {
	case Pipe:
		return "|" + i.Text
	case File:
		return i.Text
	case Include:
		return ":include:" + i.Text
	case Fail:
		return ":fail: " + i.Text
	case Defer:
		return ":defer: " + i.Text
	case Blackhole:
		return ":blackhole:"
	case SameName:
		return "@" + i.Text
	}
	if i.Literal {
		return `\` + i.Address.String()
	}
	return i.Address.String()
}

// Bounds of an entry.
const (
	maxItems  = 100_000
	maxTarget = 4000 // of a command line or path: the envelope carries 4,096
	maxReason = 500  // of the text of :fail: and :defer:
)

// scanner reads the items of an entry or of an included file.
type scanner struct {
	s    string
	pos  int
	line int
	list bool // an included file: line ends separate items
	// domains: "@domain" is an item
	domains bool
}

// syntaxError is a mistake with its line.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

func (c *scanner) fail(format string, args ...any) error {
	return &syntaxError{c.line, fmt.Sprintf(format, args...)}
}

// items reads all of them.
func (c *scanner) items() ([]Item, error) {
	var items []Item
	for {
		c.blanks()
		if c.pos == len(c.s) && (c.list || len(items) == 0) {
			break
		}
		item, err := c.item()
		if err != nil {
			return nil, err
		}
		if items = append(items, item); len(items) > maxItems {
			return nil, c.fail("more than %d items", maxItems)
		}
		more, err := c.separator(item)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
	}
	if len(items) == 0 && !c.list {
		return nil, c.fail("nothing behind the colon")
	}
	if len(items) > 1 {
		for _, i := range items {
			if i.Kind == Fail || i.Kind == Defer || i.Kind == Blackhole {
				return nil, &syntaxError{i.Line, i.String() + " has to stand alone"}
			}
		}
	}
	return items, nil
}

// blanks skips blanks, line ends and comments.
func (c *scanner) blanks() {
	for c.pos < len(c.s) {
		switch c.s[c.pos] {
		case ' ', '\t', '\r':
			c.pos++
		case '\n':
			c.line++
			c.pos++
			c.comment()
		default:
			if c.pos == 0 && c.list {
				if c.comment(); c.pos > 0 {
					continue
				}
			}
			return
		}
	}
}

// comment skips the rest of a line that begins here with #.
func (c *scanner) comment() {
	rest := c.s[c.pos:]
	if !strings.HasPrefix(strings.TrimLeft(rest, " \t"), "#") {
		return
	}
	if i := strings.IndexByte(rest, '\n'); i >= 0 {
		c.pos += i
		return
	}
	c.pos = len(c.s)
}

// separator reads what is between items and says whether another follows.
func (c *scanner) separator(last Item) (more bool, err error) {
	line := c.line
	c.blanks()
	switch {
	case c.pos == len(c.s):
		return false, nil
	case c.s[c.pos] == ',':
		c.pos++
		c.blanks()
		if c.pos == len(c.s) && !c.list {
			return false, c.fail("nothing behind the last comma (a line that continues begins with a blank)")
		}
		return true, nil
	case c.list && c.line > line:
		return true, nil
	}
	return false, c.fail("no comma behind %s", untrusted.From(last.String()).ForLog())
}

// item reads one.
func (c *scanner) item() (Item, error) {
	it := Item{Line: c.line}
	switch rest := c.s[c.pos:]; {
	case rest[0] == ',':
		return it, c.fail("nothing before the comma")
	case rest[0] == '|':
		c.pos++
		return c.pipe(it)
	case rest[0] == '/':
		it.Kind, it.Text = File, c.word()
		return it, c.check(it)
	case rest[0] == ':':
		return c.special(it)
	case rest[0] == '"':
		return c.quotedItem(it)
	case rest[0] == '\\':
		c.pos++
		it.Literal = true
	case rest[0] == '@' && c.domains:
		domain, err := domainOf(c.word())
		if err != nil {
			return it, c.fail("%v", err)
		}
		it.Kind, it.Text = SameName, domain
		return it, nil
	}
	return c.address(it, c.addressWord())
}

// domainOf reads "@domain".
func domainOf(word string) (string, error) {
	a, err := mailaddr.New("x", word[1:])
	if err != nil || word == "@" {
		return "", fmt.Errorf("%s: no domain behind the @", untrusted.From(word).ForLog())
	}
	return a.Domain(), nil
}

// pipe reads a command: in quotes as a whole, else up to a comma that is in no
// quotes, or the end of the line.
func (c *scanner) pipe(it Item) (Item, error) {
	it.Kind = Pipe
	if strings.HasPrefix(c.s[c.pos:], `"`) {
		text, err := c.quoted()
		it.Text = text
		if err != nil {
			return it, err
		}
		return it, c.check(it)
	}
	start, quote := c.pos, byte(0)
	for ; c.pos < len(c.s) && c.s[c.pos] != '\n'; c.pos++ {
		ch := c.s[c.pos]
		switch {
		case ch == '\\' && quote != '\'' && c.pos+1 < len(c.s) && c.s[c.pos+1] != '\n':
			c.pos++
		case quote != 0:
			if ch == quote {
				quote = 0
			}
		case ch == '"' || ch == '\'':
			quote = ch
		case ch == ',':
			it.Text = strings.TrimSpace(c.s[start:c.pos])
			return it, c.check(it)
		}
	}
	it.Text = strings.TrimSpace(c.s[start:c.pos])
	return it, c.check(it)
}

// special reads what begins with a colon.
func (c *scanner) special(it Item) (Item, error) {
	rest := c.s[c.pos:]
	end := strings.IndexByte(rest[1:], ':')
	if end < 0 {
		return it, c.fail("%s begins with a colon and has no second one", untrusted.From(c.word()).ForLog())
	}
	word := strings.ToLower(rest[1 : end+1])
	c.pos += end + 2
	switch word {
	case "include":
		it.Kind = Include
		for c.pos < len(c.s) && (c.s[c.pos] == ' ' || c.s[c.pos] == '\t') {
			c.pos++
		}
		if strings.HasPrefix(c.s[c.pos:], `"`) {
			text, err := c.quoted()
			if err != nil {
				return it, err
			}
			it.Text = text
		} else {
			it.Text = c.word()
		}
		return it, c.check(it)
	case "fail":
		it.Kind = Fail
	case "defer":
		it.Kind = Defer
	case "blackhole":
		it.Kind = Blackhole
		return it, nil
	default:
		return it, c.fail(":%s: is none of :include: :fail: :defer: :blackhole:", untrusted.From(word).ForTerminal())
	}
	it.Text = c.restOfEntry()
	return it, c.check(it)
}

// restOfEntry is the text up to the end, its lines joined.
func (c *scanner) restOfEntry() string {
	var words []string
	for c.pos < len(c.s) {
		line, _, _ := strings.Cut(c.s[c.pos:], "\n")
		words = append(words, strings.Fields(line)...)
		c.pos += len(line)
		c.blanks()
	}
	return strings.Join(words, " ")
}

// quotedItem reads an item that begins with a quote: a command, a path or an
// :include: in quotes, or an address with a quoted local part.
func (c *scanner) quotedItem(it Item) (Item, error) {
	start, line := c.pos, c.line
	text, err := c.quoted()
	if err != nil {
		return it, err
	}
	at := strings.HasPrefix(c.s[c.pos:], "@")
	switch {
	case at || text == "":
	case text[0] == '|':
		it.Kind, it.Text = Pipe, strings.TrimSpace(text[1:])
		return it, c.check(it)
	case text[0] == '/':
		it.Kind, it.Text = File, text
		return it, c.check(it)
	case strings.HasPrefix(strings.ToLower(text), ":include:"):
		it.Kind, it.Text = Include, strings.TrimSpace(text[len(":include:"):])
		return it, c.check(it)
	}
	c.pos, c.line = start, line
	return c.address(it, c.addressWord())
}

// quoted reads a quoted string on one line; a backslash protects a quote or a
// backslash and is otherwise itself, for the commands' own quoting.
func (c *scanner) quoted() (string, error) {
	var b strings.Builder
	for i := c.pos + 1; i < len(c.s) && c.s[i] != '\n'; i++ {
		ch := c.s[i]
		switch {
		case ch == '"':
			c.pos = i + 1
			return b.String(), nil
		case ch == '\\' && i+1 < len(c.s) && (c.s[i+1] == '"' || c.s[i+1] == '\\'):
			i++
			b.WriteByte(c.s[i])
		default:
			b.WriteByte(ch)
		}
	}
	return "", c.fail("a quote is not closed")
}

// word reads up to a comma or blank.
func (c *scanner) word() string {
	rest := c.s[c.pos:]
	if i := strings.IndexAny(rest, ", \t\r\n"); i >= 0 {
		rest = rest[:i]
	}
	c.pos += len(rest)
	return rest
}

// addressWord is word with a quoted local part taken as a whole.
func (c *scanner) addressWord() string {
	start := c.pos
	if strings.HasPrefix(c.s[c.pos:], `"`) {
		i := c.pos + 1
		for i < len(c.s) && c.s[i] != '"' && c.s[i] != '\n' {
			if c.s[i] == '\\' {
				i++
			}
			i++
		}
		c.pos = min(i+1, len(c.s))
	}
	c.word()
	return c.s[start:c.pos]
}

func (c *scanner) address(it Item, text string) (Item, error) {
	a, err := mailaddr.ParseLocalOrMailbox(untrusted.From(text))
	if err != nil {
		return it, c.fail("%s: %v", untrusted.From(text).ForLog(), err)
	}
	if it.Literal && a.Domain() != "" {
		return it, c.fail(`\%s: only a name in the same domain can be exempted from aliases`, a)
	}
	it.Kind, it.Address = Address, a
	return it, nil
}

// check holds the text of an item against its bounds, and a command against
// the rules.
func (c *scanner) check(it Item) error {
	if strings.IndexFunc(it.Text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f || r == '\ufffd' }) >= 0 {
		return c.fail("control character or invalid UTF-8")
	}
	limit := maxTarget
	if it.Kind == Fail || it.Kind == Defer {
		limit = maxReason
	}
	if len(it.Text) > limit {
		return c.fail("text longer than %d octets", limit)
	}
	switch it.Kind {
	case Pipe:
		if _, err := argv.Split(it.Text); err != nil {
			return c.fail("|%s: %v", untrusted.From(it.Text).ForTerminal(), err)
		}
	case File, Include:
		if clean := path.Clean(it.Text); !path.IsAbs(it.Text) && it.Kind == File || it.Text == "" || clean == "/" {
			return c.fail("%s: no file", untrusted.From(it.String()).ForLog())
		}
	}
	return nil
}
