package mtactl

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	"filbert/pkg/config"
	"filbert/pkg/proto"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
)

// pastShown bounds the recipients that are named.
const pastShown = 100

// pastColumn is what one set of rules comes to, or what was recorded.
type pastColumn struct {
	Name      string  `json:"name"`
	Attempts  int     `json:"attempts"`
	PerHour   int     `json:"most_attempts_in_an_hour"`
	Delivered int     `json:"delivered"`
	Refused   int     `json:"refused_for_good"`
	Returned  int     `json:"returned"`
	Waiting   int     `json:"waiting_at_the_end"`
	Median    float64 `json:"median_delay_seconds"`
	Worst     float64 `json:"worst_delay_seconds"`
	Later     int     `json:"delivered_later_than_recorded"`
	Earlier   int     `json:"delivered_earlier_than_recorded"`
}

// pastReturnedBy is a recipient that rules would have given up, and was not.
type pastReturnedBy struct {
	By      string    `json:"by"`
	ID      string    `json:"id"`
	To      string    `json:"to"`
	From    string    `json:"from"`
	Arrived time.Time `json:"arrived"`
	At      time.Time `json:"returned"`
	Rule    string    `json:"rule"`
}

// pastReport is what --json prints.
type pastReport struct {
	Since      time.Time        `json:"since"`
	Until      time.Time        `json:"until"`
	Messages   int              `json:"messages"`
	Recipients int              `json:"recipients_replayed"`
	LeftOut    int              `json:"recipients_left_out"`
	Forgotten  int              `json:"attempts_forgotten"`
	Back       string           `json:"back"`
	Columns    []pastColumn     `json:"columns"`
	Returned   []pastReturnedBy `json:"returned_and_were_not"`
	Kept       int              `json:"not_returned_and_were"` // by the last column
}

// staged reads the configuration of --config.
func (a *app) staged(file string) (*config.Loaded, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	l, err := config.LoadAll(file, inst)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, config.ErrInvalid):
		a.problems(l.Problems)
		return nil, fail(exConfig, "correct what is listed above", "%s has %s", file, count(config.Mistakes(l.Problems), "mistake"))
	case errors.Is(err, os.ErrNotExist), errors.Is(err, config.ErrNoInstance):
		return nil, fail(exNoInput, "", "there is no %s", file)
	}
	return nil, fail(exConfig, "", "read %s", file).because(err)
}

// backs are the words of --back.
var backs = map[string]retry.Back{"early": retry.BackEarly, "middle": retry.BackMiddle, "late": retry.BackLate}

func (a *app) simulatePast(q *simulateQuery) error {
	back, known := backs[q.back]
	if !known {
		return fail(exUsage, "write early, middle or late", "--back: %s is not known", show(q.back))
	}
	l, err := a.load()
	if err != nil {
		return err
	}
	sets := []struct {
		name string
		s    *settings.Settings
	}{{"files", l.Settings}}
	if q.config != "" {
		staged, err := a.staged(q.config)
		if err != nil {
			return err
		}
		sets = append(sets, struct {
			name string
			s    *settings.Settings
		}{"staged", staged.Settings})
	}
	w, err := a.recordedPast(l.Settings.Instance, q.past)
	if err != nil {
		return err
	}
	past := w.past(back)
	past.Enough = func() bool { return a.ctx.Err() != nil }
	out := pastReport{Since: w.since, Until: w.until, Messages: w.messages, Recipients: len(w.mail), LeftOut: w.moreMail,
		Forgotten: w.moreSeen, Back: q.back, Columns: []pastColumn{w.recorded()}, Returned: []pastReturnedBy{}}
	for _, set := range sets {
		rules, err := retry.Compile(set.s.Retry)
		if err != nil {
			return fail(exConfig, "mtactl check tells more", "read the retry rules").because(err)
		}
		if err := a.answerAll(l.Settings.Instance, rules, past); err != nil {
			return err
		}
		if !out.add(w, set.name, rules, past) {
			return errors.New("interrupted")
		}
	}
	if q.asJSON {
		return printJSON(a.Out, &out)
	}
	a.tellPast(&out)
	return nil
}

// recordedPast reads the history twice: who failed, and then what went there. So
// nothing is kept of what always worked.
func (a *app) recordedPast(inst settings.Instance, span string) (*pastWorld, error) {
	now := a.now()
	since, err := pastTime(span, now)
	if err != nil {
		return nil, err
	}
	w := &pastWorld{since: since, until: now, ways: map[string]int{}, load: load{}}
	cl := newClient(inst.Control(proto.ControlMTADB))
	if err := a.eachPast(cl, since, now, w.failures); err != nil {
		return nil, err
	}
	if len(w.ways) == 0 {
		return w, nil
	}
	return w, a.eachPast(cl, since, now, w.takes)
}

// past is the world as the rules are to find it.
func (w *pastWorld) past(back retry.Back) *retry.Past {
	slices.SortStableFunc(w.mail, func(x, y pastMail) int { return x.Arrived.Compare(y.Arrived) })
	p := &retry.Past{End: w.until}
	for _, seen := range w.seen {
		p.Timelines = append(p.Timelines, retry.NewTimeline(seen, back))
	}
	for i := range w.mail {
		p.Mail = append(p.Mail, w.mail[i].Mail)
	}
	return p
}

// answerAll asks what lookups have for each recipient.
func (a *app) answerAll(inst settings.Instance, rules retry.Rules, past *retry.Past) error {
	if !rules.Asks() {
		return nil
	}
	asker := a.asker(inst)
	for i := range past.Mail {
		if err := answerFor(asker, rules, &past.Mail[i].Subject); err != nil {
			return err
		}
	}
	return nil
}

