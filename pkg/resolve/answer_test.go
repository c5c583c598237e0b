package resolve

import (
	"testing"

	"github.com/miekg/dns"
)

func TestResolvConfIsReadWithoutItsSearchList(t *testing.T) {
	got := parseConf([]byte("# x\nsearch example.org\nnameserver 192.0.2.1\nnameserver bad\noptions ndots:5\nnameserver 2001:db8::1\n"))
	if len(got) != 2 || got[0].String() != "192.0.2.1:53" || got[1].String() != "[2001:db8::1]:53" {
		t.Errorf("got %v", got)
	}
	if got := parseConf(nil); len(got) != 1 || got[0].String() != "127.0.0.1:53" {
		t.Errorf("empty file: got %v", got)
	}
}

// FuzzAnswer holds that no message panics and that nothing but host names,
// addresses and bounded lists comes out.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"d.example. MX 10 mx.example.", "d.example. MX 0 .", "d.example. A 192.0.2.1", "d.example. AAAA ::1",
		`d.example. TXT "a\000b"`, "d.example. CNAME e.example.", `d.example. MX 1 a\000\010\;\ b.example.`,
		"d.example. PTR x.example.", "d.example. CNAME d.example.", ". SOA a. b. 1 2 3 4 5",
	} {
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m := new(dns.Msg)
		m.SetQuestion("d.example.", dns.TypeMX)
		m.Response = true
		m.Answer, m.Ns = []dns.RR{rr, rr}, []dns.RR{rr}
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		for _, typ := range []uint16{typeMX, typeA, typeAAAA, typeTXT, typePTR} {
			a := read(m, question{"d.example", typ})
			for _, mx := range a.mx {
				if h, ok := hostname(mx.Host); !ok || h != mx.Host {
					t.Errorf("MX %q", mx.Host)
				}
			}
			for _, n := range append(a.names, a.chase) {
				if h, ok := hostname(n); n != "" && (!ok || h != n) {
					t.Errorf("name %q", n)
				}
			}
			if len(a.mx) > maxMX || len(a.addrs) > maxAddrs || len(a.texts) > maxTexts || len(a.names) > maxNames {
				t.Error("too many records")
			}
			if a.err == nil && a.chase == "" && len(a.mx)+len(a.addrs)+len(a.texts)+len(a.names)+a.dropped == 0 && !a.null {
				t.Error("nothing, and no error")
			}
		}
	})
}

func FuzzHostname(f *testing.F) {
	for _, s := range []string{"a.example.", "", ".", "a..b", "192.0.2.1", "a\x00b", "_dmarc.example", "xn--bcher-kva.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := hostname(s)
		if !ok {
			return
		}
		if again, ok := hostname(h); !ok || again != h {
			t.Errorf("%q has no stable form", s)
		}
	})
}
