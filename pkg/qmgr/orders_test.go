package qmgr

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"filbert/pkg/durable"
	"filbert/pkg/ledger"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/spool"
	"filbert/pkg/standing"
)

// ordersRig is a rig with the directory of orders.
func ordersRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if err := prepareOrders(r.q.fs); err != nil {
		t.Fatal(err)
	}
	if err := r.q.openOrders(); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) post(path string, in any) (int, string) {
	r.t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		r.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r.q.handler().ServeHTTP(w, httptest.NewRequest("POST", path, bytes.NewReader(b)))
	return w.Code, w.Body.String()
}

// give gives an order that must be taken.
func (r *rig) give(req proto.OrderRequest) proto.StandingOrder {
	r.t.Helper()
	code, body := r.post("/v1/orders", req)
	var o proto.StandingOrder
	if code != http.StatusOK || json.Unmarshal([]byte(body), &o) != nil {
		r.t.Fatalf("%d %s", code, body)
	}
	return o
}

// restarted is a manager that comes after one that was killed.
func (r *rig) restarted() *Manager {
	r.t.Helper()
	q := New()
	q.now, q.log, q.fs, q.spool, q.dispatch = r.q.now, r.q.log, r.q.fs, r.q.spool, r.q.dispatch
	q.settings.Store(r.q.settings.Load())
	q.sched = newSchedule(r.q.settings.Load())
	q.mended.Store(true)
	if err := q.openOrders(); err != nil {
		r.t.Fatal(err)
	}
	return q
}

// ordered files a message that an order keeps.
func (r *rig) ordered(id queueid.ID, order uint64) {
	r.t.Helper()
	r.file(id, "a@example.org", "b@x.example", noon)
	o := proto.StandingOrder{Number: order, Kind: proto.OrderHold, Target: "x.example"}
	said := outcome.Defer(outcome.Ordered, statusOfTest, "order %d (%s %s) keeps it until the order is cancelled", o.Number, o.Kind, o.Target)
	m, err := r.q.read(spool.Deferred, id)
	if err != nil {
		r.t.Fatal(err)
	}
	line := spool.LineOf(noon.Add(time.Second), 0, ledger.KeyText(&m.env.Recipients[0]), said)
	if err := r.q.spool.AppendLog(spool.Deferred, id, []spool.LogLine{line}); err != nil {
		r.t.Fatal(err)
	}
}

var statusOfTest = outcome.Outcome{}.Status

func TestOrderIsOnDiskAndToldBeforeItIsAnswered(t *testing.T) {
	r := ordersRig(t)
	o := r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "x.example", For: "2h", Reason: "why\r\nnot"})
	if o.Number != 1 || !o.Until.Equal(noon.Add(2*time.Hour)) || strings.ContainsAny(o.Reason, "\r\n") || o.Who == "" {
		t.Errorf("%+v", o)
	}
	if len(r.told) != 1 || len(r.told[0].List) != 1 || r.told[0].List[0].Number != 1 {
		t.Errorf("dispatch was told %+v", r.told)
	}
	if list := r.restarted().inForce(); len(list) != 1 || list[0].Target != "x.example" {
		t.Errorf("after a restart %+v", list)
	}
}

func TestNumbersOfOrdersAreNeverUsedAgain(t *testing.T) {
	r := ordersRig(t)
	r.give(proto.OrderRequest{Kind: proto.OrderSuspend, Target: "all"})
	if code, body := r.post("/v1/orders/1/cancel", proto.CancelRequest{}); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	if code, _ := r.post("/v1/orders/1/cancel", proto.CancelRequest{}); code != http.StatusNotFound {
		t.Errorf("cancelled twice: %d", code)
	}
	r.q = r.restarted()
	if o := r.give(proto.OrderRequest{Kind: proto.OrderSuspend, Target: "all"}); o.Number != 2 {
		t.Errorf("number %d", o.Number)
	}
}

