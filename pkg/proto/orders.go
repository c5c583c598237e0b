package proto

import (
	"time"

	"filbert/pkg/queueid"
	"filbert/pkg/wire"
)

// The arrows of the administrator's standing orders.
//
//	1. C: Orders        all orders in force, in place of those told before
//	   S: OrdersTaken   they are obeyed from now on, by first attempts too
//
// qmgr -> dispatch at each change and whenever their connection comes up; qmgr ->
// master over the channel of the daemon, and master -> smtpd likewise (Start has them
// too), as smtpd is called by nobody. Each keeps the last copy and sees by itself
// when an order expires: they hold while qmgr is away.
//
//	2. C: Abort         the attempt of a message that is under way is to end
//	   S: Aborted       what it was doing
//
// qmgr -> dispatch, first attempts too; and for one delivery to another machine
//
//	3. C: Abandon       dispatch -> smtp-client: end all that is done for a message
//	   S: Abandoned     how many deliveries that was; their outcomes come as always
//
// Losing any of them loses no mail: an order is told again, an abort typed again.

// OrderKind says what a standing order does.
type OrderKind string

// The kinds.
const (
	OrderHold    OrderKind = "hold"    // what goes to Target waits
	OrderReroute OrderKind = "reroute" // what goes to Target goes to the hosts of To
	OrderSuspend OrderKind = "suspend" // nothing of Target is done
	OrderLimit   OrderKind = "limit"   // at most Value of Target at once
)

// The targets of OrderSuspend and OrderLimit. Some have more behind a colon.
const (
	TargetAll         = "all"          // deliveries
	TargetLocal       = "local"        // deliveries to mailboxes and commands
	TargetRemote      = "remote"       // deliveries to other machines
	TargetTransport   = "transport:"   // and its name
	TargetDestination = "destination:" // and a pattern of domains, hosts, addresses
	TargetReception   = "reception"    // of mail, by listeners that are not for submission
	TargetDeliveries  = "deliveries"   // limit
	TargetReceptions  = "receptions"   // limit: connections of each listener; or with ":" and its name
)

// Bounds of orders.
const (
	MaxOrders     = 1000
	leastOrder    = 8 + 5*4 + 3*8
	maxOrderWords = 1024
)

// StandingOrder is one order of an administrator's that is in force.
type StandingOrder struct {
	Number uint64    `json:"number"` // never used again
	Kind   OrderKind `json:"order"`
	Target string    `json:"target"`
	To     string    `json:"to,omitempty"`    // reroute: hosts, separated by spaces
	Value  int       `json:"value,omitempty"` // limit
	Who    string    `json:"who"`             // by the kernel's word
	Reason string    `json:"reason,omitempty"`
	Made   time.Time `json:"made"`
	Until  time.Time `json:"until,omitzero"` // zero: until it is cancelled
}

// InForce tells whether the order has not expired.
func (o *StandingOrder) InForce(now time.Time) bool { return o.Until.IsZero() || now.Before(o.Until) }

func (o *StandingOrder) encodeTo(e *wire.Encoder) {
	e.U64(o.Number)
	for _, s := range []string{string(o.Kind), o.Target, o.To, o.Who, o.Reason} {
		encodeWords(e, s, maxOrderWords)
	}
	e.I64(int64(o.Value))
	e.I64(unixMilli(o.Made))
	e.I64(unixMilli(o.Until))
}

func (o *StandingOrder) decodeFrom(d *wire.Decoder) {
	o.Number = d.U64()
	o.Kind = OrderKind(d.String(maxOrderWords))
	for _, s := range []*string{&o.Target, &o.To, &o.Who, &o.Reason} {
		*s = d.String(maxOrderWords)
	}
	o.Value = int(d.I64())
	o.Made = fromMilli(d.I64())
	o.Until = fromMilli(d.I64())
}

func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func encodeOrders(e *wire.Encoder, list []StandingOrder) {
	list = list[:min(len(list), MaxOrders)]
	e.Count(len(list))
	for i := range list {
		list[i].encodeTo(e)
	}
}

func decodeOrders(d *wire.Decoder) []StandingOrder {
	n := d.Count(MaxOrders, leastOrder)
	if n == 0 {
		return nil
	}
	list := make([]StandingOrder, n)
	for i := range list {
		list[i].decodeFrom(d)
	}
	return list
}

// Orders are all in force.
type Orders struct {
	List []StandingOrder
}

// Kind is KindOrders.
func (*Orders) Kind() uint16 { return KindOrders }

