package mtactl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

// watchEvery is how often --watch looks again.
const watchEvery = 2 * time.Second

// activity is one thing that is being done now.
type activity struct {
	Service string `json:"service"`
	PID     int    `json:"pid"`
	proto.BoardRow
}

func (a *app) psCommand() *cobra.Command {
	var asJSON, watch bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "show what every process is doing now",
		Long: `ps lists what is under way: sessions of clients, attempts, deliveries, with the message,
the host, the phase, since when, and the octets so far; the oldest first. What is
shown of one delivery by several programs has one line for each.`,
		Example: "  mtactl ps\n  mtactl ps --watch\n  mtactl ps --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.ps(asJSON, watch) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().BoolVar(&watch, "watch", false, "show it again every two seconds, until interrupted")
	return c
}

func (a *app) ps(asJSON, watch bool) error {
	for {
		list, err := a.underWay()
		if err != nil {
			return err
		}
		if watch && !asJSON && isTerminal(a.Out) {
			fmt.Fprint(a.Out, "\x1b[H\x1b[2J")
		}
		if asJSON {
			err = printJSON(a.Out, list)
		} else {
			a.printActivities(list)
		}
		if err != nil || !watch {
			return err
		}
		select {
		case <-a.ctx.Done():
			return nil
		case <-time.After(watchEvery):
		}
	}
}

// underWay asks every process, by way of master.
func (a *app) underWay() ([]activity, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	st, err := a.status(inst, true)
	if err != nil {
		return nil, err
	}
	list := []activity{}
	for _, s := range st.Services {
		for _, p := range s.Processes {
			for _, r := range p.Board {
				list = append(list, activity{s.Name, p.PID, r})
			}
		}
	}
	slices.SortStableFunc(list, func(x, y activity) int { return cmp.Compare(x.Since.UnixMilli(), y.Since.UnixMilli()) })
	return list, nil
}

func (a *app) printActivities(list []activity) {
	if len(list) == 0 {
		fmt.Fprintln(a.Out, "Nothing is under way.")
		return
	}
	now := a.now()
	t := &table{}
	t.add("SERVICE", "PID", "FOR", "PHASE", "BYTES", "MESSAGE", "PEER")
	for i := range list {
		r := &list[i]
		t.add(r.Service, fmt.Sprint(r.PID), age(now.Sub(r.Since)), orDash(r.Phase), size(r.Bytes), orDash(r.ID), orDash(r.Peer))
	}
	t.print(a, true)
}

func (a *app) abortCommand() *cobra.Command {
	var req proto.AbortRequest
	var asJSON bool
	c := &cobra.Command{
		Use:   "abort ID",
		Short: "abandon the attempt of a message that is under way",
		Long: `abort ends what is being done for a message now: its connections to other machines are
closed, whatever the dialogue has come to. Recipients that were not served are deferred,
or with --hard failed and reported to the sender. A command gets ten seconds to
end; a delivery to a mailbox is waited for, some minutes at most. A server that was sent the whole message and has not answered may have
taken it: it gets the message again with the next attempt.`,
		Example: "  mtactl ps\n  mtactl abort 1HT0E1F3R00 --reason \"it hangs\"",
		Args:    exactly(1, "a queue id"),
		RunE: func(_ *cobra.Command, args []string) error {
			ids, err := checkIDs(args)
			if err != nil {
				return err
			}
			req.ID = ids[0]
			return a.abort(&req, asJSON)
		},
	}
	c.Flags().BoolVar(&req.Hard, "hard", false, "as a failure, which is reported to the sender")
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the log and for reports")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) abort(req *proto.AbortRequest, asJSON bool) error {
	doing, err := a.underWay() // before it ends
	if err != nil {
		return err
	}
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	var res proto.AbortResult
	if err := cl.post(a.ctx, "/v1/abort", req, &res); err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.Out, &res)
	}
	if !res.UnderWay {
		return fail(exDataErr, "mtactl ps shows what is; mtactl trace "+req.ID+" what became of it", "no delivery of %s is under way", req.ID)
	}
	was := "deferred"
	if req.Hard {
		was = "failed"
	}
	fmt.Fprintf(a.Out, "The attempt of %s is abandoned as %s%s.\n", req.ID, was, a.wasDoing(doing, req.ID))
	return nil
}

// wasDoing is "; it was in content with mx.example.org for 40s".
func (a *app) wasDoing(doing []activity, id string) string {
	var parts []string
	for i := range doing {
		r := &doing[i]
		if r.ID != id || r.Service == string(proto.Dispatch) {
			continue
		}
		part := fmt.Sprintf("in %s", show(r.Phase))
		if r.Peer != "" {
			part += " with " + show(r.Peer)
		}
		parts = append(parts, part+" for "+age(a.now().Sub(r.Since)))
	}
	switch {
	case len(parts) == 0:
		return ""
	case len(parts) > 5:
		parts = append(parts[:5], fmt.Sprintf("and %d more", len(parts)-5))
	}
	return "; it was " + strings.Join(parts, ", ")
}
