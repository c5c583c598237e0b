package qmgr

import (
	"fmt"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/ledger"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// BenchmarkLoad reads a message that was tried nine times into the schedule.
func BenchmarkLoad(b *testing.B) {
	r := newRigFor(b)
	env := &envelope.Envelope{
		ID: 1, Source: envelope.FromSMTP, Arrived: noon, Size: 4, Sender: mailaddr.MustParse("a@example.org"),
		Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("b@x.example")}},
	}
	o := outcome.Outcome{
		Class: outcome.Deferred, Kind: outcome.Refused, Status: smtp.Status{Class: 4, Subject: 4, Detail: 1},
		Transport: "smtp", Remote: "mx.x.example", RemoteIP: "192.0.2.1", Text: untrusted.From("connection refused"),
	}
	m := &spool.Message{ID: 1, Envelope: env.Marshal(), Content: []byte("x\r\n\r\n")}
	for i := range 9 {
		m.Log = append(m.Log, spool.LineOf(noon.Add(time.Duration(i)*time.Minute), 0, ledger.KeyText(&env.Recipients[0]), o))
	}
	if err := r.q.spool.File(spool.Deferred, m); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.q.loadOne(spool.Deferred, 1); err != nil {
			b.Fatal(err)
		}
		r.q.sched.drop(r.q.sched.all.get(1))
	}
}

// BenchmarkSchedule puts a message into a schedule that grows, in no order of ids; the
// bytes are what it keeps of one.
func BenchmarkSchedule(b *testing.B) {
	s := newSchedule(settings.Default())
	sum := proto.Summary{Arrived: noon.Unix(), LastAttempt: noon.Unix(), Attempts: 1, Waiting: 1}
	hops := make([]string, 10_000)
	for i := range hops {
		hops[i] = fmt.Sprintf("d%d.example", i)
	}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		sum.ID, sum.NextHop = queueid.ID(i*0x9e3779b97f4a7c15>>10), hops[i%10_000]
		sum.Due = noon.Add(time.Duration(i*0x9e3779b97f4a7c15>>40) * time.Millisecond).UnixMilli()
		s.put(&sum, noon, 0)
	}
}