// EncodeTo appends the message.
func (m *Orders) EncodeTo(e *wire.Encoder) { encodeOrders(e, m.List) }

// DecodeFrom reads it.
func (m *Orders) DecodeFrom(d *wire.Decoder) { m.List = decodeOrders(d) }

// OrdersTaken acknowledges.
type OrdersTaken struct{}

// Kind is KindOrdersTaken.
func (*OrdersTaken) Kind() uint16 { return KindOrdersTaken }

// EncodeTo appends nothing.
func (*OrdersTaken) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*OrdersTaken) DecodeFrom(*wire.Decoder) {}

// Abort ends the attempt of a message that is under way.
type Abort struct {
	ID     queueid.ID
	Hard   bool   // as a failure, which is reported; else it is deferred
	Reason string // who, and why
}

// Kind is KindAbort.
func (*Abort) Kind() uint16 { return KindAbort }

// EncodeTo appends the message.
func (m *Abort) EncodeTo(e *wire.Encoder) {
	e.U64(uint64(m.ID))
	e.Bool(m.Hard)
	encodeWords(e, m.Reason, maxWords)
}

// DecodeFrom reads it.
func (m *Abort) DecodeFrom(d *wire.Decoder) {
	m.ID = queueid.ID(d.U64())
	m.Hard = d.Bool()
	m.Reason = d.String(maxWords)
}

// Aborted answers Abort.
type Aborted struct {
	UnderWay bool  // false: no attempt was
	First    bool  // it was the first attempt
	Since    int64 // when the attempt began, Unix milliseconds
}

// Kind is KindAborted.
func (*Aborted) Kind() uint16 { return KindAborted }

// EncodeTo appends the message.
func (m *Aborted) EncodeTo(e *wire.Encoder) {
	e.Bool(m.UnderWay)
	e.Bool(m.First)
	e.I64(m.Since)
}

// DecodeFrom reads it.
func (m *Aborted) DecodeFrom(d *wire.Decoder) {
	m.UnderWay = d.Bool()
	m.First = d.Bool()
	m.Since = d.I64()
}

// Abandon ends the deliveries of a message.
type Abandon struct {
	ID queueid.ID
}

// Kind is KindAbandon.
func (*Abandon) Kind() uint16 { return KindAbandon }

// EncodeTo appends the message.
func (m *Abandon) EncodeTo(e *wire.Encoder) { e.U64(uint64(m.ID)) }

// DecodeFrom reads it.
func (m *Abandon) DecodeFrom(d *wire.Decoder) { m.ID = queueid.ID(d.U64()) }

// Abandoned says how many there were.
type Abandoned struct {
	Count uint32
}

// Kind is KindAbandoned.
func (*Abandoned) Kind() uint16 { return KindAbandoned }

// EncodeTo appends the message.
func (m *Abandoned) EncodeTo(e *wire.Encoder) { e.U32(m.Count) }

// DecodeFrom reads it.
func (m *Abandoned) DecodeFrom(d *wire.Decoder) { m.Count = d.U32() }

// OrderRequest gives an order: POST /v1/orders on run/control/qmgr, S: 200 StandingOrder.
// By the answer it is on disk, and dispatch obeys it if it runs.
type OrderRequest struct {
	Kind   OrderKind `json:"order"`
	Target string    `json:"target"`
	To     string    `json:"to,omitempty"`
	Value  int       `json:"value,omitempty"`
	For    string    `json:"for,omitempty"` // "2h", "3 days"; "" = until it is cancelled
	Reason string    `json:"reason,omitempty"`
}

// CancelRequest ends an order: POST /v1/orders/NUMBER/cancel, S: 200 StandingOrder, 404.
type CancelRequest struct {
	Reason string `json:"reason,omitempty"`
}

// StandingOrders are those in force, the oldest first: GET /v1/orders, S: 200.
type StandingOrders struct {
	Orders []StandingOrder `json:"orders"`
}

// AbortRequest abandons the attempt of a message that is under way: POST /v1/abort,
// S: 200 AbortResult.
type AbortRequest struct {
	ID     string `json:"id"`
	Hard   bool   `json:"hard,omitempty"` // as a failure, which is reported
	Reason string `json:"reason,omitempty"`
}

// AbortResult says what there was to abandon.
type AbortResult struct {
	UnderWay bool      `json:"under_way"`
	First    bool      `json:"first_attempt,omitempty"`
	Since    time.Time `json:"since,omitzero"` // when the attempt began
}
