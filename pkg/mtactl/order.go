package mtactl

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

// order is one of the administrator's orders about messages.
type order struct {
	name, short, long string
	done              string // "3 messages DONE."
	loses             bool   // asks before it is done to what a filter chose
}

var orders = []order{
	{"retry", "try messages now", "retry makes messages due at once, whatever their schedule says.", "due now", false},
	{"hold", "keep messages until they are released", "hold keeps messages in the queue without trying them, for as long as it takes.\nTime on hold counts towards giving up.", "held", false},
	{"release", "let held messages go on", "release puts held messages back on their schedule, due at once.", "released", false},
	{"bounce", "return messages to their senders", "bounce gives messages up now: their senders get a report.", "returned to the senders", true},
	{"delete", "delete messages without telling anyone", "delete removes messages from the queue. Nobody is told; they are gone.", "deleted", true},
}

func (a *app) orderCommand(o order) *cobra.Command {
	var q proto.QueueOrder
	var ids []string
	var from string
	var yes, asJSON bool
	c := &cobra.Command{
		Use:   o.name + " [ID...]",
		Short: o.short,
		Long:  o.long + "\n\nName messages by their ids, or choose them by filters, which must all hold, or\nsay --all. With --dry-run nothing is done but counting.",
		Example: fmt.Sprintf("  mtactl queue %s 1HT0E1F3R00\n  mtactl queue %s --domain example.net --older 1h\n  mtactl queue %s --all --dry-run",
			o.name, o.name, o.name),
		RunE: func(_ *cobra.Command, args []string) error {
			q.IDs = append(ids, args...)
			if err := a.idsFrom(from, &q.IDs); err != nil {
				return err
			}
			return a.order(o, &q, yes, asJSON)
		},
	}
	filterFlags(c, &q.Filter, &ids)
	c.Flags().StringVar(&from, "ids-from", "", "the messages with the ids in `FILE`, - for standard input")
	if o.name == "hold" {
		c.Flags().StringVar(&q.For, "for", "", "for this `TIME` (2h, '3 days'); then they are released")
	}
	c.Flags().BoolVar(&q.All, "all", false, "all messages in the queue")
	c.Flags().BoolVar(&q.DryRun, "dry-run", false, "only count them")
	c.Flags().StringVar(&q.Reason, "reason", "", "why, for the log and for reports")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	if o.loses {
		c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	}
	return c
}

func (a *app) order(o order, q *proto.QueueOrder, yes, asJSON bool) error {
	if err := checkFilter(&q.Filter); err != nil {
		return err
	}
	var err error
	if q.IDs, err = checkIDs(q.IDs); err != nil {
		return err
	}
	filtered := q.Filter != proto.QueueFilter{}
	switch {
	case len(q.IDs) > 0 && (filtered || q.All):
		return fail(exUsage, "name ids, or choose with filters", "ids cannot be combined with filters or --all")
	case len(q.IDs) == 0 && !filtered && !q.All:
		return fail(exUsage, "mtactl queue list shows the ids; --all means every message", "which messages? Name ids or give a filter")
	case q.All && filtered:
		return fail(exUsage, "leave out --all", "--all cannot be combined with filters")
	}
	if o.name == "release" && len(q.IDs) == 0 && q.Filter.State == "" {
		q.Filter.State, q.All = "held", false // the others have nothing to be released from
	}
	if o.loses && len(q.IDs) == 0 && !q.DryRun && !yes {
		if err := a.confirm(o, *q); err != nil {
			return err
		}
	}
	res, err := a.sendOrder(o, q)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(a.Out, res)
	} else {
		a.printResult(o, q, res)
	}
	if err == nil && len(res.Errors) > 0 {
		return errSilent(exTempFail)
	}
	return err
}

func (a *app) sendOrder(o order, q *proto.QueueOrder) (*proto.QueueResult, error) {
	cl, err := a.qmgr()
	if err != nil {
		return nil, err
	}
	var sum proto.QueueResult
	for _, ids := range portions(q.IDs) {
		one := *q
		one.IDs = ids
		var res proto.QueueResult
		if err := cl.patient(orderTimeout).post(a.ctx, "/v1/queue/"+o.name, &one, &res); err != nil {
			return nil, a.notInQueue(err)
		}
		sum.Matched, sum.Done = sum.Matched+res.Matched, sum.Done+res.Done
		sum.IDs, sum.Errors = append(sum.IDs, res.IDs...), append(sum.Errors, res.Errors...)
	}
	return &sum, nil
}

// portions are the ids for one request each; without ids there is one request.
func portions(ids []string) [][]string {
	if len(ids) == 0 {
		return [][]string{nil}
	}
	return slices.Collect(slices.Chunk(ids, proto.ControlMaxIDs))
}

// confirm asks the person at the terminal before mail is lost. A script has to
// say --yes.
func (a *app) confirm(o order, q proto.QueueOrder) error {
	q.DryRun = true
	res, err := a.sendOrder(o, &q)
	if err != nil {
		return err
	}
	if res.Matched == 0 {
		a.printResult(o, &q, res)
		return errSilent(exOK)
	}
	if !isTerminal(a.In) {
		return fail(exUsage, "add --yes", "%s would be %s", count(res.Matched, "message"), o.done)
	}
	fmt.Fprintf(a.Err, "%s will be %s. Go on? [y/N] ", count(res.Matched, "message"), o.done)
	line, _ := bufio.NewReader(a.In).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		fmt.Fprintln(a.Err, "Nothing was done.")
		return errSilent(exOK)
	}
	return nil
}

func (a *app) printResult(o order, q *proto.QueueOrder, res *proto.QueueResult) {
	for _, e := range res.Errors {
		fmt.Fprintln(a.Err, a.paint(red, show(e)))
	}
	switch {
	case res.Matched == 0:
		fmt.Fprintln(a.Out, "No message matches.")
	case q.DryRun:
		fmt.Fprintf(a.Out, "%s would be %s.\n", count(res.Matched, "message"), o.done)
	case res.Done == res.Matched:
		fmt.Fprintf(a.Out, "%s %s.\n", count(res.Done, "message"), o.done)
	default:
		fmt.Fprintf(a.Out, "%d of %s %s.\n", res.Done, count(res.Matched, "message"), o.done)
	}
}
