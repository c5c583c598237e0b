package standing

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/route"
)

// Set is orders, compiled. A nil Set has none.
type Set struct {
	rules []rule
}

// rule is one order with its pattern.
type rule struct {
	proto.StandingOrder
	addresses *pattern.List // at most one of these
	names     *pattern.List
	networks  *pattern.List
}

// Where is a delivery that an order may be about.
type Where struct {
	Address   mailaddr.Address // the recipient's now
	Original  mailaddr.Address // as it was before aliases
	Remote    bool
	Transport string // "" = nobody would deliver it
	NextHop   string
	Hosts     []proto.Host
}

// Compile reads orders. The error tells of those that can't be read; the Set has the others.
func Compile(list []proto.StandingOrder) (*Set, error) {
	var errs []error
	s := &Set{}
	for i := range list {
		r, err := compile(&list[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("order %d: %w", list[i].Number, err))
			continue
		}
		s.rules = append(s.rules, *r)
	}
	return s, errors.Join(errs...)
}

// Check tells what is wrong with an order, in words for who gave it.
func Check(o *proto.StandingOrder) error {
	_, err := compile(o)
	return err
}

func compile(o *proto.StandingOrder) (*rule, error) {
	r := &rule{StandingOrder: *o}
	switch o.Kind {
	case proto.OrderHold:
		return r, r.matching(o.Target)
	case proto.OrderReroute:
		hosts := strings.Fields(o.To)
		if len(hosts) == 0 {
			return nil, errors.New("where to? name a host")
		}
		for _, h := range hosts {
			if _, err := route.ParseSpec(h); err != nil {
				return nil, err
			}
		}
		return r, r.matching(o.Target)
	case proto.OrderSuspend:
		if to, ok := strings.CutPrefix(o.Target, proto.TargetDestination); ok {
			return r, r.matching(to)
		}
		if name, ok := strings.CutPrefix(o.Target, proto.TargetTransport); ok && name != "" {
			return r, nil
		}
		switch o.Target {
		case proto.TargetAll, proto.TargetLocal, proto.TargetRemote, proto.TargetReception:
			return r, nil
		}
		return nil, fmt.Errorf("%q can't be suspended: say all, local, remote, reception, a transport or a destination", o.Target)
	case proto.OrderLimit:
		return r, checkLimit(o)
	}
	return nil, fmt.Errorf("there is no order %q", string(o.Kind))
}

// maxLimit is more than any process could have.
const maxLimit = 1_000_000

func checkLimit(o *proto.StandingOrder) error {
	listener, one := strings.CutPrefix(o.Target, proto.TargetReceptions+":")
	switch {
	case one && listener != "", o.Target == proto.TargetReceptions, o.Target == proto.TargetDeliveries, o.Target == proto.TargetLocal:
	default:
		return fmt.Errorf("there is no limit %q: say deliveries, local, receptions or receptions:LISTENER", o.Target)
	}
	if o.Value < 1 || o.Value > maxLimit {
		return fmt.Errorf("a limit is a number from 1 to %d; to have none at all, suspend them", maxLimit)
	}
	return nil
}

// matching compiles a target that is a pattern.
func (r *rule) matching(target string) error {
	kind, into := pattern.Domains, &r.names
	text := target
	if in, ok := strings.CutPrefix(target, "["); ok && strings.HasSuffix(in, "]") {
		text = strings.TrimPrefix(strings.TrimSuffix(in, "]"), "IPv6:")
		if _, err := netip.ParseAddr(text); err != nil {
			return fmt.Errorf("%q is no address", target)
		}
	}
	switch {
	case target == "":
		return errors.New("for whom? name an address, a domain or a host")
	case strings.Contains(target, "@"):
		kind, into = pattern.Addresses, &r.addresses
	case isNetwork(text):
		kind, into = pattern.Networks, &r.networks
	}
	l, err := pattern.CompileList([]string{text}, kind)
	if err != nil {
		return err
	}
	*into = &l
	return nil
}

func isNetwork(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(text)
	return err == nil
}

