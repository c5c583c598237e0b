package mtactl

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/standing"
)

// standingFlags are those that every standing order has.
type standingFlags struct {
	req    proto.OrderRequest
	asJSON bool
}

func (f *standingFlags) add(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&f.req.For, "for", "", "for this `TIME` (2h, '3 days'), and not until it is cancelled")
	c.Flags().StringVar(&f.req.Reason, "reason", "", "why, for those who list the orders, for the log and for reports")
	c.Flags().BoolVar(&f.asJSON, "json", false, "write JSON")
	return c
}

func (a *app) orderingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "order",
		Short: "hold, reroute or suspend mail for a time",
		Long: `order gives orders that stand: each has a number, an author, a reason and, with
--for, an end. They hold at once, for first attempts too, and survive a restart.
What is on its way at that moment is not stopped (mtactl abort does that). When an
order ends, what waited for it is tried.

A target is an address (user@example.org, '*@example.org'), a domain or the name of
a host ('*.example.org' is a pattern), or the address of a host ([192.0.2.1],
192.0.2.0/24).`,
		Example: `  mtactl order hold example.org --for 2h --reason "they move house"
  mtactl order reroute example.org "[192.0.2.1]:25"
  mtactl order suspend remote
  mtactl order list
  mtactl order cancel 3`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.orderHoldCommand(), a.orderRerouteCommand(), a.orderSuspendCommand(), a.orderResumeCommand(),
		a.orderListCommand(), a.orderCancelCommand())
	return c
}

func (a *app) orderHoldCommand() *cobra.Command {
	f := &standingFlags{}
	return f.add(&cobra.Command{
		Use:     "hold TARGET",
		Short:   "keep all mail for an address, a domain or a host",
		Long:    "hold keeps mail for the target: it is accepted, and waits. A message with other\nrecipients goes to those.",
		Example: "  mtactl order hold example.org --for 2h --reason \"their disk is full\"\n  mtactl order hold postmaster@example.org",
		Args:    exactly(1, "an address, a domain or a host"),
		RunE: func(_ *cobra.Command, args []string) error {
			f.req.Kind, f.req.Target = proto.OrderHold, args[0]
			return a.giveOrder(f)
		},
	})
}

func (a *app) orderRerouteCommand() *cobra.Command {
	f := &standingFlags{}
	return f.add(&cobra.Command{
		Use:   "reroute TARGET HOST...",
		Short: "send all mail for an address, a domain or a host to other hosts",
		Long: `reroute sends mail for the target to these hosts, whatever the configuration says.
A host is written as for a router: name (its MX records), [name], [address], each with
:port if need be. What waits already goes there with its next attempt:
mtactl queue run has that at once.`,
		Example: "  mtactl order reroute example.org \"[192.0.2.1]:25\" --for 1d\n  mtactl order reroute mx1.example.net mx2.example.net",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			f.req.Kind, f.req.Target, f.req.To = proto.OrderReroute, args[0], strings.Join(args[1:], " ")
			return a.giveOrder(f)
		},
	})
}

func (a *app) orderSuspendCommand() *cobra.Command {
	f := &standingFlags{}
	return f.add(&cobra.Command{
		Use:   "suspend all|local|remote|reception|transport NAME|destination TARGET",
		Short: "do no deliveries, or take no mail",
		Long: `suspend all does no deliveries at all, local none to mailboxes and commands of this
machine, remote none to other machines, transport NAME none by that transport, and
destination TARGET none to that domain or host. Mail is accepted, and waits.

suspend reception takes no mail from other machines: each message is answered with
451 4.3.2, so that its sender keeps it and tries again. Listeners with submission = true
still take mail, and so does sendmail.`,
		Example: "  mtactl order suspend remote --for 30m\n  mtactl order suspend transport lmtp\n  mtactl order suspend reception --reason \"the disk is full\"",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			target, err := suspended(args)
			if err != nil {
				return err
			}
			f.req.Kind, f.req.Target = proto.OrderSuspend, target
			return a.giveOrder(f)
		},
	})
}

