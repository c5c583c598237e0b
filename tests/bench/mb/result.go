package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// line is one line of a file of results: all runs of one scenario with one peer.
type line struct {
	Peer     string    `json:"peer"`
	Version  string    `json:"version"`
	Scenario string    `json:"scenario"`
	Runs     int       `json:"runs"`
	Quiet    int       `json:"quiet_runs"`
	Median   figures   `json:"median"`
	Min      float64   `json:"min_msgs_s,omitempty"`
	Max      float64   `json:"max_msgs_s,omitempty"`
	All      []figures `json:"all"`
	Errors   []string  `json:"errors,omitempty"`
	When     string    `json:"when"`
}

func (l *line) fail(err error) { l.Errors = append(l.Errors, err.Error()) }

// summarize takes medians over the quiet runs, or over all when none was quiet.
func (l *line) summarize() {
	var use []figures
	for _, m := range l.All {
		if !m.noisy() {
			use = append(use, m)
		}
	}
	l.Runs, l.Quiet = len(l.All), len(use)
	if len(use) == 0 {
		use = l.All
	}
	values := map[string][]float64{}
	for _, m := range use {
		for k, v := range m {
			values[k] = append(values[k], v)
		}
	}
	l.Median, l.Min, l.Max = figures{}, 0, 0
	for k, v := range values {
		l.Median[k] = round(median(v))
	}
	for _, v := range values["msgs_s"] {
		if l.Min == 0 || v < l.Min {
			l.Min = round(v)
		}
		l.Max = max(l.Max, round(v))
	}
}

// results are the lines of this session, in order.
type results struct {
	lines []*line
	saved int
}

func newResults() *results { return &results{} }

func (r *results) find(peer, scenario string) *line {
	for _, l := range r.lines {
		if l.Peer == peer && l.Scenario == scenario {
			return l
		}
	}
	return nil
}

func (r *results) of(p *peer, scenario string) *line {
	if l := r.find(p.name, scenario); l != nil {
		return l
	}
	l := &line{Peer: p.name, Version: p.info["VERSION"], Scenario: scenario}
	r.lines = append(r.lines, l)
	return l
}

// save appends the lines that are new.
func (r *results) save(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for ; r.saved < len(r.lines) && err == nil; r.saved++ {
		l := r.lines[r.saved]
		for _, m := range l.All {
			for k := range m {
				m[k] = round(m[k])
			}
		}
		l.When = time.Now().Format(time.RFC3339)
		l.summarize()
		err = enc.Encode(l)
	}
	return errors.Join(err, f.Close())
}

// failure tells of scenarios that did not work.
func (r *results) failure() error {
	var bad []string
	for _, l := range r.lines {
		if len(l.Errors) > 0 {
			bad = append(bad, l.Peer+" "+l.Scenario+": "+l.Errors[0])
		}
	}
	if bad == nil {
		return nil
	}
	return fmt.Errorf("not all went well: %s", strings.Join(bad, "; "))
}

// brief is one run in a line.
func (m figures) brief() string {
	var s []string
	for _, k := range []string{"msgs_s", "accept_s", "cpu_ms", "p50_ms", "p99_ms", "ack50_ms", "ack99_ms", "lost", "dups", "retried",
		"fsync", "start_ms", "idle_pss_mb", "open", "pss_mb", "kib_per_conn", "defer_s", "list_s", "listed", "drain_s", "drained",
		"qmgr_pss_mb", "total_s", "sink_txns", "alone50_ms", "alone99_ms", "max_ms", "honest_ok", "honest_failed", "dripping", "thrown_out",
		"wall_s", "other_cpu_s", "waited_s", "probe_ms", "gen_cpu_ms"} {
		if v, ok := m[k]; ok {
			s = append(s, fmt.Sprintf("%s=%.4g", k, v))
		}
	}
	return strings.Join(s, " ")
}
