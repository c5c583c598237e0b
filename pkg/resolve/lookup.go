package resolve

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"filbert/pkg/untrusted"
)

// MX is one mail exchanger.
type MX struct {
	Host string // a host name in lower case, without the dot at its end
	Pref uint16
}

// MXAnswer is a domain's mail exchangers. The slice is shared: read only.
type MXAnswer struct {
	Records []MX      // by preference, without duplicates, at most 100
	Null    bool      // the domain takes no mail (RFC 7505); Records is empty
	Dropped int       // records whose host is no host name
	Expires time.Time // until when it is good
}

// Addresses are those of one host. The slices are shared: read only.
type Addresses struct {
	V4, V6  []netip.Addr
	Expires time.Time
}

// LookupMX asks for the mail exchangers of a domain (ASCII). A name without any
// is an *Error of kind NoData. An answer of useless records only is no error:
// Records is empty, Null false and Dropped tells.
func (r *Resolver) LookupMX(ctx context.Context, name string) (MXAnswer, error) {
	e, err := r.find(ctx, name, typeMX)
	if err != nil {
		return MXAnswer{}, err
	}
	a := &e.answer
	return MXAnswer{Records: a.mx, Null: a.null, Dropped: a.dropped, Expires: e.expires}, nil
}

// LookupTXT asks for text records. The slice is shared: read only.
func (r *Resolver) LookupTXT(ctx context.Context, name string) ([]untrusted.Text, error) {
	e, err := r.find(ctx, name, typeTXT)
	if err != nil {
		return nil, err
	}
	return e.answer.texts, nil
}

// LookupPTR asks for the names of an address. Whether a name leads back to
// the address is for the caller to check. The slice is shared: read only.
func (r *Resolver) LookupPTR(ctx context.Context, addr netip.Addr) ([]string, error) {
	name, err := dns.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, &Error{Name: "", Type: "PTR", kind: BadName}
	}
	e, err := r.find(ctx, name, typePTR)
	if err != nil {
		return nil, err
	}
	if len(e.answer.names) == 0 {
		return nil, e.q.fail(NoData, "")
	}
	return e.answer.names, nil
}

// LookupAddr asks for the IPv4 and IPv6 addresses of a host, both at once.
// One family is enough; when neither has any and either question failed for
// now, so has the lookup.
func (r *Resolver) LookupAddr(ctx context.Context, host string) (Addresses, error) {
	if a, ok := localhost(host); ok {
		a.Expires = r.opts.Now().Add(r.opts.MaxTTL)
		return a, nil
	}
	var six *entry
	var err6 error
	done := make(chan struct{})
	go func() {
		defer close(done)
		six, err6 = r.find(ctx, host, typeAAAA)
	}()
	four, err4 := r.find(ctx, host, typeA)
	<-done

	var a Addresses
	if err4 == nil {
		a.V4, a.Expires = four.answer.addrs, four.expires
	}
	if err6 == nil {
		a.V6 = six.answer.addrs
		if a.Expires.IsZero() || six.expires.Before(a.Expires) {
			a.Expires = six.expires
		}
	}
	switch {
	case len(a.V4)+len(a.V6) > 0:
		if temporary(err4) || temporary(err6) {
			// Half an answer: ask again soon.
			a.Expires = r.opts.Now().Add(leastTTL)
		}
		return a, nil
	case temporary(err4):
		return Addresses{}, err4
	case temporary(err6):
		return Addresses{}, err6
	case err4 != nil:
		return Addresses{}, err4
	case err6 != nil:
		return Addresses{}, err6
	}
	return Addresses{}, four.q.fail(NoData, "") // records without data only
}

func temporary(err error) bool {
	if err == nil {
		return false
	}
	var e *Error
	return !errors.As(err, &e) || e.Temporary()
}

// find is lookup with the name checked and every failure an *Error.
func (r *Resolver) find(ctx context.Context, name string, typ uint16) (*entry, error) {
	q := question{name: name, typ: typ}
	host, ok := hostname(name)
	if !ok {
		q.name = untrusted.From(name).ForTerminal()
		return nil, q.fail(BadName, "")
	}
	q.name = host
	if _, local := localhost(host); local {
		return nil, q.fail(NoData, "")
	}
	e, err := r.lookup(ctx, q)
	if err != nil {
		return nil, q.fail(TimedOut, "")
	}
	if e.answer.err != nil {
		return nil, e.answer.err
	}
	return e, nil
}

// localhost answers for the one name that is never asked for (RFC 6761,
// section 6.3).
func localhost(host string) (Addresses, bool) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host != "localhost" && !strings.HasSuffix(host, ".localhost") {
		return Addresses{}, false
	}
	return Addresses{
		V4: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})},
		V6: []netip.Addr{netip.IPv6Loopback()},
	}, true
}
