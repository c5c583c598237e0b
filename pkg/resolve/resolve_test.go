package resolve_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"filbert/pkg/resolve"
	"filbert/pkg/resolve/resolvetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t testing.TB, zone string) *resolvetest.Server {
	t.Helper()
	s, err := resolvetest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func open(t testing.TB, o resolve.Options, servers ...*resolvetest.Server) *resolve.Resolver {
	t.Helper()
	for _, s := range servers {
		o.Servers = append(o.Servers, s.Addr())
	}
	r, err := resolve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// quick are time-outs for tests in which a server is silent.
var quick = resolve.Options{Timeout: 50 * time.Millisecond, Deadline: 2 * time.Second}

func kindOf(t testing.TB, err error) resolve.Kind {
	t.Helper()
	var e *resolve.Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v is no *resolve.Error", err)
	}
	return e.Kind()
}

func hosts(a resolve.MXAnswer) string {
	var s []string
	for _, mx := range a.Records {
		s = append(s, fmt.Sprintf("%d %s", mx.Pref, mx.Host))
	}
	return strings.Join(s, ", ")
}

func TestMXComeSortedWithoutDuplicates(t *testing.T) {
	s := serve(t, `
example.org. MX 20 b.example.org.
example.org. MX 10 A.example.ORG.
example.org. MX 10 a.example.org.
`)
	a, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "Example.ORG")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hosts(a), "10 a.example.org, 20 b.example.org"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNullMXIsTold(t *testing.T) {
	s := serve(t, "null.example. MX 0 .\nboth.example. MX 0 .\nboth.example. MX 10 mx.both.example.\n")
	r := open(t, resolve.Options{}, s)
	if a, err := r.LookupMX(t.Context(), "null.example"); err != nil || !a.Null || len(a.Records) != 0 {
		t.Errorf("null MX: got %+v, %v", a, err)
	}
	if a, err := r.LookupMX(t.Context(), "both.example"); err != nil || a.Null || hosts(a) != "10 mx.both.example" {
		t.Errorf("null MX beside another: got %+v, %v", a, err)
	}
}

func TestAbsencesAndFailuresAreToldApart(t *testing.T) {
	s := serve(t, `
data.example. A 192.0.2.1
!servfail fail.example.
!refused refused.example.
!drop silent.example.
!lame lame.example.
!loop loop.example.
!chain long.example. 40 data.example.
!garbage garbage.example.
!wrongname wrongname.example.
!wrongid wrongid.example.
!formerr formerr.example.
!cut 5 short.example.
!cut 20 cut.example.
`)
	r := open(t, quick, s)
	for _, c := range []struct {
		name      string
		kind      resolve.Kind
		temporary bool
	}{
		{"nowhere.example", resolve.NoName, false},
		{"data.example", resolve.NoData, false},
		{"fail.example", resolve.ServFail, true},
		{"refused.example", resolve.Refused, true},
		{"silent.example", resolve.TimedOut, true},
		{"lame.example", resolve.BadAnswer, true},
		{"loop.example", resolve.BadAnswer, true},
		{"long.example", resolve.BadAnswer, true},
		{"garbage.example", resolve.BadAnswer, true},
		{"wrongname.example", resolve.TimedOut, true},
		{"wrongid.example", resolve.TimedOut, true},
		{"formerr.example", resolve.BadAnswer, true},
		{"short.example", resolve.TimedOut, true},
		{"cut.example", resolve.BadAnswer, true},
		{"not a name", resolve.BadName, false},
		{"new\nline.example", resolve.BadName, false},
		{"nul\x00.example", resolve.BadName, false},
		{"192.0.2.1", resolve.BadName, false},
		{strings.Repeat("a", 64) + ".example", resolve.BadName, false},
		{strings.Repeat("a.", 130) + "example", resolve.BadName, false},
		{"", resolve.BadName, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.LookupMX(t.Context(), c.name)
			var e *resolve.Error
			if !errors.As(err, &e) || e.Kind() != c.kind || e.Temporary() != c.temporary {
				t.Fatalf("got %v, want %v, temporary %t", err, c.kind, c.temporary)
			}
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("raw text in %q", err)
			}
		})
	}
}

