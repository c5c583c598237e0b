package spool

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// BenchmarkDeferral files a message of 5 KiB, notes an attempt and removes it, on
// the disk of the working directory.
func BenchmarkDeferral(b *testing.B) {
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	fsys, err := durable.Open(filepath.Clean(dir))
	if err != nil {
		b.Fatal(err)
	}
	defer fsys.Close()
	if err := Prepare(fsys); err != nil {
		b.Fatal(err)
	}
	s := New(fsys)
	content := make([]byte, 5<<10)
	b.ReportAllocs()
	b.ResetTimer()
	const writers = 20
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := g; i < b.N; i += writers {
				id := queueid.ID(i+1) << 14
				m := &Message{ID: id, Envelope: []byte("e"), Content: content, Log: []LogLine{line(DeferredV, 0, "later")}}
				if err := s.File(Deferred, m); err != nil {
					b.Error(err)
				}
				last := []LogLine{line(Delivered, 0, "fine"), line(Finished, WholeMessage, "")}
				if err := s.AppendLog(Deferred, id, last); err != nil {
					b.Error(err)
				}
				if err := s.Remove(Deferred, id, when); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
