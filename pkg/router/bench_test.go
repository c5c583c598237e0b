package router_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"filbert/pkg/settings"
)

// routesTo puts n routers into a lab, of which the last takes the mail: each
// has its own domains, and hosts that need no DNS.
func routesTo(l *lab, n int) {
	l.set.Routers = nil
	for i := range n {
		l.set.Routers = append(l.set.Routers, settings.Router{
			Name: fmt.Sprintf("r%d", i), Driver: "smarthost", Hosts: []string{"[192.0.2.1]"}, Transport: "smtp",
			Conditions: settings.Conditions{Domains: []string{fmt.Sprintf("d%d.example", i), fmt.Sprintf("*.d%d.example", i)}},
		})
	}
}

// BenchmarkRoutes asks for addresses that the last of 10 or 1,000 routers takes.
// Warm, the route of the domain is remembered; cold, each domain is a new one.
func BenchmarkRoutes(b *testing.B) {
	for _, n := range []int{10, 1000} {
		for _, warm := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/%s", n, map[bool]string{false: "cold", true: "warm"}[warm]), func(b *testing.B) {
				l := newLab(b, "", nil)
				routesTo(l, n)
				l.start()
				queries := 0
				b.ReportAllocs()
				for b.Loop() {
					domain := fmt.Sprintf("d%d.example", n-1)
					if !warm {
						domain = fmt.Sprintf("h%d.%s", queries, domain)
					}
					queries++
					if a := l.daemon.Answer(context.Background(), to("x@"+domain)); len(a.Leaves[0].Hosts) != 1 {
						b.Fatal(shows(a))
					}
				}
				b.ReportMetric(float64(queries)/b.Elapsed().Seconds(), "addresses/s")
			})
		}
	}
}

// BenchmarkDirectors asks for a user whom the last of 10 or 1,000 directors
// takes, by conditions on the local part.
func BenchmarkDirectors(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b, "", nil)
			users := l.set.Directors[1]
			l.set.Directors = nil
			for i := range n - 1 {
				d := users
				d.Name, d.LocalParts = fmt.Sprintf("class%d", i), []string{fmt.Sprintf("c%d-*", i)}
				l.set.Directors = append(l.set.Directors, d)
			}
			l.set.Directors = append(l.set.Directors, users)
			l.start()
			m := to("alice@example.org")
			b.ReportAllocs()
			for b.Loop() {
				if a := l.daemon.Answer(context.Background(), m); a.Leaves[0].User == nil {
					b.Fatal(shows(a))
				}
			}
		})
	}
}

// BenchmarkMillionAliases asks a file of 1,000,000 aliases, and tells how much
// memory it takes beside the text.
func BenchmarkMillionAliases(b *testing.B) {
	const n = 1_000_000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "name%07d: alice\n", i)
	}
	size := text.Len()
	l := newLab(b, "", map[string]string{"aliases": text.String()})
	text.Reset()
	before := heap()
	l.start()
	beside := float64(heap()-before-uint64(size)) / (1 << 20)
	asked := 0
	b.ReportAllocs()
	for b.Loop() {
		asked++
		if a := l.daemon.Answer(context.Background(), to(fmt.Sprintf("name%07d@example.org", asked*7919%n))); a.Leaves[0].User == nil {
			b.Fatal(shows(a))
		}
	}
	b.ReportMetric(float64(asked)/b.Elapsed().Seconds(), "addresses/s")
	b.ReportMetric(float64(size)/(1<<20), "MiB-text")
	b.ReportMetric(beside, "MiB-beside")
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