func TestOrdersThatCantBeObeyedAreRefused(t *testing.T) {
	r := ordersRig(t)
	for _, req := range []proto.OrderRequest{
		{}, {Kind: proto.OrderHold}, {Kind: proto.OrderHold, Target: "x.example", For: "soon"},
		{Kind: proto.OrderHold, Target: "x.example", For: "0s"}, {Kind: proto.OrderReroute, Target: "x.example", To: "[x"},
	} {
		if code, body := r.post("/v1/orders", req); code != http.StatusBadRequest {
			t.Errorf("%+v: %d %s", req, code, body)
		}
	}
	if code, _ := r.post("/v1/orders/x/cancel", proto.CancelRequest{}); code != http.StatusBadRequest {
		t.Errorf("cancel x: %d", code)
	}
}

func TestAnotherLimitTakesThePlaceOfTheFirst(t *testing.T) {
	r := ordersRig(t)
	r.give(proto.OrderRequest{Kind: proto.OrderLimit, Target: "deliveries", Value: 3})
	r.give(proto.OrderRequest{Kind: proto.OrderLimit, Target: "local", Value: 3})
	r.give(proto.OrderRequest{Kind: proto.OrderLimit, Target: "deliveries", Value: 5})
	if list := r.q.inForce(); len(list) != 2 || list[1].Value != 5 {
		t.Errorf("%+v", list)
	}
}

func TestWhatAnOrderKeepsIsDueWhenItIsCancelled(t *testing.T) {
	r := ordersRig(t)
	o := r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "x.example"})
	other := r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "y.example"})
	r.ordered(1, o.Number)
	r.q.loadAll(t.Context())
	due := func() time.Duration { return time.UnixMilli(r.q.sched.all.get(1).due).Sub(noon) }
	if due() != orderRecheck {
		t.Errorf("due in %v while the order stands", due())
	}
	if _, err := r.q.cancelOrder(other.Number, author{}); err != nil || due() != orderRecheck {
		t.Errorf("due in %v when another was cancelled (%v)", due(), err)
	}
	if _, err := r.q.cancelOrder(o.Number, author{}); err != nil || due() != 0 {
		t.Errorf("due in %v when it was cancelled (%v)", due(), err)
	}
}

func TestWhatAnOrderKeepsIsDueWhenItExpires(t *testing.T) {
	r := ordersRig(t)
	o := r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "x.example", For: "1h"})
	r.ordered(1, o.Number)
	r.q.loadAll(t.Context())
	if due := time.UnixMilli(r.q.sched.all.get(1).due); !due.Equal(o.Until) {
		t.Errorf("due at %v, not at the end of the order", due)
	}
	r.now = noon.Add(time.Hour)
	if next := r.q.expireOrders(); !next.IsZero() || len(r.q.inForce()) != 0 || len(r.restarted().book.list) != 0 {
		t.Errorf("next end %v, in force %v", next, r.q.inForce())
	}
	if e := r.q.sched.all.get(1); e.due > r.now.UnixMilli() || len(r.q.waits) != 0 {
		t.Errorf("due %v", time.UnixMilli(e.due))
	}
}

func TestWhatAnOrderKeptIsDueAfterARestartWithoutIt(t *testing.T) {
	r := ordersRig(t)
	r.ordered(1, 7)
	r.q.loadAll(t.Context())
	if e := r.q.sched.all.get(1); e.due != noon.UnixMilli() {
		t.Errorf("due %v", time.UnixMilli(e.due))
	}
}

func TestDamagedOrdersAreSetAsideAndTheGoodOnesStay(t *testing.T) {
	r := ordersRig(t)
	r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "x.example"})
	data, err := durable.ReadFile(r.q.fs, standing.FileName, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(r.q.fs, standing.FileName, 0o600, data, []byte("{torn")); err != nil {
		t.Fatal(err)
	}
	q := r.restarted()
	if list := q.inForce(); len(list) != 1 || q.book.next != 2 {
		t.Errorf("in force %+v, next %d", list, q.book.next)
	}
	kept, err := durable.ReadFile(r.q.fs, corruptOrders+noon.Format("20060102T150405"), 1<<20)
	if err != nil || !bytes.HasSuffix(kept, []byte("{torn")) {
		t.Errorf("set aside: %q, %v", kept, err)
	}
	if _, _, err := standing.Load(r.q.fs); err != nil {
		t.Error(err)
	}
}

