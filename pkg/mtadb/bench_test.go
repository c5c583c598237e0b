package mtadb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filbert/pkg/history"
	"filbert/pkg/queueid"
)

// recordsVar says how many messages BenchmarkHistory keeps; 10,000,000 takes some
// minutes and 3 GB.
const recordsVar = "HISTORY_RECORDS"

// BenchmarkHistory fills a history from lines of a log, over 14 days, and asks it. The
// figures of doc/MANUAL.md are from
//
//	HISTORY_RECORDS=10000000 go test -run - -bench History -benchtime 1x -timeout 1h ./pkg/mtadb
func BenchmarkHistory(b *testing.B) {
	records, err := strconv.Atoi(os.Getenv(recordsVar))
	if err != nil {
		records = 100_000
	}
	for range b.N {
		dir := b.TempDir()
		s := opened(b, dir)
		began := time.Now()
		fill(b, s, records)
		took := time.Since(began)
		if err := s.db.Flush(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(records)/took.Seconds(), "messages/s")
		b.ReportMetric(float64(onDisk(b, dir))/float64(records), "octets/message")
		b.ReportMetric(float64(resident("VmRSS"))/1024, "MB-rss")
		b.ReportMetric(float64(resident("RssAnon"))/1024, "MB-anon")
		for name, q := range map[string]func() query{
			"ms/recipient": func() query { return by(history.ByRecipient, address(rand.IntN(people))) },
			"ms/id": func() query {
				return query{id: queueid.FromTime(noon.Add(14 * 24 * time.Hour / time.Duration(records) * time.Duration(rand.IntN(records))))}
			},
			"ms/domain": func() query { return by(history.ByDomain, fmt.Sprintf("d%d.test", rand.IntN(1000))) },
		} {
			b.ReportMetric(median(b, s, q), name)
		}
		shut(b, s)
	}
}

// people is how many recipients there are.
const people = 200_000

func address(n int) string { return fmt.Sprintf("user%d@d%d.test", n, n%1000) }

func fill(b *testing.B, s *store, records int) {
	step := 14 * 24 * time.Hour / time.Duration(records)
	var log strings.Builder
	for i := range records {
		at := noon.Add(step * time.Duration(i))
		id := queueid.FromTime(at) | queueid.ID(i&0x3fff)
		log.WriteString(line(at, id, fmt.Sprintf("received from=<sender%d@here.test> nrcpt=1 size=4096 client=192.0.2.%d proto=ESMTP port=smtp msgid=<%x.%d@mail.here.test> by=cleanup", i%5000, i%250, rand.Uint64(), i)))
		log.WriteString(line(at, id, fmt.Sprintf("delivered to=<%s> via=smtp host=mx.d%d.test ip=198.51.100.%d tls=TLS1.3 code=250 took=12.3ms age=15.0ms said=\"2.0.0 Ok: queued as %x\" by=dispatch", address(rand.IntN(people)), i%1000, i%250, rand.Uint32())))
		log.WriteString(line(at, id, "finished by=dispatch"))
		if log.Len() > chunk || i == records-1 {
			told(b, s, noon.Add(14*24*time.Hour), log.String())
			log.Reset()
		}
	}
}

// median of the milliseconds that a query takes.
func median(b *testing.B, s *store, make func() query) float64 {
	var all []float64
	for range 101 {
		q := make()
		q.limit = 100
		began := time.Now()
		if err := s.find(context.Background(), &q, func(found) bool { return true }); err != nil {
			b.Fatal(err)
		}
		all = append(all, float64(time.Since(began).Microseconds())/1000)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func onDisk(b *testing.B, dir string) int64 {
	var sum int64
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return sum
}

// resident is a line of our own status, in KB.
func resident(key string) int {
	status, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(l, key+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}
