package mtactl

import (
	"fmt"

	"filbert/pkg/callout"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/untrusted"
)

// calloutFacts is what a server said of an address, for people.
func calloutFacts(r *callout.Record) []string {
	o := &r.Outcome
	server := o.Remote
	if server == "" {
		server = r.Servers
	}
	if server == "" {
		server = "behind transport " + r.Transport
	}
	at := clock(r.Asked)
	switch {
	case r.Local == "" && r.AcceptsAll:
		return []string{fmt.Sprintf("the server %s would have taken mail for an address that nobody can have, at %s", show(server), at)}
	case r.Local == "":
		return []string{fmt.Sprintf("the server %s was seen at %s to tell addresses apart", show(server), at)}
	case o.Class == outcome.Delivered:
		return []string{fmt.Sprintf("the server %s would have taken mail for it at %s", show(server), at)}
	}
	line := fmt.Sprintf("the server %s refused it at %s", show(server), at)
	if o.Code != 0 {
		line += fmt.Sprintf(": %d", o.Code)
	}
	if !o.Text.IsEmpty() {
		line += " " + o.Text.ForTerminal()
	}
	return []string{line}
}

func calloutConclusions(r *callout.Record) []string {
	until := " until " + clock(r.Expires) + ", as the configuration was then"
	switch {
	case r.AcceptsAll:
		return []string{"is not asked about any address" + until + ": what it says proves nothing"}
	case r.Local == "":
		return []string{"is asked about addresses alone, and not whether it takes all," + until}
	case r.Outcome.Class == outcome.Delivered:
		return []string{"is good, and the server is not asked again," + until}
	}
	return []string{"is no good address, and the server is not asked again," + until}
}

// memoryOfAddress shows what is known of an address: whether it failed, and what its
// server said of it or says of all of its domain.
func (a *app) memoryOfAddress(name string, asJSON bool) error {
	list, err := a.memoryRecords([]string{proto.MemoryAddress.String()}, name, mostRecords)
	if err != nil {
		return err
	}
	if addr, err := mailaddr.Parse(untrusted.From(name)); err == nil {
		of, err := a.memoryRecords([]string{proto.MemoryCallout.String()}, callout.DomainPrefix(addr.Domain()), mostRecords*mostRecords)
		if err != nil {
			return err
		}
		for i := range of {
			if r, ok := callout.Unmarshal(of[i].Value); ok && (r.Local == "" || r.Local == addr.Local()) {
				list = append(list, of[i])
			}
		}
	}
	return a.printMemory(list, asJSON)
}

// whatToForget is the order for a key that an administrator gives. Whole keys of
// call-outs are long: an address stands for all that was said of it, and a domain, with
// which the keys begin, for all that was said of its addresses.
func whatToForget(kind, key string, asPrefix bool) *proto.MemoryForget {
	if kind == proto.MemoryCallout.String() && !asPrefix && key != "" {
		if addr, err := mailaddr.Parse(untrusted.From(key)); err == nil {
			return &proto.MemoryForget{Kind: kind, Key: callout.KeyPrefix(addr), Prefix: true}
		}
		if addr, err := mailaddr.New("x", key); err == nil {
			return &proto.MemoryForget{Kind: kind, Key: callout.DomainPrefix(addr.Domain()), Prefix: true}
		}
	}
	return &proto.MemoryForget{Kind: kind, Key: key, Prefix: asPrefix}
}

// callout puts a record into words.
func (m *remembered) callout() {
	if r, ok := callout.Unmarshal(m.Value); ok {
		m.Name, m.Facts, m.Conclusions = r.Outcome.Remote, calloutFacts(r), calloutConclusions(r)
	}
}
