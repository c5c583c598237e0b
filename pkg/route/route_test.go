package route_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/outcome"
	"filbert/pkg/route"
)

func chance(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

var own = &route.Own{
	Names: []string{"me.example.org", "also.example.org"},
	Addrs: addrs("192.0.2.99", "2001:db8::99"),
	Ports: []uint16{2525},
	IPv6:  true,
}

func exchangers(text string) []route.Exchanger {
	var out []route.Exchanger
	for _, f := range strings.Fields(text) {
		var e route.Exchanger
		if _, err := fmt.Sscanf(strings.ReplaceAll(f, "=", " "), "%d %s", &e.Pref, &e.Host); err != nil {
			panic(err)
		}
		out = append(out, e)
	}
	return out
}

func TestExchangersAreChosenByPreference(t *testing.T) {
	for _, c := range []struct {
		name, list, want string
	}{
		{"sorted", "30=c 10=a 20=b", "10=a 20=b 30=c"},
		{"own host ends the list", "10=a 20=me.example.org 20=b 30=c", "10=a"},
		{"own host under another name", "10=a 20=ALSO.example.org 30=c", "10=a"},
		{"own host twice, the better place counts", "10=a 30=me.example.org 20=also.example.org 25=b", "10=a"},
		{"own host first", "10=me.example.org 20=b", "5.4.6"},
		{"own host alone", "10=me.example.org", "5.4.6"},
		{"own host among equals", "10=a 10=me.example.org", "5.4.6"},
		{"a host stands once, at its best", "20=a 10=b 10=b 5=a", "5=a 10=b"},
		{"at most eight", "1=a 2=b 3=c 4=d 5=e 6=f 7=g 8=h 9=i", "1=a 2=b 3=c 4=d 5=e 6=f 7=g 8=h"},
		{"none", "", ""},
	} {
		got, verdict := route.Choose("d.example", exchangers(c.list), own, chance(1))
		var s []string
		for _, e := range got {
			s = append(s, fmt.Sprintf("%d=%s", e.Pref, e.Host))
		}
		if verdict.Class != 0 {
			s = append(s, verdict.Status.String())
		}
		if strings.Join(s, " ") != c.want {
			t.Errorf("%s: got %s, want %s", c.name, s, c.want)
		}
	}
}

func TestEqualsComeInEveryOrder(t *testing.T) {
	list := exchangers("10=a 10=b 10=c")
	seen := map[string]bool{}
	for seed := range uint64(200) {
		got, _ := route.Choose("d.example", list, own, chance(seed))
		seen[fmt.Sprint(got)] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d of 6 orders", len(seen))
	}
}

func order(p route.Plan, seed uint64) []string {
	var out []string
	p.Order(chance(seed), func(h route.Host) { out = append(out, fmt.Sprintf("%d=%s/%s", h.Pref, h.Name, h.Addr)) })
	return out
}

func TestPlansNeverLeadHere(t *testing.T) {
	found := func(pref uint16, host string, list ...string) route.Found {
		f := route.Found{Exchanger: route.Exchanger{Host: host, Pref: pref}}
		for _, a := range addrs(list...) {
			if a.Is4() {
				f.V4 = append(f.V4, a)
			} else {
				f.V6 = append(f.V6, a)
			}
		}
		return f
	}
	unsure := found(10, "u")
	unsure.Err, unsure.Unsure = errors.New("no answer"), true
	none := found(10, "n")
	none.Err = errors.New("no such record")
	for _, c := range []struct {
		name  string
		found []route.Found
		port  uint16
		want  string
	}{
		{"one", []route.Found{found(10, "a", "192.0.2.1")}, 25, "10=a/192.0.2.1:25"},
		{"families in turn", []route.Found{found(10, "a", "192.0.2.1", "192.0.2.2", "2001:db8::1")}, 25,
			"10=a/[2001:db8::1]:25 10=a/192.0.2.1:25 10=a/192.0.2.2:25"},
		{"four a host", []route.Found{found(10, "a", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5")}, 25,
			"10=a/192.0.2.1:25 10=a/192.0.2.2:25 10=a/192.0.2.3:25 10=a/192.0.2.4:25"},
		{"loopback", []route.Found{found(10, "a", "127.0.0.1")}, 25, "5.4.6"},
		{"anywhere in 127/8", []route.Found{found(10, "a", "127.9.9.9")}, 25, "5.4.6"},
		{"loopback IPv6", []route.Found{found(10, "a", "::1")}, 25, "5.4.6"},
		{"loopback, another port", []route.Found{found(10, "a", "127.0.0.1")}, 2526, "10=a/127.0.0.1:2526"},
		{"loopback, own port", []route.Found{found(10, "a", "127.0.0.1")}, 2525, "5.4.6"},
		{"unspecified", []route.Found{found(10, "a", "0.0.0.0")}, 2526, "5.4.6"},
		{"unspecified IPv6", []route.Found{found(10, "a", "::")}, 2526, "5.4.6"},
		{"own address", []route.Found{found(10, "a", "192.0.2.99")}, 25, "5.4.6"},
		{"own address, worse", []route.Found{found(10, "a", "192.0.2.1"), found(20, "b", "192.0.2.99"), found(30, "c", "192.0.2.3")}, 25,
			"10=a/192.0.2.1:25"},
		{"own address among equals", []route.Found{found(10, "a", "192.0.2.1"), found(10, "b", "2001:db8::99")}, 25, "5.4.6"},
		{"multicast", []route.Found{found(10, "a", "224.0.0.1", "255.255.255.255", "ff02::1")}, 25, "5.4.4"},
		{"no address", []route.Found{none}, 25, "5.4.4"},
		{"no answer", []route.Found{none, unsure}, 25, "4.4.3"},
		{"one answer is enough", []route.Found{unsure, found(20, "b", "192.0.2.2")}, 25, "20=b/192.0.2.2:25"},
	} {
		p, verdict := route.Make("d.example", c.found, c.port, own)
		got := strings.Join(order(p, 1), " ")
		if verdict.Class != 0 {
			got = verdict.Status.String()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNamedHostsMayBeHere(t *testing.T) {
	f := []route.Found{{Exchanger: route.Exchanger{Host: "localhost"}, V4: addrs("127.0.0.1")}}
	if p, verdict := route.Make("x", f, 25, own.Anywhere()); verdict.Class != 0 || p.Len() != 1 {
		t.Errorf("got %v", verdict.Status)
	}
	f[0].V4 = addrs("0.0.0.0")
	if _, verdict := route.Make("x", f, 25, own.Anywhere()); verdict.Kind != outcome.Loop {
		t.Errorf("unspecified address: got %v", verdict.Status)
	}
}

func TestWithoutIPv6ItGoesLast(t *testing.T) {
	f := []route.Found{{Exchanger: route.Exchanger{Host: "a"}, V4: addrs("192.0.2.1"), V6: addrs("2001:db8::1")}}
	p, _ := route.Make("x", f, 25, &route.Own{})
	if got, want := strings.Join(order(p, 1), " "), "0=a/192.0.2.1:25 0=a/[2001:db8::1]:25"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestJoinedPlansAreTriedInTurn(t *testing.T) {
	one := func(host, addr string, pref uint16) route.Plan {
		p, _ := route.Make("x", []route.Found{{Exchanger: route.Exchanger{Host: host, Pref: pref}, V4: addrs(addr)}}, 25, own)
		return p
	}
	p := route.Join(one("a", "192.0.2.1", 50), route.Plan{}, one("b", "192.0.2.2", 10))
	if got, want := strings.Join(order(p, 1), " "), "0=a/192.0.2.1:25 2=b/192.0.2.2:25"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestOrderIsAPermutationByPreference: whatever was found, each host comes
// once, no preference before a better one, the addresses of an exchanger
// together, within the bound, and none of ours.
func TestOrderIsAPermutationByPreference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []route.Exchanger
		for range rapid.IntRange(0, 20).Draw(t, "exchangers") {
			list = append(list, route.Exchanger{
				Host: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "me.example.org"}).Draw(t, "host"),
				Pref: rapid.Uint16Range(0, 5).Draw(t, "pref"),
			})
		}
		rng := chance(rapid.Uint64().Draw(t, "seed"))
		chosen, verdict := route.Choose("d", list, own, rng)
		var found []route.Found
		for _, e := range chosen {
			f := route.Found{Exchanger: e}
			for range rapid.IntRange(0, 6).Draw(t, "addresses") {
				f.V4 = append(f.V4, netip.AddrFrom4([4]byte{192, 0, 2, rapid.SampledFrom([]byte{1, 2, 3, 4, 99}).Draw(t, "octet")}))
			}
			found = append(found, f)
		}
		if verdict.Class != 0 {
			return
		}
		p, verdict := route.Make("d", found, 25, own)
		if (p.Len() == 0) != (verdict.Class != 0) || p.Len() > route.MaxHosts {
			t.Fatalf("%d hosts with verdict %v", p.Len(), verdict.Class)
		}
		n, last := 0, uint16(0)
		closed := map[string]bool{}
		previous := ""
		p.Order(rng, func(h route.Host) {
			n++
			if h.Pref < last {
				t.Fatalf("preference %d behind %d", h.Pref, last)
			}
			last = h.Pref
			if h.Name != previous {
				if closed[h.Name] {
					t.Fatalf("addresses of %s are apart", h.Name)
				}
				closed[previous], previous = true, h.Name
			}
			if own.IsHere(h.Addr) {
				t.Fatalf("%s is here", h.Addr)
			}
		})
		if n != p.Len() {
			t.Fatalf("%d of %d hosts", n, p.Len())
		}
	})
}

func TestHostSpecifications(t *testing.T) {
	for text, want := range map[string]string{
		"Mail.example.org":       "mail.example.org",
		"mail.example.org.":      "mail.example.org",
		"mail.example.org:587":   "mail.example.org:587",
		"[mail.example.org]":     "[mail.example.org]",
		"[mail.example.org]:587": "[mail.example.org]:587",
		"192.0.2.1":              "[192.0.2.1]",
		"192.0.2.1:26":           "[192.0.2.1]:26",
		"[192.0.2.1]:26":         "[192.0.2.1]:26",
		"2001:db8::1":            "[2001:db8::1]",
		"[2001:db8::1]:25":       "[2001:db8::1]:25",
		"[IPv6:2001:db8::1]":     "[2001:db8::1]",
		"[::ffff:192.0.2.1]":     "[192.0.2.1]",
		"localhost:2525":         "localhost:2525",
		"bücher.example":         "xn--bcher-kva.example",
	} {
		s, err := route.ParseSpec(text)
		if err != nil || s.String() != want {
			t.Errorf("%s: got %s, %v", text, s, err)
		}
	}
	for _, bad := range []string{"", "[", "]", "[]", "[]:25", "a:", "a:0", "a:65536", "a:+5", "a:b", "[a", "[a]b", "[a]25", "a b", "a..b", "-a",
		"fe80::1%eth0", "[fe80::1%eth0]", "x@y", "a:25:26", "300.1.1.1", "/x"} {
		if s, err := route.ParseSpec(bad); err == nil {
			t.Errorf("%q: got %s", bad, s)
		}
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, s := range []string{"a.example:25", "[a.example]", "[IPv6:::1]:5", "192.0.2.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := route.ParseSpec(text)
		if err != nil {
			return
		}
		if again, err := route.ParseSpec(s.String()); err != nil || again != s {
			t.Errorf("%q: %v, then %v, %v", text, s, again, err)
		}
	})
}
