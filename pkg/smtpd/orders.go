package smtpd

import (
	"sync"
	"time"

	"filbert/pkg/clock"
	"filbert/pkg/pace"
	"filbert/pkg/proto"
	rules "filbert/pkg/standing"
)

// orders are the administrator's standing orders, as far as they are about receiving mail.
// What expires does so without anybody telling.
type orders struct {
	mu    sync.Mutex
	set   *rules.Set
	timer *clock.Timer // at the next end of one
	level int          // percent of the limits that the load of the machine leaves; 0: all
}

// heed puts orders in force, in place of those before.
func (s *server) heed(list []proto.StandingOrder) {
	set, err := rules.Compile(list)
	if err != nil {
		s.trouble("obey the standing orders", err)
	}
	s.orders.mu.Lock()
	s.orders.set = set
	s.orders.mu.Unlock()
	s.resize()
}

// takeLoad puts in force what the load of the machine leaves of the limits.
func (s *server) takeLoad(level int) {
	s.orders.mu.Lock()
	s.orders.level = level
	s.orders.mu.Unlock()
	s.resize()
}

// suspended tells whether no mail is taken from other machines.
func (s *server) suspended() bool {
	s.orders.mu.Lock()
	set := s.orders.set
	s.orders.mu.Unlock()
	return !set.Empty() && set.Reception(s.clock.Now()) != nil
}

// resize puts the limits on connections in force that the configuration and orders give:
// again when one of these ends. An order can't have more than the configuration, as this
// process has no room for it.
func (s *server) resize() {
	o := &s.orders
	o.mu.Lock()
	defer o.mu.Unlock()
	now := s.clock.Now()
	for _, d := range s.doors {
		port := &d.site.Load().port
		most := port.MaxConnections
		for _, target := range []string{proto.TargetReceptions, proto.TargetReceptions + ":" + port.Name} {
			if n := o.set.Limit(target, now); n > 0 {
				most = min(n, port.MaxConnections)
			}
		}
		strangers := most
		if !port.Submission {
			strangers = pace.Part(most, pace.StrangersLevel(o.level))
		}
		d.ledger.resize(most, strangers, port.MaxPerClient)
	}
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	if end := o.set.NextEnd(now); !end.IsZero() {
		o.timer = s.clock.AfterFunc(max(end.Sub(now), time.Millisecond), s.resize)
	}
}

// forgetOrders ends the wait for the end of orders.
func (s *server) forgetOrders() {
	s.orders.mu.Lock()
	defer s.orders.mu.Unlock()
	if s.orders.timer != nil {
		s.orders.timer.Stop()
		s.orders.timer = nil
	}
}
