package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// figures are the results of one run of one scenario, by name; the unit is the
// end of the name.
type figures map[string]float64

// bench is what all scenarios share.
type bench struct {
	sink  *sink
	scale float64
	size  int
}

// scenario is one thing to measure. Consecutive scenarios of one profile share
// one start of the peer; a scenario without a profile starts and stops it itself.
type scenario struct {
	name, about string
	profile     string // relay, mixed, maildir, mbox or stock: what the adapter configures
	feature     string // what the adapter must offer
	byDefault   bool
	run         func(*bench, *peer) (figures, error)
	alone       bool // shares its start with no other: memory is measured, or a queue filled
}

func scenarios() []scenario {
	list := []scenario{
		relayScenario(1, false, 400, true), relayScenario(1, true, 400, true),
		relayScenario(10, false, 2000, true), relayScenario(10, true, 2000, true),
		relayScenario(50, false, 3000, true), relayScenario(50, true, 3000, true),
		relayScenario(100, false, 3000, true), relayScenario(100, true, 3000, true),
		{"LAT", "one message at a time: connect to complete at the sink", "relay", "relay", true, (*bench).latency, false},
		{"I-seq", "sendmail -t, one at a time", "relay", "sendmail", false,
			func(b *bench, p *peer) (figures, error) { return b.inject(p, 1, 300) }, false},
		{"I-par8", "sendmail -t, eight at a time", "relay", "sendmail", false,
			func(b *bench, p *peer) (figures, error) { return b.inject(p, 8, 1500) }, false},
		{"M", "one message, 5,000 recipients at 50 domains", "relay", "many", false, (*bench).manyRecipients, false},
		{"CONN", "1,000 idle connections after EHLO", "relay", "relay", true,
			func(b *bench, p *peer) (figures, error) { return b.idle(p, 1000) }, true},
		{"CONN10K", "10,000 idle connections after EHLO", "relay", "manyconns", true,
			func(b *bench, p *peer) (figures, error) { return b.idle(p, 10000) }, true},
		{"FSYNC-relay", "flushes and other calls per relayed message (perf)", "relay", "relay", true, (*bench).callsRelay, false},
		localScenario("maildir", 1, 2000, false), localScenario("maildir", 100, 2000, true),
		{"LLAT", "one message at a time: connect to visible in the Maildir", "maildir", "local-maildir", false, (*bench).localLatency, false},
		{"FSYNC-maildir", "flushes and other calls per message delivered to a Maildir (perf)", "maildir", "local-maildir", true, (*bench).callsLocal, false},
		localScenario("mbox", 1, 2000, false), localScenario("mbox", 100, 2000, false),
		{"Q", "20,000 deferred messages: listed, then delivered", "relay", "queue", false, (*bench).queue, true},
		{"MIX", "50,000 messages at 300/s: a third each to a fast, a slow and a dead destination", "mixed", "mixed", false, (*bench).mixed, true},
		{"DRIP", "3,000 dripping clients and an honest one, with the limits as they come", "stock", "relay", false, (*bench).drip, true},
		{"START", "from the start to the greeting; idle memory", "", "relay", true, (*bench).startup, true},
	}
	return list
}

// chosen are the scenarios that a list of names asks for.
func chosen(names string) ([]scenario, error) {
	want := map[string]bool{}
	for _, s := range strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' }) {
		want[s] = true
	}
	var out []scenario
	for _, s := range scenarios() {
		if want["all"] || want["default"] && s.byDefault || want[s.name] {
			out = append(out, s)
		}
		delete(want, s.name)
	}
	delete(want, "all")
	delete(want, "default")
	for s := range want {
		return nil, fmt.Errorf("%s is no scenario: mb list names them", s)
	}
	return out, nil
}

func runID() string { return fmt.Sprintf("r%08x", rand.Uint32()) }

// count scales a number of messages.
func (b *bench) count(n int) int { return max(1, int(float64(n)*b.scale)) }

// rateCount is count for what measures a rate: a fast peer's adapter may ask for
// more messages, so that its run lasts long enough to be measured.
func (b *bench) rateCount(p *peer, n int) int {
	if f := number(p.info["SCALE"]); f > 0 {
		return b.count(int(float64(n) * f))
	}
	return b.count(n)
}

// oneOf gives each message one recipient, in turn.
func oneOf(domain string, users int) func(int) []string {
	return func(seq int) []string { return []string{fmt.Sprintf("u%d@%s", seq%users, domain)} }
}

// account is what had been used up at one moment.
type account struct {
	cpu         cpuTime
	self        float64
	busy, steal float64
	at          time.Time
}

func (p *peer) account() account {
	a := account{cpu: p.cpu(), self: selfCPU(), at: time.Now()}
	a.busy, a.steal = machineCPU()
	return a
}

// settle waits until the peer's use of the processor goes quiet (bounded), so that
// what it does after the last delivery is charged to the messages that caused it.
func (p *peer) settle() {
	before := p.cpu().total
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		now := p.cpu().total
		if now-before < 0.003 {
			return
		}
		before = now
	}
}

// charge adds the processor time since a, divided by n messages.
func (m figures) charge(p *peer, a account, n int) {
	p.settle()
	e := p.account()
	u := e.cpu.since(a.cpu)
	own := e.self - a.self
	m["cpu_ms"] = u.total / float64(n) * 1000
	m["user_ms"] = u.user / float64(n) * 1000
	m["sys_ms"] = u.sys / float64(n) * 1000
	m["gen_cpu_ms"] = own / float64(n) * 1000
	m["other_cpu_s"] = e.busy - a.busy - u.total - own
	m["steal_s"] = e.steal - a.steal
	m["wall_s"] = e.at.Sub(a.at).Seconds()
}
