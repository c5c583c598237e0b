package event

import (
	"filbert/pkg/mailaddr"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// Rewritten: a [[rewrite]] rule changed an address, or could not. Emitted by
// cleanup where log.rewrites asks for it or cleanup is debugged.
type Rewritten struct {
	about
	Rule   string
	Source string // envelope-sender, from ...
	Old    mailaddr.Address
	New    mailaddr.Address // null: it stays
	Why    string           // why it stays
	More   int              // how many lines for this message are not written
}

// RewrittenOf starts a Rewritten event.
func RewrittenOf(id queueid.ID) Rewritten { return Rewritten{about: about{id}} }

// Verb is "rewritten".
func (Rewritten) Verb() string { return "rewritten" }

// Fields adds rule, source, old, new, why, more.
func (e Rewritten) Fields(f *Fields) {
	f.Word("rule", e.Rule)
	f.Word("source", e.Source)
	f.Addr("old", e.Old)
	if !e.New.IsNull() {
		f.Addr("new", e.New)
	}
	f.Text("why", untrusted.From(e.Why))
	f.Int("more", int64(e.More))
}
