package lookup_test

import (
	"fmt"
	"runtime"
	"testing"

	"filbert/pkg/lookup"
)

const benchLines = 1_000_000

func benchText() []byte {
	data := make([]byte, 0, 64*benchLines)
	for i := range benchLines {
		data = fmt.Appendf(data, "user%07d@dept%d.example.org  user%d@mailhost%d.example.net\n", i, i%1000, i, i%7)
	}
	return append([]byte(nil), data...)
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// BenchmarkTextMillion reports what a million lines cost beside the file
// (octets/line) and what a question costs.
func BenchmarkTextMillion(b *testing.B) {
	data := benchText()
	before := heap()
	x, err := lookup.ParseText("f", data)
	if err != nil || x.Len() != benchLines {
		b.Fatal(err)
	}
	extra := heap() - before
	keys := make([]string, 4096)
	for i := range keys {
		n := i * 7919 % benchLines
		keys[i] = fmt.Sprintf("user%07d@dept%d.example.org", n, n%1000)
	}
	for name, suffix := range map[string]string{"found": "", "absent": "x"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(data))/1e6, "MB-file")
			b.ReportMetric(extra/1e6, "MB-beside")
			for i := range b.N {
				if x.Find(keys[i%len(keys)]+suffix).Found != (suffix == "") {
					b.Fatal("wrong")
				}
			}
		})
	}
	runtime.KeepAlive(data)
}

func BenchmarkParseTextMillion(b *testing.B) {
	data := benchText()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lookup.ParseText("f", data); err != nil {
			b.Fatal(err)
		}
	}
}
