package journal

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestFlushesAreTold(t *testing.T) {
	var flushes, records, marks atomic.Int64
	f := newFS(t)
	w := openWriter(t, f, Options{SegmentSize: 1 << 20, Flushed: func(n int, _ time.Duration) {
		flushes.Add(1)
		records.Add(int64(n))
	}})
	hold, entered := make(chan struct{}), make(chan struct{})
	w.CommitAsync(message(2), func(Ref, error) { close(entered); <-hold })
	<-entered
	var refs [50]Ref
	var wg sync.WaitGroup
	for n := range refs {
		wg.Add(1)
		w.CommitAsync(message(10+n), func(ref Ref, _ error) {
			refs[n] = ref
			wg.Done()
		})
	}
	close(hold)
	wg.Wait()
	if flushes.Load() != 2 || records.Load() != 51 {
		t.Errorf("%d records with %d flushes", records.Load(), flushes.Load())
	}

	m := openMarker(t, f, MarkerOptions{Flushed: func(time.Duration) { marks.Add(1) }})
	for _, ref := range refs {
		m.Done(ref)
	}
	must(t, m.FlushNow(t.Context()))
	must(t, m.FlushNow(t.Context())) // there is nothing to flush
	if marks.Load() != 1 {
		t.Errorf("%d flushes of marks", marks.Load())
	}
}
