package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// table prints Markdown; lines of one scenario with one peer are pooled.
func table(files []string) error {
	pool := &results{}
	var peers []string
	for _, name := range files {
		if err := pool.load(name); err != nil {
			return err
		}
	}
	for _, l := range pool.lines {
		l.summarize()
		if !slices.Contains(peers, l.Peer) {
			peers = append(peers, l.Peer)
		}
	}
	fmt.Printf("\n| scenario | %s |\n|---%s|\n", strings.Join(peers, " | "), strings.Repeat("|---", len(peers)))
	for _, s := range scenarios() {
		row, any := "| "+s.name+" |", false
		for _, p := range peers {
			cell := " - |"
			if l := pool.find(p, s.name); l != nil && len(l.All) > 0 {
				cell, any = " "+l.cell()+" |", true
			}
			row += cell
		}
		if any {
			fmt.Println(row)
		}
	}
	return nil
}

func (r *results) load(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<26)
	for sc.Scan() {
		l := &line{}
		if err := json.Unmarshal(sc.Bytes(), l); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if o := r.find(l.Peer, l.Scenario); o != nil {
			o.All = append(o.All, l.All...)
			continue
		}
		r.lines = append(r.lines, l)
	}
	return sc.Err()
}

// cells are the forms of a cell, by the beginning of the scenario's name; words
// in braces are figures.
var cells = []struct{ prefix, form string }{
	{"R", "**{msgs_s}**/s (MIN-MAX), {cpu_ms} ms CPU, e2e {p50_ms}/{p99_ms} ms, 250 after {ack50_ms}/{ack99_ms} ms"},
	{"L-", "**{msgs_s}**/s (MIN-MAX), {cpu_ms} ms CPU"},
	{"I-", "**{msgs_s}**/s to sink, {accept_s}/s returned, {cpu_ms} ms CPU, call {ack50_ms}/{ack99_ms} ms"},
	{"LAT", "**{p50_ms}**/{p99_ms} ms through, 250 after {ack50_ms}/{ack99_ms} ms, {cpu_ms} ms CPU"},
	{"LLAT", "**{p50_ms}**/{p99_ms} ms, {cpu_ms} ms CPU"},
	{"MIX", "the fast third: **{p50_ms}**/{p99_ms} ms, at most {max_ms} (alone {alone50_ms}/{alone99_ms}); {cpu_ms} ms CPU, PSS {pss_mb} MiB"},
	{"M", "{n} rcpts: **{total_s}** s, accept {accept_ms} ms, {sink_txns} transactions at the sink, {cpu_ms} ms CPU/rcpt"},
	{"CONN", "{open} open: PSS **{pss_mb}** MiB (idle {pss0_mb}), {kib_per_conn} KiB each, {procs} processes, {cpu_ms_conn} ms CPU each"},
	{"FSYNC", "**{fsync}** flushes (BY); rename {rename} unlink {unlink} link {link} connect {connect} fork {fork} exec {exec}"},
	{"Q", "deferred {defer_s}/s; listed in **{list_s}** s ({listed}); qmgr PSS {qmgr_pss_mb} MiB ({qmgr_pss0_mb} empty), all {all_pss_mb}; drained in **{drain_s}** s ({drain_msgs_s}/s), {drain_cpu_ms} ms CPU"},
	{"DRIP", "honest: {honest_ok} taken, {honest_failed} not, **{ack50_ms}**/{ack99_ms} ms (alone {alone50_ms}); {dripping} drip, {thrown_out} thrown out; PSS {pss_mb} MiB, {procs} processes"},
	{"START", "**{start_ms}** ms to the greeting, idle PSS {idle_pss_mb} MiB, {procs} processes"},
}

func (l *line) cell() string {
	var s string
	for _, c := range cells {
		if strings.HasPrefix(l.Scenario, c.prefix) {
			s = l.fill(c.form)
			break
		}
	}
	if l.Quiet < l.Runs {
		s += fmt.Sprintf(" {quiet %d of %d}", l.Quiet, l.Runs)
	}
	for _, k := range []string{"lost", "dups", "retried", "failed"} {
		if l.Median[k] > 0 {
			s += fmt.Sprintf(" [%s %.0f]", k, l.Median[k])
		}
	}
	return s
}

func (l *line) fill(form string) string {
	pairs := []string{"MIN", fmt.Sprintf("%.0f", l.Min), "MAX", fmt.Sprintf("%.0f", l.Max), "BY", l.flushers()}
	for _, part := range strings.Split(form, "{")[1:] {
		key, _, _ := strings.Cut(part, "}")
		text := "-"
		if v, ok := l.Median[key]; ok {
			text = short(v)
		} else if _, ok := l.Median["fsync"]; ok {
			text = "0" // a call that was never made
		}
		pairs = append(pairs, "{"+key+"}", text)
	}
	return strings.NewReplacer(pairs...).Replace(form)
}

func short(v float64) string {
	switch {
	case v >= 100 || v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// flushers are the programs that flush, with how often for each message.
func (l *line) flushers() string {
	var by []string
	for k, v := range l.Median {
		if who, ok := strings.CutPrefix(k, "by "); ok {
			by = append(by, fmt.Sprintf("%s %.2f", who, v))
		}
	}
	slices.Sort(by)
	return strings.Join(by, ", ")
}
