package mtactl

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func (a *app) statsCommand() *cobra.Command {
	var asJSON bool
	var over string
	c := &cobra.Command{
		Use:   "stats",
		Short: "show what each optimisation saves",
		Long: `stats shows how often work was spared that would otherwise have been done for each
message, and what that work takes where it is done: connections that are kept, flushes
that several messages share, routes and answers that are known already, mail that never
touches deferred/. The processor time of each program is divided by the messages that
came in.

Each process counts from its own start, and nothing of it is kept when it ends. With
--for it is what is counted from now on, within that time.`,
		Example: "  mtactl stats\n  mtactl stats --for 1m\n  mtactl stats --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.stats(over, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().StringVar(&over, "for", "", "count for this `TIME` only (30s, 5m), beginning now")
	return c
}

func (a *app) stats(span string, asJSON bool) error {
	var over settings.Duration
	if span != "" && (over.UnmarshalText([]byte(span)) != nil || over <= 0) {
		return fail(exUsage, "write a time with its unit, like 30s or 5m", "--for: %s is no time", show(span))
	}
	inst, err := a.instance()
	if err != nil {
		return err
	}
	now, err := a.tallies(inst)
	if err != nil {
		return err
	}
	if over > 0 {
		select {
		case <-a.ctx.Done():
			return errors.New("interrupted")
		case <-time.After(over.D()):
		}
		before := now
		if now, err = a.tallies(inst); err != nil {
			return err
		}
		now.subtract(before)
	}
	report := now.report()
	if asJSON {
		return printJSON(a.Out, report)
	}
	a.printStats(report)
	return nil
}

// tallies is what every process has counted.
type tallies struct {
	programs []program
	silent   []string // programs that run and did not answer
}

// program is one process.
type program struct {
	Name     string         `json:"name"`
	PID      int            `json:"pid"`
	Since    time.Time      `json:"since"`
	CPU      float64        `json:"cpu_seconds"`
	CPUEach  *float64       `json:"cpu_ms_per_message,omitempty"`
	Switches int64          `json:"context_switches"`
	Figures  []proto.Figure `json:"figures"`
}

func (a *app) tallies(inst settings.Instance) (*tallies, error) {
	var st proto.Status
	if err := a.master(inst).get(a.ctx, "/v1/status?stats=1", &st); err != nil {
		return nil, err
	}
	return talliesOf(&st), nil
}

func talliesOf(st *proto.Status) *tallies {
	c := new(tallies)
	for _, s := range st.Services {
		for _, p := range s.Processes {
			switch {
			case p.Stats != nil:
				c.programs = append(c.programs, program{
					Name: s.Name, PID: p.PID, Since: p.Started, CPU: p.Stats.CPU.Seconds(), Switches: p.Stats.Switches, Figures: p.Stats.Figures,
				})
			case p.State == "running":
				c.silent = append(c.silent, processName(s.Name, p.PID))
			}
		}
	}
	return c
}

func processName(program string, pid int) string { return fmt.Sprintf("%s (pid %d)", program, pid) }

// subtract leaves what was counted since before. A process that was not there then has
// counted all of it since; of one that did not answer nobody knows.
func (c *tallies) subtract(before *tallies) {
	c.programs = slices.DeleteFunc(c.programs, func(p program) bool {
		name := processName(p.Name, p.PID)
		if !slices.Contains(before.silent, name) {
			return false
		}
		c.silent = append(c.silent, name)
		return true
	})
	old := map[int]*program{}
	for i := range before.programs {
		old[before.programs[i].PID] = &before.programs[i]
	}
	now := time.Now()
	for i := range c.programs {
		p := &c.programs[i]
		b := old[p.PID]
		if b == nil || !b.Since.Equal(p.Since) {
			continue
		}
		p.CPU -= b.CPU
		p.Switches -= b.Switches
		p.Since = now
		for j := range p.Figures {
			f := &p.Figures[j]
			for k := range b.Figures {
				if b.Figures[k].Name == f.Name {
					f.Count -= min(f.Count, b.Figures[k].Count)
					f.Time -= b.Figures[k].Time
				}
			}
		}
	}
}

// figure is one figure of all processes.
func (c *tallies) figure(name string) proto.Figure {
	out := proto.Figure{Name: name}
	for i := range c.programs {
		for _, f := range c.programs[i].Figures {
			if f.Name == name {
				out.Count += f.Count
				out.Time += f.Time
			}
		}
	}
	return out
}

// saving is one optimisation: what was spared, of how many, and what one of those that
// were not spared took.
type saving struct {
	What   string   `json:"what"`
	Spared uint64   `json:"spared"`
	Of     uint64   `json:"of"`
	Share  float64  `json:"share"` // 0 to 1
	EachMS *float64 `json:"ms_each,omitempty"`
	Words  string   `json:"words"`
}

// ratio is how many things went together.
type ratio struct {
	What   string   `json:"what"`
	Things uint64   `json:"things"`
	Of     uint64   `json:"groups"`
	Mean   float64  `json:"mean"`
	EachMS *float64 `json:"ms_each,omitempty"`
	Words  string   `json:"words"`
}

// statsReport is all of it.
type statsReport struct {
	Messages uint64    `json:"messages"` // that came in
	Savings  []saving  `json:"savings"`
	Together []ratio   `json:"together"`
	Programs []program `json:"programs"`
	Silent   []string  `json:"silent,omitempty"` // that did not answer: what they count is missing
}

// The optimisations where something is done or spared (paper, section 17). Words: how many
// were spared, of how many.
var savings = []struct {
	what, spared, done string
	words              string
}{
	{"connections to other servers", proto.FigureReused, proto.FigureOpened, "%s of %s went over one that was open"},
	{"routes", proto.FigureRoutesKnown, proto.FigureRoutesMade, "%s of %s were known from earlier messages"},
	{"answers of the DNS", proto.FigureDNSKnown, proto.FigureDNSAsked, "%s of %s were in the cache"},
	{"lookups on servers", proto.FigureLookupsKnown, proto.FigureLookupsAsked, "%s of %s were in the cache"},
	{"call-outs", proto.FigureCalloutsKnown, proto.FigureCalloutsMade, "%s of %s were known from earlier ones"},
	{"servers in memory", proto.FigureServersKnown, proto.FigureServersNew, "%s of %s were known from earlier connections"},
	{"attempts in vain", proto.FigureAttemptsSpared, proto.FigureAttempts, "%s of %s were spared, as host or address was known not to be due"},
	{"first attempts", proto.FigureAtOnce, proto.FigureFiled, "%s of %s were done without a file under deferred/"},
}

// together are the things that share the cost of one.
var together = []struct {
	what, things, groups string
	words                string
	unit                 string
}{
	{"messages a connection, incoming", proto.FigureClientMessages, proto.FigureClients, "%s messages over %s connections", ""},
	{"messages a flush", proto.FigureCommitted, proto.FigureFlushes, "%s messages with %s flushes", "a flush"},
	{"marks a flush", proto.FigureMarks, proto.FigureMarkFlushes, "%s marks with %s flushes", "a flush"},
	{"recipients a routing", proto.FigureRouteRecipients, proto.FigureRouteDomains, "%s recipients, %s domains of messages", ""},
	{"recipients a transaction", proto.FigureRecipients, proto.FigureTransactions, "%s recipients in %s transactions", ""},
	{"replies a wait", proto.FigureCommands, proto.FigureTurns, "%s replies, %s waits for a server", "a wait"},
	{"messages a release", proto.FigureReleased, proto.FigureReleases, "%s messages were due earlier as %s hosts and addresses worked again", ""},
	{"records a write", proto.FigureRemembered, proto.FigureBatches, "%s records of the memory with %s writes", "a write"},
}

// mean is the time of one, in milliseconds.
func mean(f proto.Figure) *float64 {
	if f.Count == 0 || f.Time <= 0 {
		return nil
	}
	ms := float64(f.Time) / float64(f.Count) / 1e6
	return &ms
}

func (c *tallies) report() *statsReport {
	r := &statsReport{Messages: c.figure(proto.FigureCommitted).Count, Programs: c.programs, Silent: c.silent}
	for _, s := range savings {
		spared, done := c.figure(s.spared), c.figure(s.done)
		out := saving{What: s.what, Spared: spared.Count, Of: spared.Count + done.Count, EachMS: mean(done)}
		out.Words = fmt.Sprintf(s.words, thousands(out.Spared), thousands(out.Of))
		if out.Of > 0 {
			out.Share = float64(out.Spared) / float64(out.Of)
			out.Words += fmt.Sprintf(" (%.0f %%)", 100*out.Share)
		}
		if out.EachMS != nil && out.Spared > 0 {
			out.Words += fmt.Sprintf(": each saved %s", inTime(*out.EachMS))
		}
		r.Savings = append(r.Savings, out)
	}
	for _, s := range together {
		things, groups := c.figure(s.things), c.figure(s.groups)
		out := ratio{What: s.what, Things: things.Count, Of: groups.Count, EachMS: mean(groups)}
		out.Words = fmt.Sprintf(s.words, thousands(out.Things), thousands(out.Of))
		if out.Of > 0 {
			out.Mean = float64(out.Things) / float64(out.Of)
			out.Words = fmt.Sprintf("%.1f: ", out.Mean) + out.Words
		}
		if out.EachMS != nil && s.unit != "" {
			out.Words += fmt.Sprintf(", %s %s", inTime(*out.EachMS), s.unit)
		}
		r.Together = append(r.Together, out)
	}
	if n := c.figure(proto.FigureLookupsSpared).Count; n > 0 {
		r.Savings = append(r.Savings, saving{What: "servers of lookups that had just failed", Spared: n, Of: n, Share: 1,
			Words: thousands(n) + " questions were not asked"})
	}
	for i := range r.Programs {
		if r.Messages > 0 {
			each := r.Programs[i].CPU * 1000 / float64(r.Messages)
			r.Programs[i].CPUEach = &each
		}
	}
	return r
}

func (a *app) printStats(r *statsReport) {
	fmt.Fprintf(a.Out, "%s came in.\n\n", a.paint(bold, messagesOf(r.Messages)))
	t := &table{}
	for _, s := range r.Savings {
		if s.Of > 0 {
			t.add(s.What, s.Words)
		}
	}
	for _, s := range r.Together {
		if s.Of > 0 {
			t.add(s.What, s.Words)
		}
	}
	if len(t.rows) > 0 {
		t.print(a, false)
		fmt.Fprintln(a.Out)
	}
	t = &table{}
	t.add("PROGRAM", "PID", "COUNTS SINCE", "PROCESSOR", "A MESSAGE", "SWITCHES")
	for _, p := range r.Programs {
		each := "-"
		if p.CPUEach != nil {
			each = inTime(*p.CPUEach)
		}
		t.add(p.Name, fmt.Sprint(p.PID), p.Since.Local().Format("2006-01-02 15:04:05"), inTime(p.CPU*1000), each, thousands(uint64(max(p.Switches, 0))))
	}
	t.print(a, true)
	for _, name := range r.Silent {
		fmt.Fprintf(a.Out, "\n%s does not answer: what it counts is missing.\n", show(name))
	}
	fmt.Fprintln(a.Out, "\nSystem calls can't be counted without slowing what is counted: doc/BENCHMARKS.md has them.")
}

func messagesOf(n uint64) string {
	if n == 1 {
		return "1 message"
	}
	return thousands(n) + " messages"
}

// inTime is a time in milliseconds for people.
func inTime(ms float64) string {
	switch {
	case ms >= 100_000:
		return fmt.Sprintf("%.0f s", ms/1000)
	case ms >= 10_000:
		return fmt.Sprintf("%.1f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	case ms >= 1:
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.2f ms", ms)
}

// thousands is 1,204.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
