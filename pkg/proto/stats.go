package proto

import (
	"time"

	"filbert/pkg/wire"
)

// What the programs count of themselves, for `mtactl stats`: master asks each of its
// children (child.go, StatsQuery) and tells the administrator (control.go). Counting
// begins with the process and ends with it.

// The figures: how often something happened, and of those with (time) how long it took
// in all.
const (
	// smtpd, at the end of each connection that brought a message.
	FigureClients        = "clients"         // such connections
	FigureClientMessages = "client-messages" // what they brought
	// cleanup
	FigureCommitted = "committed" // messages that became ours
	FigureFlushes   = "flushes"   // flushes that made them durable (time)
	// dispatch
	FigureAtOnce      = "at-once"      // messages done at the first attempt, without a file under deferred/
	FigureFiled       = "filed"        // messages filed under deferred/
	FigureMarks       = "marks"        // records marked as done
	FigureMarkFlushes = "mark-flushes" // flushes that made marks durable (time)
	FigureReleases    = "releases"     // hosts and addresses that work again: what waits is tried at once
	// dispatch, of mail to other servers
	FigureAttempts       = "attempts"        // recipients that were tried
	FigureAttemptsSpared = "attempts-spared" // and those not, as what is known of host or address says that it is of no use yet
	FigureServersKnown   = "servers-known"   // servers of which something is known from earlier connections
	FigureServersNew     = "servers-new"     // and those of which nothing is
	// qmgr
	FigureReleased = "released" // messages that were due earlier by that
	// router
	FigureRouteRecipients = "route-recipients" // recipients in other domains
	FigureRouteDomains    = "route-domains"    // their domains: each is routed once for a message
	FigureRoutesKnown     = "routes-known"     // of these, those known from earlier messages
	FigureRoutesMade      = "routes-made"      // and those that routers were asked for (time)
	FigureDNSKnown        = "dns-known"        // answers of the DNS from the cache
	FigureDNSAsked        = "dns-asked"        // questions to name servers (time)
	FigureLookupsKnown    = "lookups-known"    // keys of lookups on servers, from the cache
	FigureLookupsAsked    = "lookups-asked"    // questions to these servers (time)
	FigureLookupsSpared   = "lookups-spared"   // questions not asked as the server had just failed
	FigureCalloutsKnown   = "callouts-known"   // answers of earlier call-outs
	FigureCalloutsMade    = "callouts-made"    // call-outs (time)
	// smtp-client
	FigureOpened       = "opened"       // connections opened, to where MAIL may follow (time)
	FigureReused       = "reused"       // messages over a connection that was open
	FigureTransactions = "transactions" // messages sent to servers
	FigureRecipients   = "recipients"   // their recipients
	FigureCommands     = "commands"     // replies that were waited for
	FigureTurns        = "turns"        // waits: several replies together are one (time)
	// mtadb
	FigureRemembered = "remembered" // records written
	FigureBatches    = "batches"    // writes that they went with (time)
)

// Kinds of the questions of this file, of the arrow between master and its children.
const (
	KindStatsQuery = 18
	KindStats      = 19
)

// MaxFigures bounds the figures of one process.
const MaxFigures = 200

// StatsQuery asks a child for its figures.
type StatsQuery struct{}

// Kind is KindStatsQuery.
func (*StatsQuery) Kind() uint16 { return KindStatsQuery }

// EncodeTo appends nothing.
func (*StatsQuery) EncodeTo(*wire.Encoder) {}

// DecodeFrom reads nothing.
func (*StatsQuery) DecodeFrom(*wire.Decoder) {}

// Stats is what a process has counted since it began.
type Stats struct {
	CPU      time.Duration `json:"cpu_ns"`           // processor time, of it and of the children that have ended
	Switches int64         `json:"context_switches"` // times that it waited, or was made to
	Figures  []Figure      `json:"figures"`
}

// Figure is one of them.
type Figure struct {
	Name  string        `json:"name"`
	Count uint64        `json:"count"`
	Time  time.Duration `json:"time_ns,omitempty"` // in all, of those that are timed
}

const leastFigure = 4 + 8 + 8

// Kind is KindStats.
func (*Stats) Kind() uint16 { return KindStats }

// EncodeTo appends the message.
func (m *Stats) EncodeTo(e *wire.Encoder) {
	e.I64(int64(m.CPU))
	e.I64(m.Switches)
	e.Count(len(m.Figures))
	for i := range m.Figures {
		f := &m.Figures[i]
		e.String(f.Name[:min(len(f.Name), maxName)])
		e.U64(f.Count)
		e.I64(int64(f.Time))
	}
}

// DecodeFrom reads it.
func (m *Stats) DecodeFrom(d *wire.Decoder) {
	m.CPU = time.Duration(d.I64())
	m.Switches = d.I64()
	m.Figures = make([]Figure, d.Count(MaxFigures, leastFigure))
	for i := range m.Figures {
		m.Figures[i] = Figure{Name: d.String(maxName), Count: d.U64(), Time: time.Duration(d.I64())}
	}
}