func TestOrderThatCouldNotBeKeptIsNotInForce(t *testing.T) {
	r := newRig(t) // without the directory
	if code, _ := r.post("/v1/orders", proto.OrderRequest{Kind: proto.OrderSuspend, Target: "all"}); code != http.StatusInternalServerError {
		t.Errorf("answered %d", code)
	}
	if len(r.q.inForce()) != 0 || len(r.told) != 0 {
		t.Error("it is in force all the same")
	}
}

func TestHoldForATimeEndsByItselfAfterARestartToo(t *testing.T) {
	r := ordersRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.q.loadAll(t.Context())
	if code, res := r.order("hold", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, For: "1h", Reason: "lunch (until dawn)"}); code != 200 || res.Done != 1 {
		t.Fatalf("%d %+v", code, res)
	}
	r.q = r.restarted()
	r.q.loadAll(t.Context())
	if next := r.q.releaseExpiredHolds(t.Context()); !next.Equal(noon.Add(time.Hour)) {
		t.Fatalf("released at %v", next)
	}
	r.now = noon.Add(time.Hour)
	r.q.releaseExpiredHolds(t.Context())
	r.q.wg.Wait()
	if e := r.q.sched.all.get(1); e == nil || e.state != waiting {
		t.Errorf("entry %+v", e)
	}
}

func TestOnlyHoldsEndByThemselves(t *testing.T) {
	r := ordersRig(t)
	if code, _ := r.order("delete", proto.QueueOrder{IDs: []string{queueid.ID(1).String()}, For: "1h"}); code != http.StatusBadRequest {
		t.Errorf("answered %d", code)
	}
}

func TestRunLeavesOutWhatAnyExceptionMatches(t *testing.T) {
	r := ordersRig(t)
	r.file(1, "a@example.org", "b@x.example", noon)
	r.file(2, "a@example.org", "b@y.example", noon.Add(-48*time.Hour))
	r.file(3, "a@example.org", "b@z.example", noon)
	r.q.loadAll(t.Context())
	for _, c := range []struct {
		ids    []string
		except proto.QueueFilter
		want   int
	}{
		{nil, proto.QueueFilter{}, 3},
		{[]string{queueid.ID(1).String()}, proto.QueueFilter{}, 2},
		{nil, proto.QueueFilter{Older: "1d"}, 2},
		{nil, proto.QueueFilter{Domain: "z.example", Older: "1d"}, 1},
		{nil, proto.QueueFilter{Larger: "3"}, 0},
		{nil, proto.QueueFilter{Smaller: "3"}, 3},
		{nil, proto.QueueFilter{Why: "LATER"}, 0},
	} {
		code, res := r.order("retry", proto.QueueOrder{All: true, ExceptIDs: c.ids, Except: c.except, DryRun: true})
		if code != http.StatusOK || res.Matched != c.want {
			t.Errorf("except %v %+v: %d, %d messages, not %d", c.ids, c.except, code, res.Matched, c.want)
		}
	}
}

// A full disk must not keep an order in force, or tell of its end once a minute.
func TestOrdersExpireOnceThoughTheFileCannotBeWritten(t *testing.T) {
	r := ordersRig(t)
	r.give(proto.OrderRequest{Kind: proto.OrderHold, Target: "x.example", For: "1h"})
	r.give(proto.OrderRequest{Kind: proto.OrderSuspend, Target: "all"})
	if err := r.q.fs.Rename(standing.Dir, "elsewhere"); err != nil {
		t.Fatal(err)
	}
	r.now = noon.Add(2 * time.Hour)
	r.q.expireOrders()
	if list := r.q.book.list; len(list) != 1 || list[0].Number != 2 {
		t.Errorf("%+v", list)
	}
}
