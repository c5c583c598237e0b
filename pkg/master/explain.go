package master

import (
	"fmt"
	"strings"

	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

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
	if l.User != nil {
		out.User = l.User.Name
	}
	for _, h := range l.Hosts {
		out.Hosts = append(out.Hosts, hostText(h))
	}
	return out
}