// suspended makes a target of "transport lmtp" and the like.
func suspended(args []string) (string, error) {
	two := args[0] == "transport" || args[0] == "destination"
	switch {
	case two && len(args) == 2:
		return args[0] + ":" + args[1], nil
	case two:
		return "", fail(exUsage, "mtactl order suspend "+args[0]+" NAME", "which %s?", args[0])
	case len(args) == 2:
		return "", fail(exUsage, "only transport and destination have a name behind them", "too many words")
	}
	return args[0], nil
}

func (a *app) giveOrder(f *standingFlags) error {
	err := standing.Check(&proto.StandingOrder{Kind: f.req.Kind, Target: f.req.Target, To: f.req.To, Value: f.req.Value})
	if err != nil {
		hint := "mtactl order --help shows how targets and hosts are written"
		if f.req.Kind == proto.OrderLimit {
			hint = "mtactl limit --help tells of the limits"
		}
		return fail(exUsage, hint, "%s", show(err.Error()))
	}
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	var o proto.StandingOrder
	if err := cl.post(a.ctx, "/v1/orders", &f.req, &o); err != nil {
		return err
	}
	if f.asJSON {
		return printJSON(a.Out, &o)
	}
	fmt.Fprintf(a.Out, "Order %d: %s%s.\n", o.Number, orderWords(&o), a.untilWords(&o))
	return nil
}

// orderWords is what an order does.
func orderWords(o *proto.StandingOrder) string {
	target := show(o.Target)
	switch o.Kind {
	case proto.OrderReroute:
		return "reroute " + target + " to " + show(o.To)
	case proto.OrderLimit:
		return fmt.Sprintf("limit %s to %d", target, o.Value)
	}
	return string(o.Kind) + " " + strings.Replace(target, ":", " ", 1)
}

func (a *app) untilWords(o *proto.StandingOrder) string {
	if o.Until.IsZero() {
		return ", until it is cancelled"
	}
	return ", until " + o.Until.Local().Format("2006-01-02 15:04:05")
}

func (a *app) standingOrders(ctx context.Context) ([]proto.StandingOrder, error) {
	cl, err := a.qmgr()
	if err != nil {
		return nil, err
	}
	var list proto.StandingOrders
	if err := cl.get(ctx, "/v1/orders", &list); err != nil {
		return nil, err
	}
	return list.Orders, nil
}

func (a *app) orderListCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "list the orders in force",
		Example: "  mtactl order list\n  mtactl order list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.listOrders(asJSON, "No order is in force.", func(*proto.StandingOrder) bool { return true })
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) listOrders(asJSON bool, none string, wanted func(*proto.StandingOrder) bool) error {
	all, err := a.standingOrders(a.ctx)
	if err != nil {
		return err
	}
	list := []proto.StandingOrder{}
	for _, o := range all {
		if wanted(&o) {
			list = append(list, o)
		}
	}
	if asJSON {
		return printJSON(a.Out, &proto.StandingOrders{Orders: list})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Out, none)
		return nil
	}
	t := &table{}
	t.add("NO", "ORDER", "BY", "SINCE", "LEFT", "REASON")
	for i := range list {
		o := &list[i]
		left := "-"
		if !o.Until.IsZero() {
			left = age(o.Until.Sub(a.now()))
		}
		t.add(strconv.FormatUint(o.Number, 10), orderWords(o), show(o.Who), o.Made.Local().Format("2006-01-02 15:04"), left, show(o.Reason))
	}
	t.print(a, true)
	return nil
}

func (a *app) orderCancelCommand() *cobra.Command {
	var req proto.CancelRequest
	c := &cobra.Command{
		Use:     "cancel NUMBER...",
		Short:   "end orders before their time",
		Long:    "cancel ends orders by their numbers. What waited for them is tried at once.",
		Example: "  mtactl order cancel 3",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.cancelOrders(args, &req) },
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the log")
	return c
}

