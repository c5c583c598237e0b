package event

import "filbert/pkg/untrusted"

// Turn: a client asked for the mail that waits for its domain (ETRN), and what waits
// was made due. Emitted by qmgr.
type Turn struct {
	general
	Client string
	Domain string // with an @ in front: and for all below it
	Count  int    // messages
}

// Verb is "etrn".
func (Turn) Verb() string { return "etrn" }

// Fields adds client, domain, count.
func (e Turn) Fields(f *Fields) {
	f.Word("client", e.Client)
	f.Text("domain", untrusted.From(e.Domain))
	f.Int("count", int64(e.Count))
}
