package router

import "filbert/pkg/proto"

// acceptor is the driver `accept`: it takes everyone whom its conditions let
// through.
type acceptor struct {
	rules    *rules
	director *director
}

func (a *acceptor) direct(_ *query, n *node) said {
	list := candidates(n.addr, a.director.set.Separator)
	return a.director.accept(a.rules, list[len(list)-1].detail, "it takes everyone")
}

// accept takes an address for the director's user; without one the transport
// says who delivers.
func (d *director) accept(r *rules, detail, why string) said {
	leaf := proto.Leaf{Transport: d.set.Transport, Detail: detail}
	if d.set.User != "" {
		leaf.User = r.actor(d.set.User, d.set.Group)
	}
	return said{decision: taken, leaf: leaf, why: why}
}
