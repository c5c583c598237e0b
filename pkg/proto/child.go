package proto

import (
	"time"

	"filbert/pkg/wire"
)

// The arrow between master and each daemon that it runs: one socket pair,
// descriptor 3 of the daemon. Both sides call.
//
//	1. M: Start        name, configuration, listening sockets (with the frame)
//	2. D: Ready        after it has confined itself; from now on it serves
//
// then, in any order:
//
//	*. D: Connect      "connect me to cleanup"
//	   M: Connection   with one end of a new socket pair; or a refusal: there is
//	                   no such arrow, or that service does not start
//	*. M: Connected    to the callee: the other end, and who the caller is
//	   D: Done
//	*. M: Reconfigure  a new configuration, checked
//	   D: Reconfigured  in force, as far as the daemon's confinement lets it;
//	                   where that is not all the way, master replaces the daemon
//	*. D: Orders       qmgr: the administrator's orders have changed (orders.go)
//	   M: OrdersTaken
//	*. M: Orders       to smtpd
//	   D: OrdersTaken
//	*. M: MoveClock    your clock is now so far ahead (pkg/clock)
//	   D: ClockMoved
//	*. M: Load         to smtpd and dispatch (load.go)
//	   D: Done
//	*. M: BoardQuery   what are you doing just now?
//	   D: Board
//	*. M: StatsQuery   what have you counted (stats.go)?
//	   D: Stats
//	*. M: ReopenLog    with the new log file
//	   D: Done
//	*. M: Drain        finish what you have and end, within Bound
//	   D: Done         at once; the end of the process says that it has finished
//
// End of file on this socket means to the daemon that master is dead: it ends
// at once. To master it means nothing, it waits for the process.
//
// Who may call: nobody else has a descriptor of this socket.

// Kinds of this arrow.
const (
	KindStart        = 2
	KindReady        = 3
	KindConnect      = 4
	KindConnection   = 5
	KindConnected    = 6
	KindReconfigure  = 8
	KindReconfigured = 9
	KindBoardQuery   = 10
	KindBoard        = 11
	KindReopenLog    = 12
	KindDrain        = 14
	KindDone         = 15 // answers Connected, ReopenLog, Drain, Load
	KindMoveClock    = 16
	KindClockMoved   = 17
	KindLoad         = 20 // load.go; 18 is in stats.go
)

// Limits of this arrow.
const (
	// MaxSettings bounds the configuration as JSON.
	MaxSettings = 8 << 20
	// MaxListeners bounds the listening sockets of one daemon; they all ride
	// with one frame.
	MaxListeners = 32
	// MaxBoardRows bounds the rows of one Board; a busier daemon leaves out
	// the youngest.
	MaxBoardRows = 20_000
	// MaxControlFrame bounds every frame of this arrow.
	MaxControlFrame = 12 << 20
)

// ListenerKind says what speaks on a listening socket.
type ListenerKind uint8

// The kinds of listeners.
const (
	ListenSMTP    ListenerKind = 1 // TCP, smtpd
	ListenSubmit  ListenerKind = 2 // Unix, cleanup: run/submit/cleanup
	ListenControl ListenerKind = 3 // Unix, qmgr, mtadb: run/control/NAME
	ListenMine    ListenerKind = 4 // Unix, qmgr, mtadb: run/mine/NAME, for every user
)

// ListenerInfo describes one listening socket that rides with a Start.
type ListenerInfo struct {
	Kind    ListenerKind
	Name    string // of settings.Listen, or of the path socket
	Address string // as bound: host:port, or the path
}

// Start is the first frame to a daemon.
type Start struct {
	Service    Service
	Generation uint32 // counts reloads
	Settings   []byte // settings.Settings as JSON
	Listeners  []ListenerInfo

	// Separate: become this user. Otherwise remain who you are.
	Separate bool
	UID, GID uint32
	// EmptyDir is an empty directory for those who change their root.
	EmptyDir string
	// AdminUID and AdminGID are whom control sockets serve, beside root.
	AdminUID, AdminGID uint32
	// Orders are the administrator's standing orders, for those whom master tells them.
	Orders []StandingOrder
	// ClockMoves: this is an instance whose clock can be moved; it is ahead by ClockAhead.
	ClockMoves bool
	ClockAhead time.Duration
}

