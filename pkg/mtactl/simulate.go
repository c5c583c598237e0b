package mtactl

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/mailaddr"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// simulateQuery is a what-if.
type simulateQuery struct {
	down, kind, sender, mx string
	every, span            string
	asJSON                 bool

	past, config, back string
	routes, rewrites   bool
}

func (a *app) simulateCommand() *cobra.Command {
	var q simulateQuery
	c := &cobra.Command{
		Use:   "simulate --down DOMAIN=TIME | --past TIME",
		Short: "show what rules would do while a server is down, or would have done",
		Long: `simulate runs the [[retry]] rules of the configuration as it is in the files now against a
what-if: a server that is down for a while, and the mail that comes for it meanwhile. It
prints the attempts that would be made, what would be delivered or returned when, and
the load. Nothing is sent, and the suite need not run, save where rules ask lookups.

DOMAIN may be an address: then rules for that address apply. The server's name is taken
to be the domain's. A TIME has a unit: 90s, 15m, 4h, 2d.

--past TIME replays instead the mail that the history has of that time, for all that
went to servers and addresses which failed, and compares what was recorded with what the
rules in the files now would have done, and with --config FILE those of a configuration that
is not in force yet: attempts, delays, what would have been returned. What nobody saw is
assumed: a server is as the last attempt found it, and came back halfway between the last
attempt that failed and the first that worked (--back early, middle or late); mail
for one domain goes to one server, the one recorded last, which is the domain itself
exactly where there are no MX records; each recipient is an attempt of its own.

--routes tells for the recipients of that time (at most 10000, the newest) which of them would go
elsewhere by FILE than by the running suite. Nothing is sent; a router of its own, with no
suite behind it, is asked. Forward files and programs that route it cannot ask: of
those it can't tell.

--rewrites tells for the envelope addresses of that time which of them the [[rewrite]] rules of
FILE make something else of than those in the files now. They are taken as they were recorded,
that is behind the rules of then.

At most 200000 recipients are replayed and 1000000 attempts remembered, the newest; it
says so when there were more.`,
		Example: `  mtactl simulate --down example.org=2d
  mtactl simulate --down pc.example.org=30d --kind refused --mx=false --every 12h
  mtactl simulate --down example.org=1d --kind policy-4xx --json
  mtactl simulate --past 7d --config /etc/filbert/new.toml
  mtactl simulate --past 2d --routes --config new.toml
  mtactl simulate --past 2d --rewrites --config new.toml --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := q.meansOne(c.Flags().Changed); err != nil {
				return err
			}
			switch {
			case q.past != "" && q.routes:
				return a.simulateRoutes(&q)
			case q.past != "" && q.rewrites:
				return a.simulateRewrites(&q)
			case q.past != "":
				return a.simulatePast(&q)
			case q.routes || q.rewrites || q.config != "":
				return fail(exUsage, "write mtactl simulate --past 7d --config FILE", "--config, --routes and --rewrites are about the past")
			}
			return a.simulate(&q)
		},
	}
	f := c.Flags()
	f.StringVar(&q.down, "down", "", "`DOMAIN=TIME`: whose server is down, and how long")
	f.StringVar(&q.kind, "kind", "timeout", "`KIND` of failure, as in the rules")
	f.StringVar(&q.mx, "mx", "true", "whether the domain has MX records: true or false")
	f.StringVar(&q.sender, "sender", "user@example.net", "who sends; <> for reports")
	f.StringVar(&q.every, "every", "", "a new message comes every `TIME` (default: there is one)")
	f.StringVar(&q.span, "for", "7d", "how long to look")
	f.StringVar(&q.past, "past", "", "replay what the history has of this `TIME`")
	f.StringVar(&q.config, "config", "", "with --past: compare with the configuration in `FILE`")
	f.StringVar(&q.back, "back", "middle", "with --past: when a server came back, between two attempts: early, middle or late")
	f.BoolVar(&q.routes, "routes", false, "with --past: compare where the mail of its recipients would go")
	f.BoolVar(&q.rewrites, "rewrites", false, "with --past: compare what is made of envelope addresses")
	f.BoolVar(&q.asJSON, "json", false, "write JSON")
	c.MarkFlagsMutuallyExclusive("down", "past")
	c.MarkFlagsMutuallyExclusive("routes", "rewrites")
	return c
}

// meansOne refuses flags that another kind of simulation alone would heed: an answer to half
// of a question looks like one to the whole.
func (q *simulateQuery) meansOne(given func(flag string) bool) error {
	for _, f := range []struct {
		flag, about string
		not         bool
	}{
		{"kind", "--down", q.past != ""},
		{"mx", "--down", q.past != ""},
		{"sender", "--down", q.past != ""},
		{"every", "--down", q.past != ""},
		{"for", "--down", q.past != ""},
		{"back", "--past and the retry rules", q.past == "" || q.routes || q.rewrites},
	} {
		if f.not && given(f.flag) {
			return fail(exUsage, "mtactl simulate --help tells what belongs together", "--%s is about %s", f.flag, f.about)
		}
	}
	return nil
}

func (a *app) simulate(q *simulateQuery) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	rules, err := retry.Compile(l.Settings.Retry)
	if err != nil {
		return fail(exConfig, "mtactl check tells more", "read the retry rules").because(err)
	}
	w, err := q.whatIf()
	if err != nil {
		return err
	}
	if err := a.askFor(l.Settings.Instance, rules, &w.Subject); err != nil {
		return err
	}
	w.Start, w.Dice = time.Now().Truncate(time.Second), rand.Float64
	told := rules.Simulate(w)
	if q.asJSON {
		return printJSON(a.Out, simulated(&w, &told))
	}
	a.tellSimulation(&w, &told)
	return nil
}

// askFor asks the running suite what the lookups of the rules have for a subject.
func (a *app) askFor(inst settings.Instance, rules retry.Rules, s *retry.Subject) error {
	if !rules.Asks() {
		return nil
	}
	return answerFor(a.asker(inst), rules, s)
}

func answerFor(asker *asker, rules retry.Rules, s *retry.Subject) error {
	s.Answers = retry.Answers{}
	for q, open := rules.Question(s); open; q, open = rules.Question(s) {
		_, found, err := asker.ask(q.Lookup, q.Key)
		switch {
		case err != nil:
			return unshown(err)
		case found:
			s.Answers[q] = retry.Has
		default:
			s.Answers[q] = retry.HasNot
		}
	}
	return nil
}

// whatIf reads the flags.
func (q *simulateQuery) whatIf() (w retry.WhatIf, err error) {
	who, long, ok := strings.Cut(q.down, "=")
	if !ok || who == "" {
		return w, fail(exUsage, "write mtactl simulate --down example.org=2d", "--down: a domain and a time are wanted")
	}
	if !strings.Contains(who, "@") {
		who = "user@" + who
	}
	to, err := mailaddr.Parse(untrusted.From(who))
	if err != nil {
		return w, fail(exUsage, "write example.org=2d, or user@example.org=2d", "--down: %s", show(q.down)).because(err)
	}
	w.Subject = retry.Subject{Address: to.String(), Domain: to.Domain(), Host: to.Domain(), Sender: q.sender}
	if q.sender == "<>" {
		w.Subject.Sender = ""
	}
	switch q.mx {
	case "true":
		w.Subject.MX = retry.MXThere
	case "false":
		w.Subject.MX = retry.MXNone
	default:
		return w, fail(exUsage, "write --mx=true or --mx=false", "--mx: %s", show(q.mx))
	}
	if w.Failure, ok = retry.KindOf(q.kind); !ok {
		return w, fail(exUsage, "there are: "+strings.Join(retry.Kinds(), ", "), "--kind: there is no kind of failure %s", show(q.kind))
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Duration
	}{{"down", long, &w.Down}, {"every", q.every, &w.Every}, {"for", q.span, &w.For}} {
		if t.text == "" && t.flag == "every" {
			continue
		}
		var d settings.Duration
		if err := d.UnmarshalText([]byte(t.text)); err != nil || d <= 0 {
			return w, fail(exUsage, `write a time with its unit, like 90s, 15m, 4h or 2d`, "--%s: %s is no time", t.flag, show(t.text))
		}
		*t.to = d.D()
	}
	return w, nil
}

// maxToldAttempts bounds the times that are printed.
const maxToldAttempts = 60

func (a *app) tellSimulation(w *retry.WhatIf, told *retry.Told) {
	since := func(t time.Time) string { return t.Sub(w.Start).Round(time.Second).String() }
	fmt.Fprintf(a.Out, "%s fails (%s) for %s, by rule %s:\n\n", show(w.Subject.Domain), w.Failure.Name(), settings.Duration(w.Down), show(told.Rule))
	rows := [][2]string{}
	delivered, returned, waiting := 0, 0, 0
	var latest time.Duration
	for i := range told.Fates {
		f := &told.Fates[i]
		switch {
		case !f.Delivered.IsZero():
			delivered++
			latest = max(latest, f.Delivered.Sub(f.Arrived))
		case !f.Returned.IsZero():
			returned++
		default:
			waiting++
		}
	}
	first := &told.Fates[0]
	for i, at := range first.Attempts {
		if i == maxToldAttempts {
			rows = append(rows, [2]string{"", fmt.Sprintf("and %d more", len(first.Attempts)-i)})
			break
		}
		rows = append(rows, [2]string{"after " + since(at), at.Format("Monday 2 January 15:04:05")})
	}
	fmt.Fprintf(a.Out, "The first message is tried %s:\n", times(len(first.Attempts)))
	for _, r := range rows {
		fmt.Fprintf(a.Out, "  %-20s %s\n", r[0], r[1])
	}
	switch {
	case !first.Delivered.IsZero():
		fmt.Fprintf(a.Out, "and delivered after %s.\n", since(first.Delivered))
	case !first.Returned.IsZero():
		fmt.Fprintf(a.Out, "and returned after %s: %s.\n", since(first.Returned), first.Why)
	default:
		fmt.Fprintf(a.Out, "and still waits after %s.\n", settings.Duration(w.For))
	}
	if len(told.Fates) > 1 {
		fmt.Fprintf(a.Out, "\nOf %s, %d would be delivered, %d returned, and %d would still wait after %s.\n",
			count(len(told.Fates), "message"), delivered, returned, waiting, settings.Duration(w.For))
		if delivered > 0 {
			fmt.Fprintf(a.Out, "The longest delay of one that is delivered: %s.\n", latest.Round(time.Second))
		}
		if n := singles(told); n > 0 {
			fmt.Fprintf(a.Out, "%s would be returned after a single attempt.\n", count(n, "message"))
		}
	}
	fmt.Fprintf(a.Out, "\nAll in all %s, at most %d within an hour.\n", count(len(told.Attempts), "attempt"), busiest(told.Attempts))
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// singles is how many were returned after one attempt.
func singles(told *retry.Told) int {
	n := 0
	for i := range told.Fates {
		if f := &told.Fates[i]; !f.Returned.IsZero() && len(f.Attempts) == 1 {
			n++
		}
	}
	return n
}

// busiest is the most attempts within an hour.
func busiest(at []time.Time) int {
	most, from := 0, 0
	for i := range at {
		for at[i].Sub(at[from]) >= time.Hour {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}

// simulation is what --json prints.
type simulation struct {
	Domain   string          `json:"domain"`
	Kind     string          `json:"kind"`
	Rule     string          `json:"rule"`
	Attempts []time.Time     `json:"attempts"`
	PerHour  int             `json:"most_attempts_in_an_hour"`
	Messages []simulatedFate `json:"messages"`
}

type simulatedFate struct {
	Arrived   time.Time   `json:"arrived"`
	Attempts  []time.Time `json:"attempts"`
	Delivered *time.Time  `json:"delivered,omitempty"`
	Returned  *time.Time  `json:"returned,omitempty"`
	Why       string      `json:"why,omitempty"`
}

func simulated(w *retry.WhatIf, told *retry.Told) *simulation {
	out := &simulation{Domain: w.Subject.Domain, Kind: w.Failure.Name(), Rule: told.Rule, Attempts: told.Attempts,
		PerHour: busiest(told.Attempts), Messages: make([]simulatedFate, len(told.Fates))}
	set := func(t *time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return t
	}
	for i := range told.Fates {
		f := &told.Fates[i]
		out.Messages[i] = simulatedFate{Arrived: f.Arrived, Attempts: f.Attempts, Delivered: set(&f.Delivered), Returned: set(&f.Returned), Why: f.Why}
	}
	return out
}
