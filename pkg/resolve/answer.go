package resolve

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"filbert/pkg/untrusted"
)

// The bounds of one answer. They are ours: far above what honest zones need.
const (
	maxMX    = 100 // the best by preference are kept
	maxAddrs = 64
	maxTexts = 64
	maxNames = 16
	maxChain = 8 // CNAMEs followed, over all queries of a lookup
)

// question is what is asked, and the key of the cache. The name is in the
// form that hostname gives.
type question struct {
	name string
	typ  uint16
}

func (q question) typeName() string { return dns.TypeToString[q.typ] }

func (q question) fail(k Kind, detail string) *Error {
	return &Error{Name: q.name, Type: q.typeName(), Detail: detail, kind: k}
}

// answer is the usable part of one or, with a chain of aliases, several
// messages.
type answer struct {
	mx      []MX
	addrs   []netip.Addr
	texts   []untrusted.Text
	names   []string
	dropped int // records that were no use
	null    bool
	err     *Error // nil: there is something above
	ttl     time.Duration
	chase   string // alias whose target the message does not tell
}

// wildTTL and above has its top bit set and is to be read as 0 (RFC 2181, section 8).
const wildTTL = 1 << 31

func ttlOf(h *dns.RR_Header) time.Duration {
	if h.Ttl >= wildTTL {
		return 0
	}
	return time.Duration(h.Ttl) * time.Second
}

// read takes the answer to q out of a message whose question was checked.
// This is the one place where data of a zone becomes values of ours.
func read(m *dns.Msg, q question) answer {
	owner, ttl, detail := follow(m.Answer, q)
	if detail != "" {
		return answer{err: q.fail(BadAnswer, detail)}
	}
	switch m.Rcode {
	case dns.RcodeSuccess:
	case dns.RcodeNameError:
		return answer{err: q.fail(NoName, ""), ttl: min(ttl, negativeTTL(m))}
	case dns.RcodeServerFailure:
		return answer{err: q.fail(ServFail, "")}
	case dns.RcodeRefused:
		return answer{err: q.fail(Refused, "")}
	default:
		return answer{err: q.fail(BadAnswer, fmt.Sprintf("response code %d", m.Rcode))}
	}
	a := answer{ttl: ttl}
	found := 0
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Rrtype != q.typ || h.Class != dns.ClassINET || !sameName(h.Name, owner) {
			continue
		}
		if h.Rdlength == 0 {
			// Dynamic updates have such records, no answer does; the library
			// lets them pass.
			return answer{err: q.fail(BadAnswer, "record without data")}
		}
		found++
		a.ttl = min(a.ttl, ttlOf(h))
		if !a.take(rr) {
			a.dropped++
		}
	}
	if found == 0 {
		return absent(m, q, owner, ttl)
	}
	a.trim()
	return a
}

// absent is the answer without records of the type.
func absent(m *dns.Msg, q question, owner string, ttl time.Duration) answer {
	soa := hasType(m.Ns, dns.TypeSOA)
	switch {
	case !sameName(owner, q.name) && !soa:
		// The chain leads to a name that this server did not follow. Its form
		// has to be one that can be asked again.
		target, ok := hostname(owner)
		if !ok {
			return answer{err: q.fail(BadAnswer, "alias of something that is no host name")}
		}
		return answer{chase: target, ttl: ttl}
	case !soa && hasType(m.Ns, dns.TypeNS) && !m.RecursionAvailable:
		return answer{err: q.fail(BadAnswer, "referral instead of an answer (lame server)")}
	}
	return answer{err: q.fail(NoData, ""), ttl: min(ttl, negativeTTL(m))}
}

// follow walks the aliases of the answer section from the name asked to the
// one that has the records.
func follow(rrs []dns.RR, q question) (owner string, ttl time.Duration, problem string) {
	owner, ttl = q.name, wildTTL*time.Second
	if q.typ == dns.TypeCNAME {
		return owner, ttl, ""
	}
	for hops := 0; ; hops++ {
		alias := aliasOf(rrs, owner)
		if alias == nil {
			return owner, ttl, ""
		}
		if hops == maxChain {
			return "", 0, "chain of aliases too long or endless"
		}
		ttl = min(ttl, ttlOf(&alias.Hdr))
		owner = alias.Target
	}
}

func aliasOf(rrs []dns.RR, owner string) *dns.CNAME {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok && c.Hdr.Class == dns.ClassINET && sameName(c.Hdr.Name, owner) {
			return c
		}
	}
	return nil
}

// take adds one record, or says that it is of no use.
func (a *answer) take(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.MX:
		if rr.Mx == "." {
			a.null = true
			return true
		}
		host, ok := hostname(rr.Mx)
		if ok {
			a.mx = append(a.mx, MX{Host: host, Pref: rr.Preference})
		}
		return ok
	case *dns.A:
		return a.takeAddr(rr.A)
	case *dns.AAAA:
		return a.takeAddr(rr.AAAA)
	case *dns.TXT:
		a.texts = append(a.texts, untrusted.From(joinText(rr.Txt)))
		return true
	case *dns.PTR:
		host, ok := hostname(rr.Ptr)
		if ok {
			a.names = append(a.names, host)
		}
		return ok
	}
	return false
}

func (a *answer) takeAddr(ip []byte) bool {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return false
	}
	// An IPv4 address in IPv6 clothes would pass a check against 127.0.0.0/8.
	a.addrs = append(a.addrs, addr.Unmap())
	return true
}

// joinText undoes the escapes of the presentation format that the library
// puts into strings: our text is the octets.
func joinText(parts []string) string {
	var b strings.Builder
	for _, s := range parts {
		for i := 0; i < len(s); i++ {
			if s[i] != '\\' || i+1 == len(s) {
				b.WriteByte(s[i])
				continue
			}
			i++
			if i+2 < len(s) && isDigit(s[i]) && isDigit(s[i+1]) && isDigit(s[i+2]) {
				b.WriteByte((s[i]-'0')*100 + (s[i+1]-'0')*10 + s[i+2] - '0')
				i += 2
				continue
			}
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// trim sorts, removes what stands twice, and cuts the lists to their bounds.
func (a *answer) trim() {
	slices.SortFunc(a.mx, func(x, y MX) int {
		return cmp.Or(cmp.Compare(x.Pref, y.Pref), strings.Compare(x.Host, y.Host))
	})
	a.mx = slices.Compact(a.mx)
	a.mx = cut(a.mx, maxMX)
	slices.SortFunc(a.addrs, netip.Addr.Compare)
	a.addrs = cut(slices.Compact(a.addrs), maxAddrs)
	a.texts = cut(a.texts, maxTexts)
	a.names = cut(a.names, maxNames)
	// RFC 7505, section 3: with other records beside it "." means nothing.
	if len(a.mx) > 0 {
		a.null = false
	}
}

func cut[T any](list []T, n int) []T { return slices.Clip(list[:min(n, len(list))]) }

// negativeTTL is RFC 2308, section 5; without an SOA an absence is not kept
// (section 2.2), which the resolver's least time makes a second.
func negativeTTL(m *dns.Msg) time.Duration {
	for _, rr := range m.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(ttlOf(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
		}
	}
	return 0
}

func hasType(rrs []dns.RR, typ uint16) bool {
	return slices.ContainsFunc(rrs, func(rr dns.RR) bool { return rr.Header().Rrtype == typ })
}

// sameName compares names whether or not they end in a dot.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}