func (a *app) cancelOrders(args []string, req *proto.CancelRequest) error {
	for _, text := range args {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fail(exUsage, "mtactl order list shows the numbers", "%q is no number of an order", text)
		}
		if err := a.cancelOrder(n, req); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) cancelOrder(n uint64, req *proto.CancelRequest) error {
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	var o proto.StandingOrder
	if err := cl.call(a.ctx, http.MethodPost, fmt.Sprintf("/v1/orders/%d/cancel", n), req, &o); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "Order %d (%s) is cancelled.\n", o.Number, orderWords(&o))
	return nil
}

func (a *app) orderResumeCommand() *cobra.Command {
	var req proto.CancelRequest
	c := &cobra.Command{
		Use:     "resume all|local|remote|reception|transport NAME|destination TARGET",
		Short:   "go on with what was suspended",
		Long:    "resume cancels the suspensions of that name.",
		Example: "  mtactl order resume remote",
		Args:    cobra.RangeArgs(1, 2),
		RunE:    func(_ *cobra.Command, args []string) error { return a.resume(args, &req) },
	}
	c.Flags().StringVar(&req.Reason, "reason", "", "why, for the log")
	return c
}

func (a *app) resume(args []string, req *proto.CancelRequest) error {
	target, err := suspended(args)
	if err != nil {
		return err
	}
	n, err := a.cancelThose(proto.OrderSuspend, target, req)
	if err == nil && n == 0 {
		return fail(exDataErr, "mtactl order list shows the orders in force", "%s is not suspended", show(strings.Join(args, " ")))
	}
	return err
}

// cancelThose cancels the orders of a kind about a target.
func (a *app) cancelThose(kind proto.OrderKind, target string, req *proto.CancelRequest) (n int, err error) {
	list, err := a.standingOrders(a.ctx)
	if err != nil {
		return 0, err
	}
	for i := range list {
		if list[i].Kind != kind || list[i].Target != target {
			continue
		}
		if err := a.cancelOrder(list[i].Number, req); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// limitCommand is the orders about limits.
func (a *app) limitCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "limit",
		Short: "change limits while the suite runs",
		Long: `limit changes how many deliveries (deliveries, for limits.deliveries), deliveries to
mailboxes and commands (local) and connections of clients (receptions, of each listener;
receptions:NAME of one) there are at once, until it is reset or for a time. It is an order
like those of mtactl order, and survives a restart. Receptions can't be more than
max_connections of the listener.`,
		Example: "  mtactl limit set deliveries 20 --for 1h\n  mtactl limit list\n  mtactl limit reset deliveries",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f := &standingFlags{}
	set := f.add(&cobra.Command{
		Use:   "set deliveries|local|receptions[:LISTENER] N",
		Short: "at most N of these at once",
		Args:  exactly(2, "what, and how many"),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil {
				return fail(exUsage, "", "%q is no number", args[1])
			}
			f.req.Kind, f.req.Target, f.req.Value = proto.OrderLimit, args[0], n
			return a.giveOrder(f)
		},
	})
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Short: "list the limits that were changed", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.listOrders(asJSON, "No limit was changed: those of the configuration are in force.",
				func(o *proto.StandingOrder) bool { return o.Kind == proto.OrderLimit })
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	reset := &cobra.Command{
		Use: "reset deliveries|local|receptions[:LISTENER]", Short: "go back to the configuration", Args: exactly(1, "which limit"),
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := a.cancelThose(proto.OrderLimit, args[0], &proto.CancelRequest{})
			if err == nil && n == 0 {
				return fail(exDataErr, "mtactl limit list shows what was changed", "the limit %s was not changed", show(args[0]))
			}
			return err
		},
	}
	c.AddCommand(set, list, reset)
	return c
}
