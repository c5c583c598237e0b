package proto

import (
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// The arrow to what only a user himself may read, and to programs that direct
// and route: router -> local-deliver.
//
//	1. C: ForwardQuery    the forward file of a user, for a director
//	2. S: ForwardAnswer   its text, or that there is none, or why nobody can say
//
//	1. C: ConsultQuery    the program of a director or router, about an address
//	2. S: ConsultAnswer   what it printed
//
// Which file and which program local-deliver takes from its own settings, by the
// name of the director or router; what it is told is only about whom. The work is
// done by a child that is the user. Who may call: router.

// ForwardQuery asks for a user's forward file.
type ForwardQuery struct {
	Director string // its name in the settings
	User     string // account
	Detail   string // what followed the separator, for {detail} in the file's name
	// Home is the user's home in an instance that is not separated, where nobody
	// changes user and names are only names. In a separated one it is not looked at:
	// the account's home counts.
	Home string
}

// Kind is KindForward.
func (*ForwardQuery) Kind() uint16 { return KindForward }

// EncodeTo appends the message.
func (m *ForwardQuery) EncodeTo(e *wire.Encoder) {
	e.String(m.Director)
	e.String(m.User)
	e.String(m.Detail)
	encodeWords(e, m.Home, maxTrace)
}

// DecodeFrom reads it.
func (m *ForwardQuery) DecodeFrom(d *wire.Decoder) {
	m.Director = d.String(maxName)
	m.User = d.String(maxName)
	m.Detail = d.String(maxName)
	m.Home = d.String(maxTrace)
}

// MaxForward bounds a forward file, with the files that it includes.
const MaxForward = 256 << 10

// ForwardAnswer is the file, if there is one.
type ForwardAnswer struct {
	Found bool
	Path  string         // for people
	Text  untrusted.Text // of the file
	// Includes are the files that it names with :include:, read likewise, where
	// the director allows that.
	Includes []Included
	// Trouble says why it can't be used at the moment: no home directory, an owner or
	// mode that lets others write it, a link, no answer in time. "" = none.
	Trouble string
	// Why says why there is none, where that is not just that the file is absent: an
	// account of uid 0, no such account, no detail for its name. "" = it is absent.
	Why string
}

// Included is a file that a forward file includes.
type Included struct {
	Path string
	Text untrusted.Text
}

// Kind is KindForwarded.
func (*ForwardAnswer) Kind() uint16 { return KindForwarded }

// EncodeTo appends the message.
func (m *ForwardAnswer) EncodeTo(e *wire.Encoder) {
	e.Bool(m.Found)
	encodeWords(e, m.Path, maxTrace)
	e.String(m.Text.Clip(MaxForward).ForWire())
	e.Count(len(m.Includes))
	for _, in := range m.Includes {
		encodeWords(e, in.Path, maxTrace)
		e.String(in.Text.Clip(MaxForward).ForWire())
	}
	encodeWords(e, m.Trouble, maxWords)
	encodeWords(e, m.Why, maxWords)
}

// DecodeFrom reads it.
func (m *ForwardAnswer) DecodeFrom(d *wire.Decoder) {
	m.Found = d.Bool()
	m.Path = d.String(maxTrace)
	m.Text = untrusted.FromWire(d.String(MaxForward))
	m.Includes = make([]Included, d.Count(100, 8))
	for i := range m.Includes {
		m.Includes[i] = Included{Path: d.String(maxTrace), Text: untrusted.FromWire(d.String(MaxForward))}
	}
	m.Trouble = d.String(maxWords)
	m.Why = d.String(maxWords)
}

// ConsultQuery has a program asked about an address.
type ConsultQuery struct {
	Director string // the name of a command director, or ""
	Router   string // of a command router, or ""
	// What the placeholders of the command stand for.
	LocalPart, Domain, Detail, Sender, Recipient string
}

// Kind is KindConsult.
func (*ConsultQuery) Kind() uint16 { return KindConsult }

// EncodeTo appends the message.
func (m *ConsultQuery) EncodeTo(e *wire.Encoder) {
	for _, s := range []string{m.Director, m.Router, m.LocalPart, m.Domain, m.Detail, m.Sender, m.Recipient} {
		e.String(s)
	}
}

// DecodeFrom reads it.
func (m *ConsultQuery) DecodeFrom(d *wire.Decoder) {
	for _, s := range []*string{&m.Director, &m.Router, &m.LocalPart, &m.Domain, &m.Detail, &m.Sender, &m.Recipient} {
		*s = d.String(maxWords)
	}
}

// MaxConsulted bounds what a program may answer.
const MaxConsulted = 64 << 10

// ConsultAnswer is what the program printed. Where a part of the address cannot be
// given to a program (it would be taken for an option), Output is "fail" with the
// reason, as the program itself would say it.
type ConsultAnswer struct {
	Output untrusted.Text
	// Trouble says why there is no answer: it could not be run, ended with another
	// status than 0, took too long, printed too much. "" = none.
	Trouble string
}

// Kind is KindConsulted.
func (*ConsultAnswer) Kind() uint16 { return KindConsulted }

// EncodeTo appends the message.
func (m *ConsultAnswer) EncodeTo(e *wire.Encoder) {
	e.String(m.Output.Clip(MaxConsulted).ForWire())
	encodeWords(e, m.Trouble, maxWords)
}

// DecodeFrom reads it.
func (m *ConsultAnswer) DecodeFrom(d *wire.Decoder) {
	m.Output = untrusted.FromWire(d.String(MaxConsulted))
	m.Trouble = d.String(maxWords)
}
