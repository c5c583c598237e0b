package proto

import (
	"fmt"
	"net/netip"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// Route is what router is asked for an ExplainQuery.
func (q *ExplainQuery) Route() (*RouteQuery, error) {
	rcpt, err := mailaddr.ParseLocalOrMailbox(untrusted.From(q.Address))
	if err != nil {
		return nil, err
	}
	out := &RouteQuery{Recipients: []envelope.Recipient{{Address: rcpt}}, Explain: true}
	if q.Sender != "" && q.Sender != "<>" {
		if out.Sender, err = mailaddr.Parse(untrusted.From(q.Sender)); err != nil {
			return nil, err
		}
	}
	if out.Origin, err = q.origin(); err != nil {
		return nil, err
	}
	switch q.Verify {
	case "":
	case "route":
		out.Verify = VerifyRoute
	case "callout":
		out.Verify = VerifyCallout
	default:
		return nil, fmt.Errorf("verify: %q is neither route nor callout", q.Verify)
	}
	return out, nil
}

// origin is where the message of an ExplainQuery would come from.
func (q *ExplainQuery) origin() (Origin, error) {
	o := Origin{Source: envelope.FromLocal, Listener: q.Listener, Size: q.Size}
	if q.Client != "" {
		var err error
		if o.Client, err = netip.ParseAddr(q.Client); err != nil {
			return o, fmt.Errorf("client: %q is no IP address", q.Client)
		}
	}
	if q.Client != "" || q.Listener != "" {
		o.Source = envelope.FromSMTP
	}
	switch q.Source {
	case "":
	case "smtp":
		o.Source = envelope.FromSMTP
	case "local":
		o.Source = envelope.FromLocal
	case "bounce":
		o.Source = envelope.FromBounce
	default:
		return o, fmt.Errorf("source: %q is none of smtp, local, bounce", q.Source)
	}
	return o, nil
}

// Explained turns router's answer into the administrator's JSON.
func (m *RouteAnswer) Explained() *ExplainAnswer {
	out := &ExplainAnswer{}
	for _, s := range m.Trace {
		for _, text := range []*string{&s.Name, &s.Why} {
			*text = untrusted.From(*text).ForTerminal()
		}
		out.Trace = append(out.Trace, s)
	}
	for i := range m.Leaves {
		out.Leaves = append(out.Leaves, explainLeaf(&m.Leaves[i]))
	}
	return out
}

// hostText is "name[address]:port", or without a name the address alone.
func hostText(h Host) string {
	if strings.HasPrefix(h.Name, "[") {
		return h.Addr.String() // an address literal is no other name
	}
	return fmt.Sprintf("%s[%s]:%d", h.Name, h.Addr.Addr(), h.Addr.Port())
}

func explainLeaf(l *Leaf) ExplainLeaf {
	out := ExplainLeaf{
		Address:   untrusted.From(l.Recipient.Address.String()).ForTerminal(),
		Verdict:   "deliver",
		By:        l.By,
		Transport: l.Transport,
		NextHop:   l.NextHop,
	}
	switch l.Verdict.Class {
	case outcome.Delivered:
		out.Verdict = "discarded"
	case outcome.Failed, outcome.Deferred:
		out.Verdict = l.Verdict.Class.String()
		out.Reason = l.Verdict.Text.ForTerminal()
	}
	if l.Verdict.Class != 0 {
		out.Status = l.Verdict.Status.String()
	}
	if l.User != nil {
		out.User = l.User.Name
	} else {
		out.User = l.Recipient.User
	}
	if l.Recipient.ErrorsTo != nil {
		out.ErrorsTo = untrusted.From(l.Recipient.ErrorsTo.String()).ForTerminal()
	}
	if l.Edit != nil {
		out.HeadersAdd, out.HeadersRemove = l.Edit.Add, l.Edit.Remove
	}
	if l.Credentials != nil {
		out.Login = untrusted.From(l.Credentials.Username).ForTerminal()
	}
	switch out.Once = l.Once; l.Recipient.Kind {
	case envelope.TargetPipe:
		out.Target = untrusted.From("|" + l.Recipient.Target).ForTerminal()
	case envelope.TargetFile:
		out.Target = untrusted.From(l.Recipient.Target).ForTerminal()
	}
	for _, h := range l.Hosts {
		out.Hosts = append(out.Hosts, hostText(h))
	}
	return out
}
