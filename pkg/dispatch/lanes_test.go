package dispatch

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
)

func jobsTo(places ...string) []job {
	out := make([]job, len(places))
	for i, p := range places {
		out[i] = job{dest: at("smtp", p)}
	}
	return out
}

func TestLanesTakeTurnsWithinTheLimit(t *testing.T) {
	l := newLanes(jobsTo("x", "x", "x", "x", "y", "x"), 2)
	var begun []int
	for {
		i, ok := l.next()
		if !ok {
			break
		}
		begun = append(begun, i)
	}
	if !slices.Equal(begun, []int{0, 4, 1}) {
		t.Fatalf("began %v", begun)
	}
	l.ended(4)
	if _, ok := l.next(); ok {
		t.Error("a third job for x when y has ended")
	}
	l.ended(1)
	if i, ok := l.next(); !ok || i != 2 {
		t.Errorf("after one has ended: %d, %v", i, ok)
	}
}

func TestEveryJobHasItsTurnOnce(t *testing.T) {
	var places []string
	for i := range 500 {
		places = append(places, fmt.Sprint(i%7))
	}
	l := newLanes(jobsTo(places...), 3)
	seen := make([]bool, len(places))
	var running []int
	for n := 0; ; n++ {
		if i, ok := l.next(); ok {
			if seen[i] {
				t.Fatalf("job %d twice", i)
			}
			seen[i] = true
			running = append(running, i)
			continue
		}
		if len(running) == 0 {
			break
		}
		at := n * 31 % len(running)
		l.ended(running[at])
		running = slices.Delete(running, at, at+1)
	}
	if slices.Contains(seen, false) {
		t.Error("a job was forgotten")
	}
}

// gauge counts how many transactions of one next hop are made at a time.
type gauge struct {
	mu        sync.Mutex
	now, most int
	other     chan struct{} // closed when another next hop has its turn; the one waits for it
}

func (g *gauge) agent(t *testing.T, sends caller, hop string) agent {
	return func(req, reply ipc.Message) error {
		to := req.(*proto.RemoteJob).NextHop
		g.mu.Lock()
		if to == hop {
			g.now++
			g.most = max(g.most, g.now)
		} else {
			close(g.other)
		}
		g.mu.Unlock()
		select {
		case <-g.other:
		case <-time.After(10 * time.Second):
			t.Error("the other host waits for this one")
		}
		err := sends.Call(t.Context(), req, reply)
		g.mu.Lock()
		if to == hop {
			g.now--
		}
		g.mu.Unlock()
		return err
	}
}

// A list whose members each have a sender of their own (VERP) is a transaction for
// each of them.
func TestManySendersToOneHostKeepToItsLimit(t *testing.T) {
	r := newRig(t)
	s := *r.d.settings.Load()
	s.Limits.PerDestination, s.Limits.Deliveries = 3, 50
	r.d.settings.Store(&s)
	r.d.limits.apply(&s)
	r.route = func(rc envelope.Recipient) []proto.Leaf {
		if rc.Address.Local() != "list" {
			return r.remoteRoute(rc)
		}
		var out []proto.Leaf
		for i := range 1000 {
			from := mailaddr.MustParse(fmt.Sprintf("owner-list+m%d=x.example@example.org", i))
			child := envelope.Recipient{Address: mailaddr.MustParse(fmt.Sprintf("m%d@x.example", i)), ErrorsTo: &from}
			out = append(out, proto.Leaf{Recipient: child, Expanded: true, Transport: "smtp", NextHop: "x.example"})
		}
		return out
	}
	g := &gauge{other: make(chan struct{})}
	r.d.remote = g.agent(t, r.d.remote, "x.example")
	got := r.first(r.accept("list@example.org", "last@y.example"))
	senders := map[mailaddr.Address]bool{}
	for _, j := range r.jobs {
		senders[j.Sender] = true
	}
	if got.State != proto.SettledGone || len(senders) != 1001 || len(r.jobs) != 1001 {
		t.Errorf("state %d, %d senders, %d transactions", got.State, len(senders), len(r.jobs))
	}
	if g.most > 3 {
		t.Errorf("%d at a time for one host", g.most)
	}
}
