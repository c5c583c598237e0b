package journal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"filbert/pkg/durable"
	"filbert/pkg/queueid"
)

// BenchmarkCommit commits messages of 5 KiB on the disk of the working
// directory, with a Marker that finishes them at once.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchCommit(b, writers) })
	}
}

func benchCommit(b *testing.B, writers int) {
	dir, err := os.MkdirTemp(".", "bench")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Mkdir(filepath.Join(dir, incoming), 0o700); err != nil {
		b.Fatal(err)
	}
	fsys, err := durable.Open(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer fsys.Close()
	counter := &countingFS{FS: fsys}
	w, err := Open(counter, Options{Problem: func(err error) { b.Log(err) }})
	if err != nil {
		b.Fatal(err)
	}
	m, err := OpenMarker(fsys, MarkerOptions{})
	if err != nil {
		b.Fatal(err)
	}
	envelope, content := make([]byte, 300), make([]byte, 5<<10)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	counter.flushes.Store(0)
	b.ResetTimer()
	var wg sync.WaitGroup
	for g := range writers {
		wg.Go(func() {
			for i := g; i < b.N; i += writers {
				ref, err := w.Commit(context.Background(), Record{ID: queueid.ID(i + 1), Envelope: envelope, Content: content})
				if err != nil {
					b.Error(err)
					return
				}
				m.Done(ref)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(counter.flushes.Load())/float64(b.N), "flushes/msg")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	if err := w.Close(); err != nil {
		b.Error(err)
	}
	if err := m.Close(); err != nil {
		b.Error(err)
	}
}
