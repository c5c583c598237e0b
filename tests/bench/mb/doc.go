// Mb measures mail transfer agents beside each other: it starts each one through
// its adapter (tests/bench/adapters), loads it, counts what arrives, and charges
// it the processor time of its control group. tests/bench/run.sh puts it into a
// network namespace that has only loopback, so that nothing it starts can send
// mail to anybody.
//
// What it promises: every message is accounted for (lost, seen twice, retried);
// the peers of one run are measured scenario by scenario in ABBA order, so that
// what else the machine does falls on all of them; a run during which it did much
// is marked. What it does not promise: that a figure of one run may be held
// against a figure of another. Only the ratios of one run may.
//
// The load source and the sink speak lock-step SMTP, without pipelining: a plain
// client, as most are. One file is one scenario (relay.go, local.go, latency.go,
// idle.go, drip.go ...); session.go runs them; table.go and ratio.go print.
//
// It must be root: for the control groups, perf, and for peers that change user.
package main
