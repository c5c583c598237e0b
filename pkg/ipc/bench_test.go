package ipc

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkCalls is the figure of merit of this package: calls per second
// over one connection, as one smtpd makes them to cleanup.
func BenchmarkCalls(b *testing.B) {
	for _, bc := range []struct {
		name    string
		callers int
		size    int
		handler Handler
	}{
		{"1caller/100B", 1, 100, echo},
		{"50callers/100B", 50, 100, echo},
		{"50callers/100B/spawn", 50, 100, Spawn(echo)},
		{"50callers/5KiB", 50, 5 << 10, echo},
	} {
		b.Run(bc.name, func(b *testing.B) {
			_, uc := serve(b, bc.handler, ServerOptions{})
			c := dialled(b, uc, Options{})
			<-c.Ready()
			req := &text{strings.Repeat("x", bc.size)}
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range bc.callers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for left.Add(-1) >= 0 {
						var m text
						if err := c.Call(context.Background(), req, &m); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
