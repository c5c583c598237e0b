package router_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/wire"
)

// TestExpansionEndsAndDeliversOnce: whatever aliases say, an answer comes, each
// recipient has a leaf, no two leaves deliver to one place, and asking again
// for a leaf gives that leaf.
func TestExpansionEndsAndDeliversOnce(t *testing.T) {
	l := newLab(t, "r.example. A 192.0.2.1\n", nil).start()
	names := []string{"a", "b", "c", "d", "alice", "bob", "carol"}
	rapid.Check(t, func(rt *rapid.T) {
		var text strings.Builder
		for _, name := range names[:rapid.IntRange(0, len(names)).Draw(rt, "aliases")] {
			items := rapid.SliceOfN(rapid.SampledFrom([]string{
				"a", "b", "c", "d", "alice", "bob", "carol", `\alice`, `\a`, "nosuch", "x@r.example", "y@r.example", "|/bin/x", "/var/f", "A", "alice+x",
				"b@sub.example.org", "owner-a",
			}), 1, 6).Draw(rt, name)
			fmt.Fprintf(&text, "%s: %s\n", name, strings.Join(items, ", "))
		}
		l.write("aliases", text.String())
		l.reload(l.set)
		rcpts := rapid.SliceOfN(rapid.SampledFrom(names), 1, 5).Draw(rt, "recipients")
		for i := range rcpts {
			rcpts[i] += "@example.org"
		}
		a := l.ask(to(rcpts...))
		has := make([]bool, len(rcpts))
		seen := map[string]bool{}
		for _, leaf := range a.Leaves {
			has[leaf.Parent] = true
			if leaf.Verdict.Class == outcome.Delivered {
				continue
			}
			key := strings.ToLower(show(leaf))
			if leaf.Verdict.Class != 0 {
				key = fmt.Sprint(leaf.Parent, key)
			}
			if seen[key] {
				rt.Fatalf("twice: %s\n%s", key, text.String())
			}
			seen[key] = true
			again := l.ask(&proto.RouteQuery{Sender: to().Sender, Recipients: []envelope.Recipient{leaf.Recipient}})
			if len(again.Leaves) != 1 || show(again.Leaves[0]) != show(leaf) {
				rt.Fatalf("retried, %s became %s\n%s", show(leaf), shows(again), text.String())
			}
		}
		for i, ok := range has {
			if !ok {
				rt.Fatalf("%s has no leaf\n%s", rcpts[i], text.String())
			}
		}
	})
}

// FuzzQuery gives the daemon frames that nobody in the suite would send.
func FuzzQuery(f *testing.F) {
	l := newLab(f, "", map[string]string{"aliases": "a: b, |/bin/x\n"}).start()
	for _, m := range []*proto.RouteQuery{to("a@example.org"), to("alice+x"), {Recipients: []envelope.Recipient{{Kind: envelope.TargetPipe, Target: "/bin/x"}}}} {
		var e wire.Encoder
		m.EncodeTo(&e)
		f.Add(e.Buf)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		var m proto.RouteQuery
		m.DecodeFrom(d)
		if d.Finish() != nil || len(m.Recipients) > 100 {
			return
		}
		for i := range m.Recipients {
			// Other domains would wait for the name server's silence.
			if a, err := m.Recipients[i].Address.WithDomain("example.org"); err == nil {
				m.Recipients[i].Address = a
			}
		}
		a := l.daemon.Answer(context.Background(), &m)
		has := make([]bool, len(m.Recipients))
		for _, leaf := range a.Leaves {
			has[leaf.Parent] = true
			if leaf.Verdict.Class == 0 && leaf.Transport == "" {
				t.Error("a leaf without transport and verdict")
			}
		}
		for i, ok := range has {
			if !ok {
				t.Errorf("recipient %d has no leaf", i)
			}
		}
	})
}

func BenchmarkRemoteWarm(b *testing.B) {
	l := newLab(b, "d.example. MX 10 mx.d.example.\nmx.d.example. A 192.0.2.1\n", nil).start()
	m := to("x@d.example")
	b.ReportAllocs()
	for b.Loop() {
		if a := l.daemon.Answer(context.Background(), m); len(a.Leaves[0].Hosts) != 1 {
			b.Fatal(shows(a))
		}
	}
}

func BenchmarkLocalWarm(b *testing.B) {
	l := newLab(b, "", map[string]string{"aliases": "x: y\n"}).start()
	m := to("alice@example.org")
	b.ReportAllocs()
	for b.Loop() {
		if a := l.daemon.Answer(context.Background(), m); a.Leaves[0].User == nil {
			b.Fatal(shows(a))
		}
	}
}

func BenchmarkAlias(b *testing.B) {
	var text strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&text, "name%d: alice, bob\n", i)
	}
	l := newLab(b, "", map[string]string{"aliases": text.String()}).start()
	m := to("name4711@example.org")
	b.ReportAllocs()
	for b.Loop() {
		if a := l.daemon.Answer(context.Background(), m); len(a.Leaves) != 2 {
			b.Fatal(shows(a))
		}
	}
}

// BenchmarkFanOut is one address for 50,000.
func BenchmarkFanOut(b *testing.B) {
	var text strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&text, "user%d@d%d.example\n", i, i%100)
	}
	l := newLab(b, "*.example. MX 10 mx.example.\nmx.example. A 192.0.2.1\n", map[string]string{"aliases": "list: :include:members\n", "members": text.String()}).start()
	m := to("list@example.org")
	b.ReportAllocs()
	for b.Loop() {
		if a := l.daemon.Answer(context.Background(), m); len(a.Leaves) != 50_000 {
			b.Fatal(len(a.Leaves))
		}
	}
}

// BenchmarkArrow is a warm remote address over the socket, as dispatch asks.
func BenchmarkArrow(b *testing.B) {
	l := newLab(b, "d.example. MX 10 mx.d.example.\nmx.d.example. A 192.0.2.1\n", nil).start()
	m := to("x@d.example")
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			var a proto.RouteAnswer
			if err := l.client.Call(context.Background(), m, &a); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
