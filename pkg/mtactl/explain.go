package mtactl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

func (a *app) explainCommand() *cobra.Command {
	var q proto.ExplainQuery
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain ADDRESS",
		Short: "show what becomes of an address, step by step",
		Long: `explain asks the running router what it would do with an address: which director
or router takes it and why the others do not, what it expands to, and where the
mail goes. Nothing is sent.`,
		Example: "  mtactl explain postmaster\n  mtactl explain user@example.org --sender list@example.net",
		Args:    exactly(1, "an address"),
		RunE: func(_ *cobra.Command, args []string) error {
			q.Address = args[0]
			return a.explain(&q, asJSON)
		},
	}
	c.Flags().StringVar(&q.Sender, "sender", "", "route as for mail from `ADDRESS` (default: the null sender)")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) explain(q *proto.ExplainQuery, asJSON bool) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	var answer proto.ExplainAnswer
	cl := a.master(inst)
	if err := cl.patient(explainTimeout).post(a.ctx, "/v1/explain", q, &answer); err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.Out, &answer)
	}
	for i := range answer.Trace {
		fmt.Fprintln(a.Out, a.step(&answer.Trace[i]))
	}
	if len(answer.Trace) > 0 {
		fmt.Fprintln(a.Out)
	}
	for i := range answer.Leaves {
		a.leaf(&answer.Leaves[i])
	}
	return nil
}

// step is a step as a line.
func (a *app) step(s *proto.Step) string {
	line := strings.Repeat("  ", min(s.Depth, 100))
	switch s.Kind {
	case "address":
		return line + a.paint(bold, show(s.Name))
	case "note":
		return line + show(s.Why)
	}
	line += s.Kind + " " + show(s.Name)
	if s.Driver != "" {
		line += " (" + show(s.Driver) + ")"
	}
	colour := map[string]string{"took": green, "redirected": green, "found": green, "failed": red, "deferred": yellow}[s.Did]
	if s.Did != "" {
		line += ": " + a.paint(colour, show(s.Did))
	}
	if s.Why != "" {
		line += ": " + show(s.Why)
	}
	return line
}

func (a *app) leaf(l *proto.ExplainLeaf) {
	fmt.Fprintf(a.Out, "%s: ", a.paint(bold, show(l.Address)))
	switch l.Verdict {
	case "deliver":
		fmt.Fprintf(a.Out, "%s by transport %s", a.paint(green, "delivered"), show(l.Transport))
		if l.User != "" {
			fmt.Fprintf(a.Out, " for user %s", show(l.User))
		}
		if len(l.Hosts) > 0 {
			fmt.Fprintf(a.Out, " to %s", show(strings.Join(l.Hosts, ", ")))
		} else if l.NextHop != "" {
			fmt.Fprintf(a.Out, " to %s", show(l.NextHop))
		}
	case "failed":
		fmt.Fprint(a.Out, a.paint(red, "refused"))
	case "deferred":
		fmt.Fprint(a.Out, a.paint(yellow, "deferred"))
	default:
		fmt.Fprint(a.Out, show(l.Verdict))
	}
	if l.By != "" {
		fmt.Fprintf(a.Out, " (%s)", show(l.By))
	}
	if l.Reason != "" {
		fmt.Fprintf(a.Out, ": %s", show(l.Reason))
	}
	fmt.Fprintln(a.Out)
}

// exactly wants n arguments and says what they are.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return fail(exUsage, cmd.CommandPath()+" --help has examples", "%s wants %s, and has %s", cmd.CommandPath(), what, count(len(args), "argument"))
	}
}
