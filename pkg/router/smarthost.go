package router

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/route"
)

// smartHost is the driver `smarthost`: everything goes to some hosts.
type smartHost struct {
	*remote
	specs   []route.Spec
	weights []int // of specs
	turn    atomic.Uint32
}

// maxWeight bounds the weight of a host.
const maxWeight = 100

func newSmartHost(rt *remote) (*smartHost, error) {
	if len(rt.set.Hosts) == 0 && rt.set.Lookup == "" {
		return nil, errors.New("hosts names none")
	}
	s := &smartHost{remote: rt}
	for _, text := range rt.set.Hosts {
		host, weight, err := cutWeight(text)
		if err != nil {
			return nil, err
		}
		spec, err := route.ParseSpec(host)
		if err != nil {
			return nil, err
		}
		s.specs, s.weights = append(s.specs, spec), append(s.weights, weight)
	}
	return s, nil
}

// cutWeight takes "host*3" apart.
func cutWeight(text string) (host string, weight int, err error) {
	host, number, found := strings.Cut(text, "*")
	if !found {
		return text, 1, nil
	}
	if weight, err = strconv.Atoi(number); err != nil || weight < 1 || weight > maxWeight {
		return "", 0, fmt.Errorf("host %s: the weight behind the * is no number from 1 to %d", text, maxWeight)
	}
	return host, weight, nil
}

func parseSpecs(list []string) ([]route.Spec, error) {
	specs := make([]route.Spec, len(list))
	for i, s := range list {
		var err error
		if specs[i], err = route.ParseSpec(s); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

// varies: lookups are asked for the sender.
func (s *smartHost) varies() variance {
	return variance{sender: s.set.Lookup != "" || s.set.Credentials != ""}
}

func (s *smartHost) route(q *query, _ string, _ mailaddr.Address) answered {
	specs, own, err := s.hostsFor(q)
	if err != nil {
		return s.unreadable(err)
	}
	if len(specs) == 0 {
		return answered{why: fmt.Sprintf("lookup %s has no hosts for the sender", s.set.Lookup)}
	}
	login, err := s.loginFor(q, specs[0].String())
	if err == nil && login != nil {
		err = mayHavePassword(specs)
	}
	if err != nil {
		return s.unreadable(err)
	}
	a := s.named(q, specs)
	a.login = login
	if own && len(a.plans) == len(specs) {
		// With a host of which nothing is known, weights and turns have nothing to
		// count: the others are tried as they stand.
		a.pick = s.picker()
	}
	return a
}

// mayHavePassword refuses to give a password to whatever host an unsigned MX
// record names: the certificate would be that of the forger's choice.
func mayHavePassword(specs []route.Spec) error {
	for _, s := range specs {
		if s.MX {
			return fmt.Errorf("host %s: credentials are for hosts in brackets, [%s], whose names the certificate is held against, not for what MX records name", s, s.Host)
		}
	}
	return nil
}

// bySender asks a lookup for the sender, then for @ and his domain.
func (q *query) bySender(ctx context.Context, name string) (values []string, found bool, err error) {
	for _, key := range senderKeys(q.sender) {
		a, err := q.find(ctx, name, key)
		if err != nil || a.Found {
			return a.Values, a.Found, err
		}
	}
	return nil, false, nil
}

// hostsFor gives the hosts for the sender, or else those of the setting.
func (s *smartHost) hostsFor(q *query) (specs []route.Spec, own bool, err error) {
	if s.set.Lookup == "" {
		return s.specs, true, nil
	}
	values, found, err := q.bySender(q.ctx, s.set.Lookup)
	if err != nil || !found {
		return s.specs, true, err
	}
	specs, err = parseSpecs(strings.Fields(strings.Join(values, " ")))
	if err != nil {
		err = fmt.Errorf("lookup %s: %w", s.set.Lookup, err)
	}
	return specs, false, err
}

// loginFor gives the credentials for the sender, or for the first host.
func (s *smartHost) loginFor(q *query, host string) (*proto.Credentials, error) {
	if s.set.Credentials == "" {
		return nil, nil
	}
	values, found, err := q.secretBySender(s.set.Credentials)
	if err == nil && !found {
		values, found, err = q.secret(s.set.Credentials, host)
	}
	if err != nil || !found {
		return nil, err
	}
	if len(values) > 0 {
		if name, password, two := strings.Cut(values[0], " "); two && name != "" && password != "" {
			return &proto.Credentials{Username: name, Password: password}, nil
		}
	}
	return nil, fmt.Errorf("lookup %s: a value is not \"username password\"", s.set.Credentials)
}

// picker orders the hosts of the setting for one message.
func (s *smartHost) picker() picker {
	n := len(s.specs)
	switch s.set.Choose {
	case "turn":
		return func(*query) []int {
			first := int(s.turn.Add(1)-1) % n
			return append(span(first, n), span(0, first)...)
		}
	case "weight":
		return func(q *query) []int { return s.byWeight(q.rules.world.Chance) }
	case "sender":
		return func(q *query) []int { return s.bySender(q.sender.String()) }
	}
	return nil
}

func span(from, to int) []int {
	var out []int
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

// byWeight draws the hosts one after the other, each with a chance that goes by
// its weight: like lots of which a host has as many as its weight.
func (s *smartHost) byWeight(chance route.Chance) []int {
	var lots []int
	for i, w := range s.weights {
		for range w {
			lots = append(lots, i)
		}
	}
	chance.Shuffle(len(lots), func(i, j int) { lots[i], lots[j] = lots[j], lots[i] })
	out := make([]int, 0, len(s.weights))
	for _, i := range lots {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// bySender sorts the hosts by a hash of sender and host, the highest first: a
// host that comes or goes moves only its own senders (rendezvous hashing).
func (s *smartHost) bySender(sender string) []int {
	sum := func(i int) uint64 {
		h := fnv.New64a()
		_, _ = h.Write([]byte(strings.ToLower(sender) + "\x00" + s.specs[i].String()))
		return mix(h.Sum64())
	}
	out := span(0, len(s.specs))
	slices.SortStableFunc(out, func(a, b int) int {
		switch x, y := sum(a), sum(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return out
}

// mix spreads the bits of an FNV sum, whose high ones hardly depend on the last
// octets (the finalizer of MurmurHash3).
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
