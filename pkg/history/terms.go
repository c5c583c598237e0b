package history

import "strings"

// TermKind is one way of finding a message. The values are on disk.
type TermKind byte

// The ways.
const (
	BySender    TermKind = 's' // address, or "<>"
	ByRecipient TermKind = 'r' // address, as it was given or after expansion
	ByDomain    TermKind = 'd' // of a recipient
	ByHost      TermKind = 'h' // name or address of the server
	ByMessageID TermKind = 'm'
	ByClient    TermKind = 'c' // address that it came from
	ByUID       TermKind = 'u' // of the local user who submitted it, by the kernel's word
	ByLogin     TermKind = 'l'
)

// Term is what a message is found by: a kind, and a text in the one form that
// Normal gives it.
type Term struct {
	Kind TermKind
	Text string
}

// Normal is the form in which a text of this kind is kept and asked for: addresses
// without brackets, and all but message ids and logins in lower case, so
// that nobody has to know how a name was written.
func Normal(kind TermKind, text string) Term {
	switch kind {
	case BySender, ByRecipient:
		text = Path(text)
	case ByMessageID:
		return Term{kind, strings.Trim(text, "<>")}
	case ByLogin:
		return Term{kind, text}
	case ByDomain, ByHost:
		text = strings.TrimSuffix(text, ".")
	}
	return Term{kind, strings.ToLower(text)}
}

// Terms appends what an event adds to the ways of finding its message.
func Terms(list []Term, e *Event) []Term {
	for i := range e.Fields {
		f := &e.Fields[i]
		kind := kindOf(e.Verb, f.Key)
		if kind == 0 || f.Value == "" {
			continue
		}
		t := Normal(kind, f.Value)
		list = append(list, t)
		if kind == ByRecipient {
			if at := strings.LastIndexByte(t.Text, '@'); at >= 0 {
				list = append(list, Term{ByDomain, t.Text[at+1:]})
			}
		}
	}
	return list
}

func kindOf(verb, key string) TermKind {
	switch key {
	case "from":
		return BySender
	case "to":
		if verb != "reported" { // that is who the report went to
			return ByRecipient
		}
	case "orig":
		return ByRecipient
	case "host", "ip":
		return ByHost
	case "msgid":
		return ByMessageID
	case "client":
		return ByClient
	case "uid":
		if verb == "received" {
			return ByUID
		}
	case "login":
		return ByLogin
	}
	return 0
}

// Matches tells whether one of the events answers to a term.
func Matches(events []Event, t Term) bool {
	var room [8]Term
	for i := range events {
		for _, have := range Terms(room[:0], &events[i]) {
			if have == t {
				return true
			}
		}
	}
	return false
}
