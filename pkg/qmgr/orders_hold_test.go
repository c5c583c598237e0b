package qmgr

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
)

func TestHoldEndsThoughItsReasonIsLong(t *testing.T) {
	r := ordersRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, For: "1h", Reason: strings.Repeat("because ", 200)})
	r.q = r.restarted()
	r.q.loadAll(t.Context())
	if next := r.q.releaseExpiredHolds(t.Context()); !next.Equal(noon.Add(time.Hour)) {
		t.Errorf("released at %v", next)
	}
}

// A crash between the line that says that a message is released and the move of its files.
func TestReleaseThatACrashHasCutOffIsMade(t *testing.T) {
	r := ordersRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, For: "1h", Reason: "lunch"})
	line := spool.LogLine{Time: noon.Add(time.Hour), Verb: spool.Released, Recipient: spool.WholeMessage}
	if err := r.q.spool.AppendLog(spool.Hold, 1, []spool.LogLine{line}); err != nil {
		t.Fatal(err)
	}
	r.q = r.restarted()
	r.q.loadAll(t.Context())
	r.q.releaseExpiredHolds(t.Context())
	r.q.wg.Wait()
	if e := r.q.sched.all.get(1); e == nil || e.state != waiting {
		t.Errorf("entry %+v", e)
	}
}
