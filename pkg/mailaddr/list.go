package mailaddr

import (
	"strings"

	"filbert/pkg/untrusted"
)

// Limits of ParseList. They are ours.
const (
	MaxListOctets    = 1 << 20
	MaxListAddresses = 10_000
	maxCommentDepth  = 32
)

// ListEntry is one address of a header field.
type ListEntry struct {
	Address Address        // without a domain where the text has a local part alone
	Name    untrusted.Text // display name, unquoted; encoded words as they stand
	// Start and End are where the addr-spec stands in the input: without the
	// angle brackets and the source route, with comments that are inside it.
	Start, End int
}

// ParseList reads the value of From, To, Cc, Bcc, Reply-To and the like: an
// address-list (RFC 5322, section 3.4), with groups, comments, quoted strings,
// folding, obsolete source routes (which are dropped), empty elements and
// spaced local parts (section 4.4), and with local parts alone, as local
// programs write them. A list with one bad address is refused as a whole: the
// caller leaves such a field as it is, for half of a list is no list. The time
// is linear in the length of the input.
func ParseList(t untrusted.Text) ([]ListEntry, error) {
	s := t.ForWire() // every byte is checked by the lexer
	if len(s) > MaxListOctets {
		return nil, syntax("list longer than %d octets", MaxListOctets)
	}
	p := &listParser{lex: lexer{s: s}}
	if err := p.run(); err != nil {
		return nil, err
	}
	return p.out, nil
}

// listParser reads tokens and keeps the words of the present element until a
// token tells what they were: a display name, a group's name or an addr-spec.
type listParser struct {
	lex     lexer
	out     []ListEntry
	words   []token // since the element began: atoms, quoted strings, dots, at, literals
	inGroup bool
}

func (p *listParser) run() error {
	for {
		tok, err := p.lex.next()
		if err != nil {
			return err
		}
		switch tok.kind {
		case tokenEnd:
			if p.inGroup {
				return syntax("group without its semicolon")
			}
			return p.endElement()
		case ',':
			err = p.endElement()
		case ':':
			err = p.beginGroup()
		case ';':
			err = p.endGroup()
		case '<':
			err = p.angle()
		default:
			p.words = append(p.words, tok)
		}
		if err != nil {
			return err
		}
	}
}

// endElement ends an element that had no angle brackets: an addr-spec, a local
// part alone, or nothing (RFC 5322, section 4.4: obs-mbox-list).
func (p *listParser) endElement() error {
	words := p.words
	p.words = p.words[:0]
	if len(words) == 0 {
		return nil
	}
	return p.add(words, untrusted.Text{})
}

func (p *listParser) beginGroup() error {
	if p.inGroup {
		return syntax("group within a group")
	}
	if _, err := phrase(p.words); err != nil || len(p.words) == 0 {
		return syntax("group without a name")
	}
	p.inGroup = true
	p.words = p.words[:0]
	return nil
}

func (p *listParser) endGroup() error {
	if !p.inGroup {
		return syntax("semicolon outside of a group")
	}
	if err := p.endElement(); err != nil {
		return err
	}
	p.inGroup = false
	return p.afterElement()
}

// afterElement looks that a comma, a semicolon or the end follows what can
// have nothing else after it.
func (p *listParser) afterElement() error {
	tok, err := p.lex.peek()
	if err != nil {
		return err
	}
	switch tok.kind {
	case tokenEnd, ',', ';':
		return nil
	}
	return syntax("text after an address")
}

// angle reads the rest of [display-name] "<" [route] addr-spec ">".
func (p *listParser) angle() error {
	name, err := phrase(p.words)
	if err != nil {
		return err
	}
	p.words = p.words[:0]
	for {
		tok, err := p.lex.next()
		if err != nil {
			return err
		}
		switch tok.kind {
		case '>':
			words := p.words
			p.words = p.words[:0]
			if err := p.add(words, name); err != nil {
				return err
			}
			return p.afterElement()
		case ':':
			if err := checkRoute(p.words); err != nil {
				return err
			}
			p.words = p.words[:0]
		case ',':
			p.words = append(p.words, tok) // only a route has commas; add refuses it
		case tokenEnd, ';', '<':
			return syntax("angle bracket without its pair")
		default:
			p.words = append(p.words, tok)
		}
	}
}

// checkRoute looks at what stands before the colon in angle brackets: domains
// with @ before them and commas between (RFC 5322, section 4.4: obs-route).
func checkRoute(words []token) error {
	hops := 0
	for i := 0; i < len(words); {
		if words[i].kind == ',' {
			i++
			continue
		}
		if words[i].kind != '@' {
			return syntax("bad source route")
		}
		end := i + 1
		for end < len(words) && words[end].kind != ',' {
			end++
		}
		if _, err := domainOf(words[i+1 : end]); err != nil {
			return err
		}
		i = end
		hops++
	}
	if hops == 0 {
		return syntax("bad source route")
	}
	return nil
}

// add makes an entry of the words of an addr-spec.
func (p *listParser) add(words []token, name untrusted.Text) error {
	if len(p.out) == MaxListAddresses {
		return syntax("more than %d addresses", MaxListAddresses)
	}
	if len(words) == 0 {
		return syntax("empty angle brackets")
	}
	at := len(words)
	for i, w := range words {
		if w.kind == '@' {
			at = i
			break
		}
	}
	local, err := localOf(words[:at])
	if err != nil {
		return err
	}
	domain := ""
	if at < len(words) {
		if domain, err = domainOf(words[at+1:]); err != nil {
			return err
		}
	}
	a, err := New(local, domain)
	if err != nil {
		return err
	}
	p.out = append(p.out, ListEntry{
		Address: a, Name: name,
		Start: words[0].start, End: words[len(words)-1].end,
	})
	return nil
}

// localOf joins word *("." word) (RFC 5322, section 4.4: obs-local-part).
func localOf(words []token) (string, error) {
	return dotted(words, func(t token) bool { return t.kind == tokenAtom || t.kind == tokenQuoted })
}

// domainOf joins atom *("." atom), or takes an address literal.
func domainOf(words []token) (string, error) {
	if len(words) == 1 && words[0].kind == tokenLiteral {
		return words[0].value, nil
	}
	domain, err := dotted(words, func(t token) bool { return t.kind == tokenAtom })
	if err == nil {
		_, err = canonicalDomain(domain)
	}
	return domain, err
}

// dotted joins words and the dots between them. Two words without a dot are
// not one local part: "John Smith" is a name.
func dotted(words []token, allowed func(token) bool) (string, error) {
	if len(words) == 0 {
		return "", syntax("empty local part or domain")
	}
	var b strings.Builder
	for i, w := range words {
		if isDot := w.kind == '.'; isDot != (i%2 == 1) || !isDot && !allowed(w) {
			return "", syntax("words that make no address")
		}
		b.WriteString(w.value)
	}
	if len(words)%2 == 0 {
		return "", syntax("address ends in a dot")
	}
	return b.String(), nil
}

// phrase joins the words of a display name or a group's name; dots may be in
// it (RFC 5322, section 4.1: obs-phrase). White space counts as one space.
func phrase(words []token) (untrusted.Text, error) {
	var b strings.Builder
	for i, w := range words {
		if w.kind != tokenAtom && w.kind != tokenQuoted && w.kind != '.' {
			return untrusted.Text{}, syntax("bad display name")
		}
		if i > 0 && w.start > words[i-1].end {
			b.WriteByte(' ')
		}
		b.WriteString(w.value)
	}
	return untrusted.From(b.String()), nil
}