// Kind is KindStart.
func (*Start) Kind() uint16 { return KindStart }

// EncodeTo appends the message.
func (m *Start) EncodeTo(e *wire.Encoder) {
	e.String(string(m.Service))
	e.U32(m.Generation)
	e.Bytes(m.Settings)
	e.Count(len(m.Listeners))
	for _, l := range m.Listeners {
		e.U8(uint8(l.Kind))
		e.String(l.Name)
		e.String(l.Address)
	}
	e.Bool(m.Separate)
	e.U32(m.UID)
	e.U32(m.GID)
	e.String(m.EmptyDir)
	e.U32(m.AdminUID)
	e.U32(m.AdminGID)
	encodeOrders(e, m.Orders)
	e.Bool(m.ClockMoves)
	e.I64(int64(m.ClockAhead))
}

// DecodeFrom reads it.
func (m *Start) DecodeFrom(d *wire.Decoder) {
	m.Service = Service(d.String(maxName))
	m.Generation = d.U32()
	m.Settings = d.Bytes(MaxSettings)
	m.Listeners = make([]ListenerInfo, d.Count(MaxListeners, 9))
	for i := range m.Listeners {
		l := &m.Listeners[i]
		l.Kind = ListenerKind(d.U8())
		l.Name = d.String(maxName)
		l.Address = d.String(4096)
		if l.Kind < ListenSMTP || l.Kind > ListenMine {
			d.Fail("listener kind %d", l.Kind)
		}
	}
	m.Separate = d.Bool()
	m.UID = d.U32()
	m.GID = d.U32()
	m.EmptyDir = d.String(4096)
	m.AdminUID = d.U32()
	m.AdminGID = d.U32()
	m.Orders = decodeOrders(d)
	m.ClockMoves = d.Bool()
	m.ClockAhead = time.Duration(d.I64())
}

// Ready says that the daemon serves, and how it is confined.
type Ready struct {
	Confined string // privsep.Report, one line
}

// Kind is KindReady.
func (*Ready) Kind() uint16 { return KindReady }

// EncodeTo appends the message.
func (m *Ready) EncodeTo(e *wire.Encoder) { e.String(m.Confined[:min(len(m.Confined), 4096)]) }

// DecodeFrom reads it.
func (m *Ready) DecodeFrom(d *wire.Decoder) { m.Confined = d.String(4096) }

// Connect asks for a connection to another service.
type Connect struct {
	Callee Service
}

// Kind is KindConnect.
func (*Connect) Kind() uint16 { return KindConnect }

// EncodeTo appends the message.
func (m *Connect) EncodeTo(e *wire.Encoder) { e.String(string(m.Callee)) }

// DecodeFrom reads it.
func (m *Connect) DecodeFrom(d *wire.Decoder) { m.Callee = Service(d.String(maxName)) }

// Connection answers Connect; one descriptor rides with it.
type Connection struct{}

// Kind is KindConnection.
func (*Connection) Kind() uint16 { return KindConnection }

// EncodeTo appends nothing.
func (*Connection) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*Connection) DecodeFrom(*wire.Decoder) {}

// Connected hands a callee its end of a connection; one descriptor rides with
// it.
type Connected struct {
	Caller Service
}

// Kind is KindConnected.
func (*Connected) Kind() uint16 { return KindConnected }

// EncodeTo appends the message.
func (m *Connected) EncodeTo(e *wire.Encoder) { e.String(string(m.Caller)) }

// DecodeFrom reads it.
func (m *Connected) DecodeFrom(d *wire.Decoder) { m.Caller = Service(d.String(maxName)) }

// Reconfigure replaces the configuration.
type Reconfigure struct {
	Generation uint32
	Settings   []byte // settings.Settings as JSON
}

// Kind is KindReconfigure.
func (*Reconfigure) Kind() uint16 { return KindReconfigure }

// EncodeTo appends the message.
func (m *Reconfigure) EncodeTo(e *wire.Encoder) {
	e.U32(m.Generation)
	e.Bytes(m.Settings)
}