func TestNamesInAnswersAreHostNamesOrDropped(t *testing.T) {
	for _, bad := range []string{
		`a\000b.example.`, `a\010b.example.`, `a\;b.example.`, `a\032b.example.`, `192.0.2.1.`, `\255.example.`,
		`a\.b.example.`, `-a.example.`, `a-.example.`, `\"a\".example.`, `$(id).example.`, `a/b.example.`,
	} {
		s := serve(t, "d.example. MX 10 "+bad+"\nd.example. MX 20 good.example.\n1.2.0.192.in-addr.arpa. PTR "+bad+"\n")
		r := open(t, resolve.Options{}, s)
		a, err := r.LookupMX(t.Context(), "d.example")
		if err != nil || hosts(a) != "20 good.example" || a.Dropped != 1 {
			t.Errorf("MX %s: got %s, dropped %d, %v", bad, hosts(a), a.Dropped, err)
		}
		if names, err := r.LookupPTR(t.Context(), netip.MustParseAddr("192.0.2.1")); err == nil {
			t.Errorf("PTR %s: got %q", bad, names)
		}
		s.Close()
	}
}

func TestOnlyUselessMXIsAnAnswerWithoutRecords(t *testing.T) {
	s := serve(t, "d.example. MX 10 192.0.2.1.\n")
	a, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example")
	if err != nil || len(a.Records) != 0 || a.Null || a.Dropped != 1 {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestRecordsOfTheWrongLengthAreBadAnswers(t *testing.T) {
	s := serve(t, "!raw a.example. A\n!raw a3.example. A c00002\n!raw a5.example. A c000020101\n")
	r := open(t, quick, s)
	for _, name := range []string{"a.example", "a3.example", "a5.example"} {
		if a, err := r.LookupAddr(t.Context(), name); err == nil || kindOf(t, err) != resolve.BadAnswer {
			t.Errorf("%s: got %v, %v", name, a, err)
		}
	}
}

func TestShortMXDataIsABadAnswer(t *testing.T) {
	s := serve(t, "!raw m.example. MX 00\n!raw n.example. MX 000aff\n!raw o.example. MX\n")
	r := open(t, quick, s)
	for _, name := range []string{"m.example", "n.example", "o.example"} {
		if _, err := r.LookupMX(t.Context(), name); kindOf(t, err) != resolve.BadAnswer {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestMXAreBounded(t *testing.T) {
	s := serve(t, "!many d.example. MX 1000\n")
	a, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example")
	if err != nil || len(a.Records) != 100 || a.Records[99].Pref != 0 {
		t.Errorf("got %d records, %v", len(a.Records), err)
	}
	if s.OverTCP() != 1 {
		t.Errorf("%d queries over TCP, want 1", s.OverTCP())
	}
}

func TestAddressesAreBounded(t *testing.T) {
	s := serve(t, "!many d.example. A 1000\n")
	a, err := open(t, resolve.Options{}, s).LookupAddr(t.Context(), "d.example")
	if err != nil || len(a.V4) != 64 {
		t.Errorf("got %d addresses, %v", len(a.V4), err)
	}
}

func TestTruncatedAnswersAreAskedAgainOverTCP(t *testing.T) {
	s := serve(t, "d.example. MX 10 mx.d.example.\n!truncate d.example.\n")
	a, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example")
	if err != nil || len(a.Records) != 1 || s.OverTCP() != 1 {
		t.Errorf("got %+v, %v, %d over TCP", a, err, s.OverTCP())
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	s := serve(t, "d.example. A 192.0.2.1\n!forge d.example.\n")
	a, err := open(t, resolve.Options{}, s).LookupAddr(t.Context(), "d.example")
	if err != nil || len(a.V4) != 1 || a.V4[0].String() != "192.0.2.1" {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestQuestionsInAnotherCaseAreAskedAgainOverTCP(t *testing.T) {
	s := serve(t, "a-long-name-with-many-letters.example. MX 10 mx.example.\n!lowercase a-long-name-with-many-letters.example.\n")
	if _, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "a-long-name-with-many-letters.example"); err != nil {
		t.Fatal(err)
	}
	if s.OverTCP() != 1 {
		t.Errorf("%d queries over TCP, want 1", s.OverTCP())
	}
}

func TestServersWithoutEDNSAreAskedWithout(t *testing.T) {
	s := serve(t, "d.example. MX 10 mx.d.example.\n!noedns d.example.\n")
	if _, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example"); err != nil {
		t.Error(err)
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	s := serve(t, "!chain d.example. 4 real.example.\nreal.example. MX 10 mx.example.\n")
	a, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example")
	if err != nil || hosts(a) != "10 mx.example" {
		t.Errorf("got %s, %v", hosts(a), err)
	}
}

func TestAliasOfNothingIsNXDOMAIN(t *testing.T) {
	s := serve(t, "d.example. CNAME gone.example.\n")
	if _, err := open(t, resolve.Options{}, s).LookupMX(t.Context(), "d.example"); kindOf(t, err) != resolve.ServFail && kindOf(t, err) != resolve.NoName {
		t.Errorf("got %v", err)
	}
}

func TestAnswersComeFromTheCacheUntilTheyExpire(t *testing.T) {
	s := serve(t, "d.example. 100 MX 10 mx.example.\nlong.example. 999999 MX 10 mx.example.\nzero.example. 0 MX 10 mx.example.\n")
	now := time.Unix(1e9, 0)
	r := open(t, resolve.Options{Now: func() time.Time { return now }}, s)
	for _, c := range []struct {
		name string
		keep time.Duration
	}{
		{"d.example", 100 * time.Second},
		{"long.example", time.Hour},   // MaxTTL
		{"zero.example", time.Second}, // the least
		{"none.example", time.Minute}, // NXDOMAIN: the SOA's minimum
		{"x.d.example", 60 * time.Second},
	} {
		ask := func(after time.Duration, want int) {
			t.Helper()
			now = now.Add(after)
			_, _ = r.LookupMX(t.Context(), c.name)
			if got := s.Asked(c.name, "MX"); got != want {
				t.Errorf("%s: %d queries, want %d", c.name, got, want)
			}
		}
		ask(0, 1)
		ask(c.keep-time.Millisecond, 1)
		ask(time.Millisecond, 2)
	}
}

func TestNegativeAnswersAreKeptAtMostSoLong(t *testing.T) {
	s := serve(t, "d.example. A 192.0.2.1\n")
	now := time.Unix(1e9, 0)
	r := open(t, resolve.Options{Now: func() time.Time { return now }, NegativeTTL: 10 * time.Second}, s)
	_, _ = r.LookupMX(t.Context(), "d.example")
	now = now.Add(10 * time.Second)
	_, _ = r.LookupMX(t.Context(), "d.example")
	if got := s.Asked("d.example", "MX"); got != 2 {
		t.Errorf("%d queries, want 2", got)
	}
}

func TestFailuresAreKeptASecond(t *testing.T) {
	s := serve(t, "!servfail d.example.\n")
	now := time.Unix(1e9, 0)
	r := open(t, resolve.Options{Now: func() time.Time { return now }}, s)
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {999 * time.Millisecond, 1}, {time.Millisecond, 2}} {
		now = now.Add(step.after)
		_, _ = r.LookupMX(t.Context(), "d.example")
		if got := s.Asked("d.example", "MX"); got != step.want {
			t.Errorf("%d queries, want %d", got, step.want)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := serve(t, "*.example. MX 10 mx.example.\n")
	r := open(t, resolve.Options{CacheSize: 10}, s)
	for i := range 50 {
		if _, err := r.LookupMX(t.Context(), fmt.Sprintf("d%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		_, _ = r.LookupMX(t.Context(), fmt.Sprintf("d%d.example", 40+i))
	}
	if got := s.Queries(); got != 50 {
		t.Errorf("%d queries: the last ten were not kept", got)
	}
	_, _ = r.LookupMX(t.Context(), "d0.example")
	if got := s.Queries(); got != 51 {
		t.Errorf("%d queries: the oldest was kept", got)
	}
}

func TestSameQuestionAtOnceIsAskedOnce(t *testing.T) {
	// The server answers nothing, so that all callers find the lookup under way.
	s := serve(t, "!drop d.example.\n")
	r := open(t, resolve.Options{Timeout: 300 * time.Millisecond, Deadline: 300 * time.Millisecond}, s)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { _, _ = r.LookupMX(context.Background(), "d.example") })
	}
	wg.Wait()
	if got := s.Asked("d.example", "MX"); got != 1 {
		t.Errorf("%d queries, want 1", got)
	}
}

func TestNextServerIsAskedWhenOneFails(t *testing.T) {
	good := serve(t, "d.example. MX 10 mx.example.\n")
	for _, lie := range []string{"drop", "servfail", "refused", "lame", "garbage"} {
		bad := serve(t, "!"+lie+" d.example.\n")
		a, err := open(t, quick, bad, good).LookupMX(t.Context(), "d.example")
		if err != nil || hosts(a) != "10 mx.example" {
			t.Errorf("%s: got %s, %v", lie, hosts(a), err)
		}
	}
}

func TestSilentServerIsAskedLastForAWhile(t *testing.T) {
	bad := serve(t, "!drop a.example.\nb.example. MX 10 mx.example.\n")
	good := serve(t, "a.example. MX 10 mx.example.\nb.example. MX 10 mx.example.\n")
	r := open(t, quick, bad, good)
	_, _ = r.LookupMX(t.Context(), "a.example")
	_, _ = r.LookupMX(t.Context(), "b.example")
	if got := bad.Asked("b.example", "MX"); got != 0 {
		t.Errorf("the silent server was asked first again")
	}
}

func TestDeadServerPortIsUnreachable(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := pc.LocalAddr().(*net.UDPAddr).AddrPort()
	pc.Close()
	r := open(t, resolve.Options{Servers: []netip.AddrPort{addr}})
	_, err = r.LookupMX(t.Context(), "d.example")
	if kindOf(t, err) != resolve.Unreachable {
		t.Errorf("got %v", err)
	}
}

func TestCallerWhoLeavesDoesNotEndTheLookup(t *testing.T) {
	s := serve(t, "d.example. MX 10 mx.example.\n")
	r := open(t, resolve.Options{}, s)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = r.LookupMX(gone, "d.example")
	if _, err := r.LookupMX(t.Context(), "d.example"); err != nil {
		t.Error(err)
	}
	if got := s.Asked("d.example", "MX"); got != 1 {
		t.Errorf("%d queries, want 1", got)
	}
}

func TestOneFamilyOfAddressesIsEnough(t *testing.T) {
	s := serve(t, `
six.example. AAAA 2001:db8::1
four.example. A 192.0.2.1
both.example. A 192.0.2.1
both.example. AAAA 2001:db8::1
half.example. A 192.0.2.1
!servfail half.example. AAAA
none.example. TXT "x"
maybe.example. TXT "x"
!servfail maybe.example. A
mapped.example. AAAA ::ffff:127.0.0.1
`)
	r := open(t, resolve.Options{}, s)
	for _, c := range []struct {
		name string
		want string
	}{
		{"six.example", "[] [2001:db8::1]"},
		{"four.example", "[192.0.2.1] []"},
		{"both.example", "[192.0.2.1] [2001:db8::1]"},
		{"half.example", "[192.0.2.1] []"},
		{"none.example", "no such record"},
		{"maybe.example", "server failure"},
		{"gone.example", "domain not found"},
		{"mapped.example", "[] [127.0.0.1]"},
		{"localhost", "[127.0.0.1] [::1]"},
	} {
		a, err := r.LookupAddr(t.Context(), c.name)
		got := fmt.Sprint(a.V4, a.V6)
		if err != nil {
			got = kindOf(t, err).String()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if s.Asked("localhost", "A") != 0 {
		t.Error("localhost was asked for")
	}
}

func TestTextIsTheOctetsOfTheZone(t *testing.T) {
	s := serve(t, `d.example. TXT "v=spf1 \"q\" \\ \200" "b"`+"\n!many big.example. TXT 240\n")
	r := open(t, resolve.Options{}, s)
	texts, err := r.LookupTXT(t.Context(), "d.example")
	if err != nil || len(texts) != 1 || texts[0].ForWire() != "v=spf1 \"q\" \\ \xc8b" {
		t.Errorf("got %d texts, %v", len(texts), err)
	}
	if big, err := r.LookupTXT(t.Context(), "big.example"); err != nil || len(big) > 64 {
		t.Errorf("64 KB of text: %d, %v", len(big), err)
	}
}

func TestNamesOfAnAddress(t *testing.T) {
	s := serve(t, "1.2.0.192.in-addr.arpa. PTR Host.example.\n"+
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. PTR six.example.\n")
	r := open(t, resolve.Options{}, s)
	for addr, want := range map[string]string{
		"192.0.2.1": "host.example", "::ffff:192.0.2.1": "host.example", "2001:db8::1": "six.example",
	} {
		names, err := r.LookupPTR(t.Context(), netip.MustParseAddr(addr))
		if err != nil || len(names) != 1 || names[0] != want {
			t.Errorf("%s: got %q, %v", addr, names, err)
		}
	}
}

func TestCloseEndsLookups(t *testing.T) {
	s := serve(t, "!drop d.example.\n")
	r := open(t, resolve.Options{}, s)
	done := make(chan error)
	go func() {
		_, err := r.LookupMX(context.Background(), "d.example")
		done <- err
	}()
	s.Await(1)
	r.Close()
	if err := <-done; err == nil {
		t.Error("no error after Close")
	}
}

func TestServerLists(t *testing.T) {
	got, err := resolve.ParseServers([]string{"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:5353", "[2001:db8::2]"})
	if err != nil || fmt.Sprint(got) != "[192.0.2.1:53 192.0.2.1:5353 [2001:db8::1]:53 [2001:db8::1]:5353 [2001:db8::2]:53]" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "ns.example.org", "192.0.2.1:99999"} {
		if _, err := resolve.ParseServers([]string{bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkCachedMX(b *testing.B) {
	s := serve(b, "d.example. MX 10 mx.example.\n")
	r := open(b, resolve.Options{}, s)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.LookupMX(context.Background(), "d.example"); err != nil {
			b.Fatal(err)
		}
	}
}