// recorded is the first column.
func (w *pastWorld) recorded() pastColumn {
	c := pastColumn{Name: "recorded", Attempts: w.load.total(), PerHour: w.load.perHour()}
	var delays []time.Duration
	for i := range w.mail {
		switch m := &w.mail[i]; m.ended {
		case pastDelivered:
			c.Delivered++
			delays = append(delays, m.at.Sub(m.Arrived))
		case pastRefused:
			c.Refused++
		case pastReturned:
			c.Returned++
		default:
			c.Waiting++
		}
	}
	c.delays(delays)
	return c
}

func (c *pastColumn) delays(list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	c.Median, c.Worst = list[len(list)/2].Seconds(), list[len(list)-1].Seconds()
}

// pastSame is what counts as the same moment: recorded times have a delivery in them.
const pastSame = time.Minute

// add replays the past by some rules; false: it was interrupted.
func (r *pastReport) add(w *pastWorld, name string, rules retry.Rules, past *retry.Past) bool {
	past.Dice = rand.New(rand.NewPCG(1, 1)).Float64 // the same for all, and each time
	attempts := load{}
	c := pastColumn{Name: name}
	var delays []time.Duration
	r.Kept = 0
	fates := rules.Replay(past, attempts.add)
	if fates == nil {
		return false
	}
	for i, fate := range fates {
		m := &w.mail[i]
		switch {
		case !fate.Returned.IsZero():
			c.Returned++
			if m.ended != pastReturned && len(r.Returned) < pastShown {
				r.Returned = append(r.Returned, pastReturnedBy{name, m.id, m.Subject.Address, m.Subject.Sender, m.Arrived.UTC(), fate.Returned.UTC(), fate.Rule})
			}
			continue
		case m.ended == pastReturned:
			r.Kept++
		}
		switch {
		case fate.Delivered.IsZero():
			c.Waiting++
		case m.ended == pastRefused:
			c.Refused++
		default:
			c.Delivered++
			delays = append(delays, fate.Delivered.Sub(m.Arrived))
			if m.ended == pastDelivered && fate.Delivered.Sub(m.at) > pastSame {
				c.Later++
			} else if m.ended == pastDelivered && m.at.Sub(fate.Delivered) > pastSame {
				c.Earlier++
			}
		}
	}
	c.delays(delays)
	c.Attempts, c.PerHour = attempts.total(), attempts.perHour()
	r.Columns = append(r.Columns, c)
	return true
}

func (a *app) tellPast(r *pastReport) {
	fmt.Fprintf(a.Out, "From %s to %s: %s, and %s of theirs went where something failed.\n\n",
		r.Since.Local().Format("2006-01-02 15:04"), r.Until.Local().Format("2006-01-02 15:04"), count(r.Messages, "message"), count(r.Recipients, "recipient"))
	if r.Recipients == 0 {
		fmt.Fprintln(a.Out, "No retry rule had a part in it.")
		return
	}
	row := func(what string, of func(*pastColumn) string) {
		fmt.Fprintf(a.Out, "%-32s", what)
		for i := range r.Columns {
			fmt.Fprintf(a.Out, " %12s", of(&r.Columns[i]))
		}
		fmt.Fprintln(a.Out)
	}
	number := func(of func(*pastColumn) int) func(*pastColumn) string {
		return func(c *pastColumn) string { return strconv.Itoa(of(c)) }
	}
	delay := func(seconds float64) string {
		return time.Duration(seconds * float64(time.Second)).Round(time.Second).String()
	}
	row("", func(c *pastColumn) string { return c.Name })
	row("attempts", number(func(c *pastColumn) int { return c.Attempts }))
	row("most attempts within an hour", number(func(c *pastColumn) int { return c.PerHour }))
	row("delivered", number(func(c *pastColumn) int { return c.Delivered }))
	row("  half of them within", func(c *pastColumn) string { return delay(c.Median) })
	row("  the last after", func(c *pastColumn) string { return delay(c.Worst) })
	row("  later than recorded", number(func(c *pastColumn) int { return c.Later }))
	row("  earlier than recorded", number(func(c *pastColumn) int { return c.Earlier }))
	row("refused for good", number(func(c *pastColumn) int { return c.Refused }))
	row("returned", number(func(c *pastColumn) int { return c.Returned }))
	row("waiting at the end", number(func(c *pastColumn) int { return c.Waiting }))
	if len(r.Returned) > 0 {
		fmt.Fprintf(a.Out, "\nWould have been returned, and were not:\n")
		for _, x := range r.Returned {
			fmt.Fprintf(a.Out, "  %s  <%s> after %s, by rule %s (%s)\n", show(x.ID), show(x.To), x.At.Sub(x.Arrived).Round(time.Second), show(x.Rule), x.By)
		}
		if len(r.Returned) == pastShown {
			fmt.Fprintln(a.Out, "  and perhaps more")
		}
	}
	if r.Kept > 0 {
		fmt.Fprintf(a.Out, "\nReturned, and would not have been (%s): %d.\n", r.Columns[len(r.Columns)-1].Name, r.Kept)
	}
	fmt.Fprintf(a.Out, "\nBetween two attempts nobody saw how a server was: it is taken to have come back %s (--back).\n",
		map[string]string{"early": "just behind the last that failed", "middle": "halfway", "late": "when one worked"}[r.Back])
	if r.LeftOut+r.Forgotten > 0 {
		fmt.Fprintf(a.Out, "That was too much to keep: %s and %s are left out.\n", count(r.LeftOut, "recipient"), count(r.Forgotten, "attempt"))
	}
}
