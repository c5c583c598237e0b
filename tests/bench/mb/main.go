package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const usage = `usage: mb run    [-peers filbert,postfix] [-scen default] [-runs 3] [-scale 1]
       mb table  FILE...            the figures in files of results, as Markdown
       mb list                      the scenarios
       mb source [-addr A] [-n N] [-c N] [-d]   load any host:port
       mb sink   [-listen A]                    count what arrives, print at Ctrl-C
       mb ceiling                   the source straight into the sink
`

// settings are the flags; each command reads those that concern it.
type settings struct {
	n, c, size, users, runs int
	persist                 bool
	scale                   float64
	addr, listen, domain    string
	run, peers, scen, out   string
	bench, work             string
}

func flags(args []string) (*settings, []string) {
	s := &settings{}
	fs := flag.NewFlagSet("mb", flag.ExitOnError)
	fs.IntVar(&s.n, "n", 1000, "messages")
	fs.IntVar(&s.c, "c", 10, "parallel sessions")
	fs.BoolVar(&s.persist, "d", false, "many messages per connection")
	fs.IntVar(&s.size, "size", 5120, "bytes of a message, with its header")
	fs.IntVar(&s.users, "users", 100, "recipients are u0..u(N-1)")
	fs.IntVar(&s.runs, "runs", 3, "passes over each scenario")
	fs.Float64Var(&s.scale, "scale", 1, "factor on the number of messages")
	fs.StringVar(&s.addr, "addr", "127.0.0.1:2525", "where to send")
	fs.StringVar(&s.listen, "listen", "127.0.0.1:10099", "where the sink listens")
	fs.StringVar(&s.domain, "domain", "dest.test", "domain of the recipients")
	fs.StringVar(&s.run, "run", "", "name of the run, in each message (default: a random one)")
	fs.StringVar(&s.peers, "peers", "filbert,postfix", "which adapters")
	fs.StringVar(&s.scen, "scen", "default", "names of scenarios, or default, or all")
	fs.StringVar(&s.out, "out", "", "append results here (default: work/results/DATE.jsonl)")
	fs.StringVar(&s.bench, "bench", "tests/bench", "where adapters/ lies")
	fs.StringVar(&s.work, "work", "tests/bench/work", "where instances and results are kept")
	// ExitOnError: Parse does not return one.
	_ = fs.Parse(args)
	return s, fs.Args()
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	s, rest := flags(os.Args[2:])
	if err := command(os.Args[1], s, rest); err != nil {
		fmt.Fprintln(os.Stderr, "mb:", err)
		os.Exit(1)
	}
}

func command(name string, s *settings, rest []string) error {
	switch name {
	case "run":
		return measure(s)
	case "table":
		return table(rest)
	case "list":
		for _, sc := range scenarios() {
			fmt.Printf("%-16s %s\n", sc.name, sc.about)
		}
		return nil
	case "source":
		return sourceCommand(s)
	case "sink":
		return sinkCommand(s)
	case "inject":
		injectCommand(s, rest)
		return nil
	case "ceiling":
		return ceiling(s)
	}
	fmt.Fprint(os.Stderr, usage)
	return fmt.Errorf("%s is no command", name)
}

func measure(s *settings) error {
	if s.out == "" {
		s.out = filepath.Join(s.work, "results", time.Now().Format("20060102-150405")+".jsonl")
	}
	if err := os.MkdirAll(filepath.Dir(s.out), 0o755); err != nil {
		return err
	}
	return runSession(s)
}

func sourceCommand(s *settings) error {
	if s.run == "" {
		s.run = runID()
	}
	before := selfCPU()
	r := send(load{addr: s.addr, n: s.n, sessions: s.c, persist: s.persist, size: s.size, run: s.run,
		rcpt: oneOf(s.domain, s.users)})
	fmt.Printf(`{"run":%q,"sent":%d,"failed":%d,"retried":%d,"accept_s":%.1f,"ack50_ms":%.2f,"ack99_ms":%.2f,"cpu_ms":%.4f,"err":%q}`+"\n",
		s.run, r.sent, r.failed, r.retried, float64(r.sent)/r.lastAck.Sub(r.start).Seconds(),
		percentile(r.latency, .5), percentile(r.latency, .99), (selfCPU()-before)/float64(s.n)*1000, r.err)
	return nil
}

func sinkCommand(s *settings) error {
	k, err := newSink(s.listen)
	if err != nil {
		return err
	}
	k.reset(s.run, countMessages)
	waitInterrupt()
	c := k.counts()
	fmt.Printf(`{"conns":%d,"msgs":%d,"uniq":%d,"dups":%d,"foreign":%d,"rcpts":%d,"secs":%.3f,"p50_ms":%.2f,"p99_ms":%.2f,"cpu_s":%.3f}`+"\n",
		c.conns, c.msgs, c.uniq, c.dups, c.foreign, c.rcpts, c.last.Sub(c.first).Seconds(),
		percentile(c.latency, .5), percentile(c.latency, .99), selfCPU())
	return nil
}

func waitInterrupt() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM)
	<-ch
}

// ceiling sends without anything between source and sink: what the harness
// itself allows.
func ceiling(s *settings) error {
	k, err := newSink(s.listen)
	if err != nil {
		return err
	}
	fmt.Println("| sessions | per connection | messages/s |\n|---|---|---|")
	for _, c := range []int{1, 10, 50, 100} {
		for _, persist := range []bool{false, true} {
			var rates []string
			for range s.runs {
				run := runID()
				k.reset(run, countMessages)
				r := send(load{addr: s.listen, n: 5000, sessions: c, persist: persist, size: s.size, run: run,
					rcpt: oneOf("dest.test", 100)})
				rates = append(rates, fmt.Sprintf("%.0f", float64(r.sent)/r.lastAck.Sub(r.start).Seconds()))
			}
			per := map[bool]string{false: "one", true: "many"}[persist]
			fmt.Printf("| %d | %s | %s |\n", c, per, strings.Join(rates, " "))
		}
	}
	return nil
}
