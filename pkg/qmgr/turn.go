package qmgr

import (
	"context"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

// asked is who was made happy when: the rate of ETRN is kept here, as smtpd has many
// processes in its life and talks to strangers.
type asked struct {
	at   map[asker]time.Time
	rest time.Time // before it nobody is heard
}

type asker struct {
	client     netip.Addr
	domain     string
	subdomains bool
}

// mayAsk tells whether somebody may ask again, and notes that he did.
func (a *asked) mayAsk(who asker, now time.Time) bool {
	for k, at := range a.at {
		if age := now.Sub(at); age >= proto.TurnPause || age < -clockSlack {
			delete(a.at, k)
		}
	}
	rests := now.Before(a.rest) && a.rest.Sub(now) <= proto.TurnPause // else the clock was set back
	if _, just := a.at[who]; just || rests || len(a.at) >= proto.TurnsAtATime {
		return false
	}
	a.at[who] = now
	return true
}

// turnShare is what part of the time may go into looking for who asks: everybody else waits
// meanwhile, and a million messages may have as many next hops.
const turnShare = 20

// looked has all who ask wait for as long as what was looked for at began was worth.
func (a *asked) looked(began, ended time.Time) {
	a.rest = ended.Add(min((turnShare-1)*ended.Sub(began), proto.TurnPause))
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
	q.asked.looked(now, q.now())
	q.mu.Unlock()
	if done.State == proto.TurnTooSoon {
		return done
	}
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

// turn makes entries due whose next hop is a domain. It does that for one next hop once in
// TurnPause, in whosever name smtpd asks: else whoever has taken it over could have the
// mail for a large provider tried ten times a second.
func (q *schedule) turn(m *proto.Turn, now time.Time) (done proto.Turned) {
	just := false
	for _, h := range q.hops {
		if !hopIs(h.name, m) {
			continue
		}
		if age := now.Sub(h.turned.time()); age < proto.TurnPause && age >= -clockSlack {
			just = true
			continue
		}
		h.turned = secondsOf(now.Unix())
		for _, e := range h.entries {
			q.turnOne(e, now, &done)
		}
	}
	done.State = proto.TurnStarted
	if just && done.Count+done.UnderWay == 0 {
		done.State = proto.TurnTooSoon
	}
	return done
}

func (q *schedule) turnOne(e *entry, now time.Time, done *proto.Turned) {
	switch {
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

// hopIs tells whether a next hop is the domain: its name, or that of a host that a
// router names in its place, or the address of the machine that asks.
func hopIs(hop string, m *proto.Turn) bool {
	for word := range strings.FieldsSeq(hop) {
		name, literal := hostIn(word)
		if literal && isAddr(name, m.Client) {
			return true
		}
		name = inASCII(strings.ToLower(name))
		if name == m.Domain || m.Subdomains && strings.HasSuffix(name, "."+m.Domain) {
			return true
		}
	}
	return false
}

// hostIn is the host of "host", "host:port", "[host]:port" and "[address]:port"
// (route.Spec), and whether it stands in brackets.
func hostIn(word string) (name string, literal bool) {
	if inner, is := strings.CutPrefix(word, "["); is {
		name, _, _ = strings.Cut(inner, "]")
		return name, true
	}
	name, _, _ = strings.Cut(word, ":")
	return name, false
}

func isAddr(text string, client netip.Addr) bool {
	const tag = "ipv6:" // in the domain of a recipient
	if len(text) > len(tag) && strings.EqualFold(text[:len(tag)], tag) {
		text = text[len(tag):]
	}
	a, err := netip.ParseAddr(text)
	return err == nil && a.Unmap() == client.Unmap()
}

// inASCII is a name with A-labels. Most are: it is asked of a million.
func inASCII(name string) string {
	if strings.IndexFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return name
	}
	if a, err := mailaddr.New("x", name); err == nil {
		if ascii, err := a.ASCIIDomain(); err == nil {
			return ascii
		}
	}
	return name
}
