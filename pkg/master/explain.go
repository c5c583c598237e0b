package master

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/service/admin"
	"filbert/pkg/untrusted"
)

// explainTimeout leaves time for the lookups that routing makes.
const explainTimeout = 60 * time.Second

func (m *Master) postExplain(w http.ResponseWriter, r *http.Request) {
	var q proto.ExplainQuery
	if err := admin.Decode(r, &q); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	query, err := routeQuery(&q)
	if err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	var answer proto.RouteAnswer
	if m.askRouter(w, r, query, &answer) {
		admin.Answer(w, http.StatusOK, explained(&answer))
	}
}

// postLookup asks a lookup for the administrator.
func (m *Master) postLookup(w http.ResponseWriter, r *http.Request) {
	var q proto.LookupQuestion
	if err := admin.Decode(r, &q); err != nil {
		admin.Fail(w, http.StatusBadRequest, err.Error(), "")
		return
	}
	m.mu.Lock()
	_, known := m.settings.Lookups[q.Name]
	m.mu.Unlock()
	if !known {
		admin.Fail(w, http.StatusNotFound, "there is no lookup "+untrusted.From(q.Name).ForTerminal(), "mtactl config show has all of them")
		return
	}
	var a proto.LookupAnswer
	if !m.askRouter(w, r, &proto.LookupQuery{Name: q.Name, Key: q.Key}, &a) {
		return
	}
	out := proto.LookupAnswered{Found: a.Found, Values: []string{}, Trouble: a.Trouble, Where: a.Where}
	for _, v := range a.Values {
		out.Values = append(out.Values, untrusted.From(v).ForTerminal())
	}
	admin.Answer(w, http.StatusOK, out)
}

// askRouter answers for router when it doesn't.
func (m *Master) askRouter(w http.ResponseWriter, r *http.Request, query, answer ipc.Message) bool {
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
	defer cancel()
	err := m.router.Call(ctx, query, answer)
	if err != nil {
		status := http.StatusBadGateway
		if errors.Is(err, context.DeadlineExceeded) {
			status = http.StatusGatewayTimeout
		}
		admin.Fail(w, status, "router: "+err.Error(), "see mtactl status")
	}
	return err == nil
}

// routeQuery is what router is asked for an ExplainQuery.
func routeQuery(q *proto.ExplainQuery) (*proto.RouteQuery, error) {
	rcpt, err := mailaddr.ParseLocalOrMailbox(untrusted.From(q.Address))
	if err != nil {
		return nil, err
	}
	out := &proto.RouteQuery{Recipients: []envelope.Recipient{{Address: rcpt}}, Explain: true}
	if q.Sender != "" && q.Sender != "<>" {
		if out.Sender, err = mailaddr.Parse(untrusted.From(q.Sender)); err != nil {
			return nil, err
		}
	}
	if out.Origin, err = originOf(q); err != nil {
		return nil, err
	}
	switch q.Verify {
	case "":
	case "route":
		out.Verify = proto.VerifyRoute
	case "callout":
		out.Verify = proto.VerifyCallout
	default:
		return nil, fmt.Errorf("verify: %q is neither route nor callout", q.Verify)
	}
	return out, nil
}

// originOf is where the message of an ExplainQuery would come from.
func originOf(q *proto.ExplainQuery) (proto.Origin, error) {
	o := proto.Origin{Source: envelope.FromLocal, Listener: q.Listener, Size: q.Size}
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

// explained turns router's answer into the administrator's JSON.
func explained(a *proto.RouteAnswer) *proto.ExplainAnswer {
	out := &proto.ExplainAnswer{}
	for _, s := range a.Trace {
		for _, text := range []*string{&s.Name, &s.Why} {
			*text = untrusted.From(*text).ForTerminal()
		}
		out.Trace = append(out.Trace, s)
	}
	for i := range a.Leaves {
		out.Leaves = append(out.Leaves, explainLeaf(&a.Leaves[i]))
	}
	return out
}

// hostText is "name[address]:port", or without a name the address alone.
func hostText(h proto.Host) string {
	if strings.HasPrefix(h.Name, "[") {
		return h.Addr.String() // an address literal is no other name
	}
	return fmt.Sprintf("%s[%s]:%d", h.Name, h.Addr.Addr(), h.Addr.Port())
}

func explainLeaf(l *proto.Leaf) proto.ExplainLeaf {
	out := proto.ExplainLeaf{
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