// DecodeFrom reads it.
func (m *Reconfigure) DecodeFrom(d *wire.Decoder) {
	m.Generation = d.U32()
	m.Settings = d.Bytes(MaxSettings)
}

// Reconfigured answers Reconfigure.
type Reconfigured struct {
	// Outgrown: the configuration names files, sockets or ports that the daemon
	// gave up the right to reach when it started.
	Outgrown bool
}

// Kind is KindReconfigured.
func (*Reconfigured) Kind() uint16 { return KindReconfigured }

// EncodeTo appends the message.
func (m *Reconfigured) EncodeTo(e *wire.Encoder) { e.Bool(m.Outgrown) }

// DecodeFrom reads it.
func (m *Reconfigured) DecodeFrom(d *wire.Decoder) { m.Outgrown = d.Bool() }

// ReopenLog hands over a new log file, for those who rotate logs; one
// descriptor rides with it, and for mtadb a second one, to read the log by.
type ReopenLog struct{}

// Kind is KindReopenLog.
func (*ReopenLog) Kind() uint16 { return KindReopenLog }

// EncodeTo appends nothing.
func (*ReopenLog) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*ReopenLog) DecodeFrom(*wire.Decoder) {}

// Drain asks a daemon to finish and end. A later one may only hasten it.
type Drain struct {
	Bound time.Duration // after this master kills it
	// Replaced: a successor serves already; only the daemon's own clients are
	// left, and they may finish in peace.
	Replaced bool
}

// Kind is KindDrain.
func (*Drain) Kind() uint16 { return KindDrain }

// EncodeTo appends the message.
func (m *Drain) EncodeTo(e *wire.Encoder) {
	e.I64(int64(m.Bound))
	e.Bool(m.Replaced)
}

// DecodeFrom reads it.
func (m *Drain) DecodeFrom(d *wire.Decoder) {
	if m.Bound = time.Duration(d.I64()); m.Bound < 0 {
		d.Fail("negative bound")
	}
	m.Replaced = d.Bool()
}

// Done says that what was asked has been done.
type Done struct{}

// Kind is KindDone.
func (*Done) Kind() uint16 { return KindDone }

// EncodeTo appends nothing.
func (*Done) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*Done) DecodeFrom(*wire.Decoder) {}

// BoardQuery asks for the scoreboard.
type BoardQuery struct{}

// Kind is KindBoardQuery.
func (*BoardQuery) Kind() uint16 { return KindBoardQuery }

// EncodeTo appends nothing.
func (*BoardQuery) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*BoardQuery) DecodeFrom(*wire.Decoder) {}

// Board is what a daemon is doing now, the oldest first.
type Board struct {
	Rows  []BoardRow
	More  uint32    // rows that were left out
	Paces []PaceRow // dispatch's alone
}

const leastBoardRow = 4 + 4 + 4 + 8 + 8

// Kind is KindBoard.
func (*Board) Kind() uint16 { return KindBoard }

// EncodeTo appends the message.
func (m *Board) EncodeTo(e *wire.Encoder) {
	e.U32(m.More)
	e.Count(len(m.Rows))
	for i := range m.Rows {
		r := &m.Rows[i]
		e.String(r.Phase[:min(len(r.Phase), maxName)])
		e.String(r.ID[:min(len(r.ID), maxName)])
		e.String(r.Peer[:min(len(r.Peer), maxName)])
		e.I64(r.Since.UnixMilli())
		e.I64(r.Bytes)
	}
	encodePaces(e, m.Paces)
}

// DecodeFrom reads it.
func (m *Board) DecodeFrom(d *wire.Decoder) {
	m.More = d.U32()
	m.Rows = make([]BoardRow, d.Count(MaxBoardRows, leastBoardRow))
	for i := range m.Rows {
		r := &m.Rows[i]
		r.Phase = d.String(maxName)
		r.ID = d.String(maxName)
		r.Peer = d.String(maxName)
		r.Since = time.UnixMilli(d.I64())
		r.Bytes = d.I64()
	}
	m.Paces = decodePaces(d)
}
