package dispatch

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"filbert/pkg/pace"
)

// chooseSource says which addresses a job's connections come from, where the transport has
// several of a family, or warms up only some of those it has. The same sender's mail to the
// same destination comes from the same address, as far as its rate allows: servers judge an
// address by what it sends. Where a rate is used up the next one has a turn, unless the host
// is not due for what comes from it; behind a pause it has not, as going on from another
// address would only evade what the server has asked for.
func (d *Dispatcher) chooseSource(f *flight, j *job) {
	t := d.settings.Load().Transports[j.transport]
	families := sourcesOf(&t)
	differ := d.limits.sourcesDiffer(j.dest)
	if len(families[0]) < 2 && len(families[1]) < 2 && !differ {
		return // smtp-client knows
	}
	first := j.leaves[0]
	hosts := f.leaves[first].Hosts
	paced := 0 // the family whose address counts: that of the first host
	if len(hosts) > 0 {
		paced = familyOf(hosts[0].Addr.Addr())
	}
	about := sourceTurn(j.dest, j.sender)
	for n, list := range families {
		if len(list) == 0 {
			continue
		}
		list = inTurn(list, about)
		chosen := list[0]
		if n == paced && (len(list) > 1 || differ) {
			for _, a := range list {
				key := j.dest
				if key.source = a.String(); !d.limits.usedUp(key) && (a == chosen || len(hosts) == 0 || !d.refusedFrom(f, first, &hosts[0], a)) {
					chosen = a
					break
				}
			}
			j.dest.source = chosen.String()
		}
		j.sources = append(j.sources, chosen)
	}
}

// inTurn orders addresses by what a text says to each: with another address in the list, or
// one less, the others keep what they had.
func inTurn(list []netip.Addr, about string) []netip.Addr {
	weight := func(a netip.Addr) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(a.String() + "\x00" + about))
		return mix(h.Sum64())
	}
	return slices.SortedFunc(slices.Values(list), func(x, y netip.Addr) int {
		return cmp.Or(cmp.Compare(weight(y), weight(x)), x.Compare(y))
	})
}

// mix spreads a sum whose inputs differ little.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// sourcesDiffer tells whether some source addresses have another rate than others.
func (l *limits) sourcesDiffer(key destKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.policyLocked(key).SourcesDiffer()
}

// usedUp tells whether the rate of a destination has no room now.
func (l *limits) usedUp(key destKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, d := l.policyLocked(key), l.dests[key]
	if p == nil || d == nil {
		return false
	}
	hold, _ := d.pace.Look(p, l.now())
	return hold == pace.ByRate
}
