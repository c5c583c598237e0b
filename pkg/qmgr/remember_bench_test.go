package qmgr

import (
	"fmt"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

// BenchmarkRemember reads an index of 100,000 messages into a schedule.
func BenchmarkRemember(b *testing.B) {
	r := newRigFor(b)
	if err := prepareIndex(r.q.fs); err != nil {
		b.Fatal(err)
	}
	r.q.openIndex()
	for i := range 100_000 {
		e := r.q.sched.put(&proto.Summary{
			ID: queueid.ID(i + 1), NextHop: fmt.Sprintf("d%d.example", i%10_000), Arrived: noon.Unix(), Attempts: 9, Waiting: 1,
			Due: noon.Add(time.Duration(i*7919%100_000) * time.Second).UnixMilli(),
		}, noon, 0)
		r.q.keepAddresses(e, []string{"a@example.org", fmt.Sprintf("b%d@d%d.example", i, i%10_000)})
	}
	r.q.loaded.Store(true)
	if err := r.q.writeNews(true); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.q.disk.index.Close()
		r.q.sched = newSchedule(settings.Default())
		r.q.openIndex()
		if r.q.sched.all.n != 100_000 {
			b.Fatal(r.q.sched.all.n)
		}
	}
}