// Stops is the order that keeps a delivery from being tried now; nil = none.
func (s *Set) Stops(w *Where, now time.Time) *proto.StandingOrder {
	return s.first(now, func(r *rule) bool {
		switch r.Kind {
		case proto.OrderHold:
			return r.about(w)
		case proto.OrderSuspend:
			return r.suspends(w)
		}
		return false
	})
}

// Reroutes is the order that sends a delivery to other hosts; nil = none. Of several the
// one that was made last counts, as it is what somebody wants now.
func (s *Set) Reroutes(w *Where, now time.Time) *proto.StandingOrder {
	return s.last(now, func(r *rule) bool { return r.Kind == proto.OrderReroute && r.about(w) })
}

// AnyReroute tells whether there is an order that reroutes.
func (s *Set) AnyReroute(now time.Time) bool {
	return s.last(now, func(r *rule) bool { return r.Kind == proto.OrderReroute }) != nil
}

// Reception is the order that suspends the reception of mail; nil = none.
func (s *Set) Reception(now time.Time) *proto.StandingOrder {
	return s.first(now, func(r *rule) bool {
		return r.Kind == proto.OrderSuspend && r.Target == proto.TargetReception
	})
}

// Limit is what an order says of a limit, 0 when none does. The last one counts.
func (s *Set) Limit(target string, now time.Time) int {
	o := s.last(now, func(r *rule) bool { return r.Kind == proto.OrderLimit && r.Target == target })
	if o == nil {
		return 0
	}
	return o.Value
}

// NextEnd is when the next order expires, the zero time when none does.
func (s *Set) NextEnd(now time.Time) time.Time {
	var end time.Time
	s.first(now, func(r *rule) bool {
		if !r.Until.IsZero() && (end.IsZero() || r.Until.Before(end)) {
			end = r.Until
		}
		return false
	})
	return end
}

// Empty tells whether there is no order.
func (s *Set) Empty() bool { return s == nil || len(s.rules) == 0 }

func (s *Set) first(now time.Time, is func(*rule) bool) *proto.StandingOrder {
	if s == nil {
		return nil
	}
	for i := range s.rules {
		if r := &s.rules[i]; r.InForce(now) && is(r) {
			return &r.StandingOrder
		}
	}
	return nil
}

func (s *Set) last(now time.Time, is func(*rule) bool) *proto.StandingOrder {
	if s == nil {
		return nil
	}
	for i := len(s.rules) - 1; i >= 0; i-- {
		if r := &s.rules[i]; r.InForce(now) && is(r) {
			return &r.StandingOrder
		}
	}
	return nil
}

func (r *rule) suspends(w *Where) bool {
	switch r.Target {
	case proto.TargetAll:
		return true
	case proto.TargetLocal:
		return w.Transport != "" && !w.Remote
	case proto.TargetRemote:
		return w.Remote
	case proto.TargetReception:
		return false
	}
	if name, ok := strings.CutPrefix(r.Target, proto.TargetTransport); ok {
		return name == w.Transport
	}
	return r.about(w)
}

// about tells whether the pattern matches a delivery.
func (r *rule) about(w *Where) bool {
	switch {
	case r.addresses != nil:
		return r.addresses.Match(w.Address.String()) || r.addresses.Match(w.Original.String())
	case r.names != nil:
		return r.named(w)
	case r.networks != nil:
		for i := range w.Hosts {
			if r.networks.MatchAddr(w.Hosts[i].Addr.Addr()) {
				return true
			}
		}
	}
	return false
}

func (r *rule) named(w *Where) bool {
	for _, a := range []mailaddr.Address{w.Address, w.Original} {
		if d := a.Domain(); d != "" && r.names.Match(d) {
			return true
		}
	}
	if w.NextHop != "" && r.names.Match(w.NextHop) {
		return true
	}
	for i := range w.Hosts {
		if n := strings.TrimSuffix(w.Hosts[i].Name, "."); n != "" && !strings.HasPrefix(n, "[") && r.names.Match(n) {
			return true
		}
	}
	return false
}
