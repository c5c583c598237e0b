package qmgr

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

// asked is who was made happy when: the rate of ETRN is kept here, as smtpd has many
// processes in its life and talks to strangers.
type asked map[asker]time.Time

type asker struct {
	client     netip.Addr
	domain     string
	subdomains bool
}

// mayAsk tells whether somebody may ask again, and notes that he did.
func (a asked) mayAsk(who asker, now time.Time) bool {
	for k, at := range a {
		if age := now.Sub(at); age >= proto.TurnPause || age < -clockSlack {
			delete(a, k)
		}
	}
	if _, just := a[who]; just || len(a) >= proto.TurnsAtATime {
		return false
	}
	a[who] = now
	return true
}

// handleTurn takes what smtpd has to say, which is one thing: a site has come back.
func (q *Manager) handleTurn(_ context.Context, call *ipc.Call) {
	var m proto.Turn
	if err := call.Decode(&m); err != nil {
		return
	}
	done := q.turn(&m)
	call.Reply(&done)
}

// turn makes due what waits for a domain, as the administrator's retry would: whatever
// is known of its hosts, as they have just shown that they are there. What is held stays
// held, and what a standing order keeps dispatch puts back.
func (q *Manager) turn(m *proto.Turn) proto.Turned {
	if len(q.settings.Load().ETRN) == 0 {
		return proto.Turned{State: proto.TurnRefused}
	}
	q.mu.Lock()
	now := q.now()
	if !q.asked.mayAsk(asker{m.Client.Unmap(), m.Domain, m.Subdomains}, now) {
		q.mu.Unlock()
		return proto.Turned{State: proto.TurnTooSoon}
	}
	done := q.sched.turn(m, now)
	q.mu.Unlock()
	done.State = proto.TurnStarted
	if !q.loaded.Load() {
		done.State = proto.TurnUnknown
	}
	domain := m.Domain
	if m.Subdomains {
		domain = "@" + domain
	}
	q.log.Emit(event.Turn{Client: m.Client.String(), Domain: domain, Count: int(done.Count)})
	q.kick()
	return done
}

// turn makes entries due whose next hop is a domain.
func (q *schedule) turn(m *proto.Turn, now time.Time) (done proto.Turned) {
	seen := map[string]bool{} // a million messages wait for a few next hops
	for e := range q.all.after(0) {
		is, known := seen[e.nextHop]
		if !known {
			is = hopIs(e.nextHop, m)
			seen[e.nextHop] = is
		}
		switch {
		case !is:
		case e.state == active:
			done.UnderWay++
		case e.state == waiting && !e.early(now):
			done.Count++
			e.now = true
			if !e.parked { // else it is due, and waits for its turn
				e.due = min(e.due, now.UnixMilli())
				q.place(e)
			}
		}
	}
	return done
}

// hopIs tells whether a next hop is the domain: its name, or that of a host that a
// router names in its place.
func hopIs(hop string, m *proto.Turn) bool {
	for word := range strings.FieldsSeq(hop) {
		name, _, _ := strings.Cut(strings.ToLower(word), ":") // a port
		if a, err := mailaddr.New("x", name); err == nil {
			if ascii, err := a.ASCIIDomain(); err == nil {
				name = ascii
			}
		}
		if name == m.Domain || m.Subdomains && strings.HasSuffix(name, "."+m.Domain) {
			return true
		}
	}
	return false
}
