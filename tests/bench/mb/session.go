package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	firstPort = 10025 // of the first peer; the others follow
	sinkPort  = 10099
	slowPort  = 10098 // of what scenario MIX has beside it
	deadPort  = 10097
)

// session is one call of mb run.
type session struct {
	*settings
	bench   *bench
	peers   []*peer
	results *results
}

func runSession(s *settings) error {
	list, err := chosen(s.scen)
	if err != nil {
		return err
	}
	k, err := newSink(fmt.Sprintf("127.0.0.1:%d", sinkPort))
	if err != nil {
		return err
	}
	x := &session{settings: s, bench: &bench{sink: k, scale: s.scale, size: s.size}, results: newResults()}
	for i, name := range strings.FieldsFunc(s.peers, func(r rune) bool { return r == ',' || r == ' ' }) {
		p, err := newPeer(s, name, firstPort+i, sinkPort)
		if err != nil {
			return err
		}
		x.peers = append(x.peers, p)
	}
	x.stopOnSignal()
	for _, g := range groups(list) {
		for pass := range s.runs {
			x.pass(g, pass)
		}
		if err := x.results.save(s.out); err != nil {
			return err
		}
	}
	x.results.printRatios(x.peers)
	if err := table([]string{s.out}); err != nil {
		return err
	}
	fmt.Printf("\nresults: %s\n", s.out)
	return x.results.failure()
}

func (x *session) stopOnSignal() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ch
		for _, p := range x.peers {
			p.stop()
		}
		os.Exit(1)
	}()
}

// groups are consecutive scenarios of one profile.
func groups(list []scenario) (out [][]scenario) {
	for _, s := range list {
		k := len(out) - 1
		if k >= 0 && !s.alone && !out[k][0].alone && out[k][0].profile == s.profile {
			out[k] = append(out[k], s)
		} else {
			out = append(out, []scenario{s})
		}
	}
	return out
}

// pass runs a group once for every peer. All peers are up together, and idle
// while another is measured.
func (x *session) pass(g []scenario, pass int) {
	var up []*peer
	for _, p := range x.peers {
		if g[0].profile == "" {
			up = append(up, p)
			continue
		}
		if !p.hasAny(g) {
			continue
		}
		if err := x.warm(p, g[0].profile); err != nil {
			fmt.Fprintln(os.Stderr, p.name, "start:", err)
			x.results.of(p, g[0].name).fail(err)
			p.stop()
			continue
		}
		defer p.stop()
		up = append(up, p)
	}
	for _, s := range g {
		for i := range up {
			p := up[i]
			if pass%2 == 1 { // A B, then B A
				p = up[len(up)-1-i]
			}
			if p.has(s.feature) {
				x.one(s, p, pass)
			}
		}
	}
}

func (p *peer) hasAny(g []scenario) bool {
	for _, s := range g {
		if p.has(s.feature) {
			return true
		}
	}
	return false
}

// warm starts a peer and lets a few messages through.
func (x *session) warm(p *peer, profile string) error {
	if _, err := p.start(profile); err != nil {
		return err
	}
	var m figures
	var err error
	switch profile {
	case "maildir", "mbox":
		m, err = x.bench.local(p, profile, 1, 50)
	default:
		m, err = x.bench.relay(p, 10, true, 100)
	}
	if err == nil && m["lost"] > 0 {
		err = errors.New("messages of the warm-up were lost")
	}
	return err
}

func (x *session) one(s scenario, p *peer, pass int) {
	runtime.GC() // our own garbage is not the peer's
	waited := waitQuiet()
	before := probe(x.work)
	m, err := s.run(x.bench, p)
	l := x.results.of(p, s.name)
	if err != nil {
		fmt.Fprintln(os.Stderr, p.name, s.name, err)
		l.fail(err)
	}
	if m == nil {
		return
	}
	m["waited_s"], m["probe_ms"] = waited, max(before, probe(x.work))
	l.All = append(l.All, m)
	fmt.Fprintf(os.Stderr, "%s %-9s %-13s #%d %s\n", time.Now().Format("15:04:05"), p.name, s.name, pass+1, m.brief())
}
