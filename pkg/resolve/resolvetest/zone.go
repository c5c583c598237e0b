package resolvetest

import (
	"encoding/hex"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// zone is parsed zone text.
type zone struct {
	records map[string][]dns.RR // by canonical owner
	lies    []lie
}

type lie struct {
	verb string
	name string // canonical
	typ  uint16 // dns.TypeANY: every type
	n    int
}

// parse reads zone text.
func parse(text string) (*zone, error) {
	z := &zone{records: make(map[string][]dns.RR)}
	var plain strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(strings.TrimSpace(line), "!") {
			plain.WriteString(line + "\n")
			continue
		}
		plain.WriteString("\n")
		if err := z.addLie(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("zone line %d: %w", i+1, err)
		}
	}
	zp := dns.NewZoneParser(strings.NewReader(plain.String()), ".", "zone")
	zp.SetDefaultTTL(300)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		z.add(rr)
	}
	return z, zp.Err()
}

func (z *zone) add(rr dns.RR) {
	name := dns.CanonicalName(rr.Header().Name)
	z.records[name] = append(z.records[name], rr)
}

func (z *zone) addLie(f []string) error {
	verb, args := strings.TrimPrefix(f[0], "!"), f[1:]
	switch verb {
	case "raw":
		return z.addRaw(args)
	case "many":
		return z.addMany(args)
	case "loop":
		if len(args) != 1 {
			return fmt.Errorf("!loop NAME")
		}
		other := "loop." + dns.Fqdn(args[0])
		z.add(cname(args[0], other))
		z.add(cname(other, args[0]))
		return nil
	case "chain":
		return z.addChain(args)
	}
	l := lie{verb: verb, typ: dns.TypeANY}
	if verb == "cut" && len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		l.n, args = n, args[1:]
	}
	if len(args) == 0 {
		return fmt.Errorf("!%s: a name is wanted", verb)
	}
	l.name = dns.CanonicalName(args[0])
	if len(args) > 1 && args[1] != "*" {
		typ, ok := dns.StringToType[args[1]]
		if !ok {
			return fmt.Errorf("!%s: type %q", verb, args[1])
		}
		l.typ = typ
	}
	switch verb {
	case "drop", "servfail", "refused", "nxdomain", "formerr", "lame", "truncate", "cut", "garbage",
		"wrongid", "forge", "wrongname", "lowercase", "noedns":
		z.lies = append(z.lies, l)
		return nil
	}
	return fmt.Errorf("unknown lie !%s", verb)
}

func cname(from, to string) dns.RR {
	return &dns.CNAME{Hdr: header(from, dns.TypeCNAME), Target: dns.Fqdn(to)}
}

func header(name string, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: dns.Fqdn(name), Rrtype: typ, Class: dns.ClassINET, Ttl: 300}
}

func (z *zone) addRaw(args []string) error {
	if len(args) < 2 || len(args) > 3 {
		return fmt.Errorf("!raw NAME TYPE HEX")
	}
	typ, ok := dns.StringToType[args[1]]
	if !ok {
		return fmt.Errorf("!raw: type %q", args[1])
	}
	data := ""
	if len(args) == 3 {
		data = args[2]
	}
	if _, err := hex.DecodeString(data); err != nil {
		return err
	}
	z.add(&dns.RFC3597{Hdr: header(args[0], typ), Rdata: data})
	return nil
}

func (z *zone) addMany(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("!many NAME TYPE N")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for i := range n {
		switch args[1] {
		case "MX":
			host := fmt.Sprintf("mx%d.%s", i, dns.Fqdn(args[0]))
			z.add(&dns.MX{Hdr: header(args[0], dns.TypeMX), Preference: uint16(i % 7), Mx: host})
		case "A":
			z.add(&dns.A{Hdr: header(args[0], dns.TypeA), A: net.IPv4(192, 0, byte(2+i/256), byte(i)).To4()})
		case "TXT":
			z.add(&dns.TXT{Hdr: header(args[0], dns.TypeTXT), Txt: []string{strings.Repeat("x", 255)}})
		default:
			return fmt.Errorf("!many: type %q", args[1])
		}
	}
	return nil
}

func (z *zone) addChain(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("!chain NAME N TARGET")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	from := dns.Fqdn(args[0])
	for i := 1; i < n; i++ {
		next := fmt.Sprintf("c%d.%s", i, dns.Fqdn(args[0]))
		z.add(cname(from, next))
		from = next
	}
	z.add(cname(from, args[2]))
	return nil
}

// answer is the true answer to a question.
func (z *zone) answer(q dns.Question) (rrs []dns.RR, exists bool) {
	name := dns.CanonicalName(q.Name)
	for range 32 {
		own, ok := z.owned(name)
		if !ok {
			return rrs, len(rrs) > 0 || exists
		}
		exists = true
		next := ""
		for _, rr := range own {
			rr = dns.Copy(rr)
			if rr.Header().Name[0] == '*' {
				rr.Header().Name = name
			}
			switch t := rr.Header().Rrtype; {
			case t == q.Qtype:
				rrs = append(rrs, rr)
			case t == dns.TypeCNAME:
				rrs = append(rrs, rr)
				next = dns.CanonicalName(rr.(*dns.CNAME).Target)
			}
		}
		if next == "" {
			return rrs, true
		}
		name = next
	}
	return rrs, true
}

// owned is the records of a name, its own or a wildcard's, and whether the
// name exists (it does as well when only names below it have records).
func (z *zone) owned(name string) ([]dns.RR, bool) {
	if rrs, ok := z.records[name]; ok {
		return rrs, true
	}
	for owner := range z.records {
		if strings.HasSuffix(owner, "."+name) && owner[0] != '*' {
			return nil, true
		}
	}
	for rest := name; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok || parent == "" {
			return nil, false
		}
		if rrs, ok := z.records["*."+parent]; ok {
			return rrs, true
		}
		rest = parent
	}
}

func (z *zone) lie(q dns.Question) *lie {
	name := dns.CanonicalName(q.Name)
	for i := range z.lies {
		l := &z.lies[i]
		if l.name == name && (l.typ == dns.TypeANY || l.typ == q.Qtype) {
			return l
		}
	}
	return nil
}
