package main

import (
	"fmt"
	"strings"
)

// compared are the figures whose ratios are worth printing.
var compared = []string{"msgs_s", "accept_s", "cpu_ms", "p50_ms", "p99_ms", "ack50_ms", "fsync", "start_ms", "idle_pss_mb", "pss_mb",
	"kib_per_conn", "drain_s", "list_s", "total_s"}

// printRatios divides the first peer's figures by every other's, run by run: each
// pair stood next to each other in time, so the machine was nearly the same.
func (r *results) printRatios(peers []*peer) {
	if len(peers) < 2 {
		return
	}
	fmt.Printf("\n| scenario | figure | ratio | each run |\n|---|---|---|---|\n")
	for _, a := range r.lines {
		if a.Peer != peers[0].name {
			continue
		}
		for _, p := range peers[1:] {
			if b := r.find(p.name, a.Scenario); b != nil {
				printRatio(a, b)
			}
		}
	}
}

func printRatio(a, b *line) {
	for _, k := range compared {
		var each []float64
		var text []string
		for i := range min(len(a.All), len(b.All)) {
			if y := b.All[i][k]; y > 0 && a.All[i][k] > 0 {
				each = append(each, a.All[i][k]/y)
				text = append(text, fmt.Sprintf("%.2f", a.All[i][k]/y))
			}
		}
		if len(each) > 0 {
			fmt.Printf("| %s | %s %s/%s | **%.2f** | %s |\n", a.Scenario, k, a.Peer, b.Peer, median(each), strings.Join(text, " "))
		}
	}
}
