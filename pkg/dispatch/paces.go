package dispatch

import (
	"cmp"
	"fmt"
	"slices"

	"filbert/pkg/pace"
	"filbert/pkg/proto"
)

// paces tells of the destinations that something goes to or that are held up, those with
// the most to do first.
func (l *limits) paces() []proto.PaceRow {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []proto.PaceRow
	for _, d := range l.dests {
		if r := l.paceLocked(d); r.Deliveries > 0 || r.Waiting > 0 || r.Held != "" || r.Used > 0 {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(x, y proto.PaceRow) int {
		return cmp.Or(cmp.Compare(y.Deliveries+y.Waiting, x.Deliveries+x.Waiting), cmp.Compare(y.Held, x.Held),
			cmp.Compare(x.Destination, y.Destination), cmp.Compare(x.Transport, y.Transport), cmp.Compare(x.Source, y.Source))
	})
	return rows[:min(len(rows), proto.MaxPaceRows)]
}

func (l *limits) paceLocked(d *destPlaces) proto.PaceRow {
	r := proto.PaceRow{
		Transport: d.key.transport, Destination: d.key.name(), Source: d.key.source,
		Deliveries: d.used, Waiting: len(d.waiting), Allowed: l.perDest, Most: l.perDest,
	}
	p := l.policyLocked(d.key)
	if p == nil {
		return r
	}
	v := d.pace.View(p, l.now())
	r.Allowed, r.Most, r.Used, r.Rate = v.Width, v.Most, v.Used, v.Rate.String()
	if v.Days > 0 {
		r.WarmUp = fmt.Sprintf("day %d of %d", v.Day, v.Days)
	}
	switch v.Hold {
	case pace.ByPause:
		r.Held, r.Reply, r.Until = "pause", v.Reply.ForTerminal(), v.Until
	case pace.ByRate:
		r.Held, r.Until = "rate", v.Until
	}
	return r
}
