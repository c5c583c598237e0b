package proto

import "filbert/pkg/wire"

// The arrow that asks the tables of the configuration: smtpd (whose mail is
// taken), cleanup and smtp-client (what addresses become) and dispatch (which retry
// rule is for a failure) -> router; and master, on behalf of `mtactl lookup`.
//
//	1. C: LookupQuery    a key for a [lookup.NAME]
//	2. S: LookupAnswer   its values, or that there are none, or why that can't be
//	                     said at the moment
//
// router answers each caller only for the lookups that the settings which that
// caller reads name: what is in the others is none of its business. Who may call: smtpd,
// cleanup, smtp-client, dispatch, master.

// LookupQuery asks for the values of a key.
type LookupQuery struct {
	Name string // of the lookup
	Key  string
}

// Kind is KindLookup.
func (*LookupQuery) Kind() uint16 { return KindLookup }

// EncodeTo appends the message.
func (m *LookupQuery) EncodeTo(e *wire.Encoder) {
	e.String(m.Name)
	e.String(m.Key)
}

// DecodeFrom reads it.
func (m *LookupQuery) DecodeFrom(d *wire.Decoder) {
	m.Name = d.String(maxName)
	m.Key = d.String(maxWords)
}

// Bounds of an answer: those of pkg/lookup.
const (
	maxValues = 100_000
	maxValue  = 64 << 10
)

// LookupAnswer is what the lookup has.
type LookupAnswer struct {
	Found  bool
	Values []string
	// Trouble says why the lookup can't tell at the moment; "" = it could.
	Trouble string
	// Where is the line, server or statement that it came from, for people.
	Where string
}

// Kind is KindLookedUp.
func (*LookupAnswer) Kind() uint16 { return KindLookedUp }

// EncodeTo appends the message.
func (m *LookupAnswer) EncodeTo(e *wire.Encoder) {
	e.Bool(m.Found)
	e.Count(len(m.Values))
	for _, v := range m.Values {
		e.String(v)
	}
	encodeWords(e, m.Trouble, maxWords)
	encodeWords(e, m.Where, maxWords)
}

// DecodeFrom reads it.
func (m *LookupAnswer) DecodeFrom(d *wire.Decoder) {
	m.Found = d.Bool()
	m.Values = make([]string, d.Count(maxValues, 4))
	for i := range m.Values {
		m.Values[i] = d.String(maxValue)
	}
	m.Trouble = d.String(maxWords)
	m.Where = d.String(maxWords)
}
