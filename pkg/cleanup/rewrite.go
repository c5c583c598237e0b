package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/oldaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/queueid"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// maxRewriteLines bounds what one message may write into the log: its header
// can have thousands of addresses.
const maxRewriteLines = 100

// addressRules is what the settings say of addresses, compiled.
type addressRules struct {
	rewrite *rewrite.Rules
	syntax  oldaddr.Syntax
	local   pattern.Asking // the domains for which syntax counts
	copies  []copyRule
}

// configure takes settings into force, with what they say of addresses compiled.
func (c *Cleanup) configure(s *settings.Settings) error {
	var (
		r   addressRules
		err error
	)
	if r.rewrite, err = rewrite.Compile(s.Rewrites, s.Transports); err != nil {
		return fmt.Errorf("take the settings: %w", err)
	}
	if r.syntax, err = oldaddr.Parse(s.Domains.Syntax); err != nil {
		return fmt.Errorf("take the settings: %w", err)
	}
	local := s.Domains.Local
	if len(local) == 0 {
		local = []string{s.Hostname, "localhost"}
	}
	if r.local, err = pattern.CompileAsking(local, pattern.Domains); err != nil {
		return fmt.Errorf("take the settings: domains.local: %w", err)
	}
	if r.copies, err = compileCopies(s.Copies); err != nil {
		return fmt.Errorf("take the settings: %w", err)
	}
	c.rules.Store(&r)
	c.settings.Store(s)
	return nil
}

// rewriting is what the rules do to one message.
type rewriting struct {
	set   rewrite.Set
	rules *addressRules
	old   bool        // other ways of writing recipients are understood
	ask   rewrite.Ask // nil where nothing has to be asked
	id    queueid.ID
	utf8  bool              // an address came in that only RFC 6531 can carry
	tells bool              // the log is asked for
	told  []event.Rewritten // for the log, once the message is ours
	more  int               // beyond maxRewriteLines
}

func (c *Cleanup) rewritingOf(v *envelope.Envelope) rewriting {
	origin := rewrite.Origin{Listener: v.Client.Port, Client: v.Client.Addr}
	switch v.Source {
	case envelope.FromLocal:
		origin = rewrite.Origin{Listener: rewrite.DoorSendmail}
	case envelope.FromBounce:
		origin = rewrite.Origin{Listener: rewrite.DoorReports}
	}
	rules := c.rules.Load()
	return rewriting{
		set: rules.rewrite.For(origin), rules: rules, id: v.ID,
		// smtpd has seen to its recipients before it decided about relaying; a report
		// goes to an address that has been one already.
		old:   v.Source == envelope.FromLocal && !rules.syntax.None(),
		tells: c.settings.Load().Log.Rewrites || c.log.Debugging(),
	}
}

// asks tells whether lookups may have to be asked.
func (w *rewriting) asks() bool {
	return len(w.set.Lookups()) > 0 || w.old && len(w.rules.local.Lookups()) > 0 ||
		slices.ContainsFunc(w.rules.copies, func(r copyRule) bool { return r.asks() })
}

// note remembers a step that the log may tell of.
func (w *rewriting) note(s rewrite.Step) {
	switch s.Verdict {
	case rewrite.Changed:
		w.utf8 = w.utf8 || !isASCII(s.New.Local())
	case rewrite.Failed, rewrite.Endless:
	default:
		return
	}
	switch {
	case !w.tells:
	case len(w.told) == maxRewriteLines:
		w.more++
	default:
		ev := event.RewrittenOf(w.id)
		ev.Rule, ev.Source, ev.Old, ev.New, ev.Why = s.Rule, s.Source, s.Old, s.New, s.Why
		w.told = append(w.told, ev)
	}
}

// rewriteHeader gives text with the addresses of its header h rewritten; text
// itself where no rule changes one.
func (c *Cleanup) rewriteHeader(s *submission, h message.Header, text []byte) ([]byte, *refusal) {
	out, err := s.rewriting.set.Header(h, text, int(c.settings.Load().Limits.HeaderSize), s.rewriting.note)
	if err != nil {
		return nil, c.unrewritten(s, err)
	}
	return out, nil
}

// rewriteAdded does the same for the fields that we have added: a From field
// made of the envelope is one like others.
func (c *Cleanup) rewriteAdded(s *submission, add []byte) ([]byte, *refusal) {
	if s.fill != completeHeader {
		return add, nil
	}
	h, err := message.Scan(add, message.DefaultLimits())
	if err != nil {
		return add, nil
	}
	return c.rewriteHeader(s, h, add)
}

// rewriteEnvelope comes last, when all that is said of the envelope as it came
// (Received) has been said.
func (c *Cleanup) rewriteEnvelope(s *submission) *refusal {
	v, w := s.env, &s.rewriting
	if w.old {
		if err := w.oldRecipients(v); err != nil {
			return c.unrewritten(s, err)
		}
	}
	if w.set.Envelope() {
		if err := w.envelope(v); err != nil {
			return c.unrewritten(s, err)
		}
	}
	v.UTF8 = v.UTF8 || w.utf8
	return nil
}

// oldRecipients puts the addresses that recipients mean in their places. What is in
// doubt stays: directors know no such user, and the report says so to the sender.
func (w *rewriting) oldRecipients(v *envelope.Envelope) error {
	for i := range v.Recipients {
		r := &v.Recipients[i]
		meant, err := w.rules.syntax.Meant(r.Address, w.isLocal)
		if errors.Is(err, oldaddr.ErrDoubtful) {
			continue
		}
		if err != nil {
			return fmt.Errorf("whether a domain is ours: %w", err)
		}
		if meant != r.Address {
			keepOriginal(r, r.Address)
			r.Address = meant
		}
	}
	return nil
}

// isLocal tells whether a domain is ours; a bare address is of this machine.
func (w *rewriting) isLocal(domain string) (bool, error) {
	if domain == "" {
		return true, nil
	}
	yes, _, err := w.rules.local.Match(context.Background(), domain, func(_ context.Context, lookup, key string) (bool, error) {
		_, found, err := w.ask(lookup, key)
		return found, err
	})
	return yes, err
}

func (w *rewriting) envelope(v *envelope.Envelope) (err error) {
	if v.Sender, err = w.set.Apply(rewrite.EnvelopeSender, v.Sender, w.note); err != nil {
		return fmt.Errorf("envelope sender: %w", err)
	}
	for i := range v.Recipients {
		r := &v.Recipients[i]
		old := r.Address
		if r.Address, err = w.set.Apply(rewrite.EnvelopeRecipients, old, w.note); err != nil {
			return fmt.Errorf("envelope recipients: %w", err)
		}
		if r.Address != old {
			keepOriginal(r, old)
		}
	}
	return nil
}

// keepOriginal lets reports name the recipient as its sender knows it. Who
// relays may say so where the client did not (RFC 3461, section 5.2.1).
func keepOriginal(r *envelope.Recipient, old mailaddr.Address) {
	if !r.Orig.IsEmpty() {
		return
	}
	r.OrigType, r.Orig = "rfc822", untrusted.From(old.String())
	if old.NeedsUTF8() {
		r.OrigType = "utf-8" // RFC 6533, section 3
	}
}

// tellRewrites writes what the log was asked for.
func (c *Cleanup) tellRewrites(w *rewriting) {
	if n := len(w.told); n > 0 {
		w.told[n-1].More = w.more
	}
	for _, ev := range w.told {
		c.log.Emit(ev)
	}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
