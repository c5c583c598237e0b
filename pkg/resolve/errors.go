package resolve

import "fmt"

// Kind says why a lookup gave nothing.
type Kind uint8

// The kinds. The first two are facts about the name; with the others nothing
// is known about it.
const (
	NoName      Kind = iota + 1 // NXDOMAIN: the name does not exist
	NoData                      // it exists, without records of this type
	ServFail                    // the servers could not find out
	Refused                     // the servers would not say
	TimedOut                    // no answer in time
	Unreachable                 // no server could be asked
	BadAnswer                   // an answer that makes no sense: malformed, lame, an endless chain
	BadName                     // the question is no name that DNS can hold
)

var kindText = map[Kind]string{
	NoName:      "domain not found",
	NoData:      "no such record",
	ServFail:    "server failure",
	Refused:     "query refused",
	TimedOut:    "timed out",
	Unreachable: "no name server reachable",
	BadAnswer:   "malformed answer",
	BadName:     "not a domain name",
}

// String is the kind in a few words for people.
func (k Kind) String() string { return kindText[k] }

// Error is a lookup without result.
type Error struct {
	Name   string // what was asked
	Type   string // MX, A, AAAA, TXT, PTR
	Detail string // what was wrong with an answer, "" if nothing more is known
	kind   Kind
}

// Kind says which way it failed.
func (e *Error) Kind() Kind { return e.kind }

// Temporary reports whether asking again later may give another result.
func (e *Error) Temporary() bool {
	return e.kind != NoName && e.kind != NoData && e.kind != BadName
}

// Error names the question and the failure. The text holds nothing that a
// server chose.
func (e *Error) Error() string {
	if e.Detail != "" {
		return fmt.Sprintf("look up %s of %s: %s: %s", e.Type, e.Name, e.kind, e.Detail)
	}
	return fmt.Sprintf("look up %s of %s: %s", e.Type, e.Name, e.kind)
}
