package mtactl

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
)

func (a *app) explainCommand() *cobra.Command {
	var q proto.ExplainQuery
	var asJSON bool
	var size string
	c := &cobra.Command{
		Use:   "explain ADDRESS",
		Short: "show what becomes of an address, step by step",
		Long: `explain asks the running router what it would do with an address: which director
or router takes it and why the others do not (which condition, which lookup and what
it had), what it expands to, and where the mail goes. Nothing is sent.

Entries may have conditions on where mail comes from: say so with --sender, --client,
--listener, --source and --size. --verify shows what is found out about a recipient
while the client waits at RCPT, where other entries may be asked than for delivery.`,
		Example: `  mtactl explain postmaster
  mtactl explain user@example.org --sender list@example.net --client 192.0.2.7
  mtactl explain user@example.org --verify callout --json`,
		Args: exactly(1, "an address"),
		RunE: func(_ *cobra.Command, args []string) error {
			q.Address = args[0]
			if size != "" {
				var n settings.Size
				if err := n.UnmarshalText([]byte(size)); err != nil {
					return fail(exUsage, `write a size like "10 MB"`, "--size").because(err)
				}
				q.Size = n.Bytes()
			}
			return a.explain(&q, asJSON)
		},
	}
	f := c.Flags()
	f.StringVar(&q.Sender, "sender", "", "route as for mail from `ADDRESS` (default: the null sender)")
	f.StringVar(&q.Client, "client", "", "as for mail of a client at `IP`")
	f.StringVar(&q.Listener, "listener", "", "as for mail that came in by listener `NAME`")
	f.StringVar(&q.Source, "source", "", "as for mail by `DOOR`: smtp, local, bounce (default: smtp with a client, else local)")
	f.StringVar(&size, "size", "", "as for a message of `SIZE`, like \"10 MB\"")
	f.StringVar(&q.Verify, "verify", "", "as at RCPT: `HOW` is route or callout")
	f.BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) explain(q *proto.ExplainQuery, asJSON bool) error {
	answer, err := a.askExplain(q)
	if err != nil {
		return err
	}
	for i := range answer.Leaves {
		a.known(&answer.Leaves[i])
	}
	if asJSON {
		return printJSON(a.Out, answer)
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

// known fills in what is remembered of the hosts of a leaf. Without mtadb there
// is nothing to tell.
func (a *app) known(l *proto.ExplainLeaf) {
	cl, err := a.mtadb()
	if err != nil {
		return
	}
	now := a.now()
	for _, h := range l.Hosts {
		l.Advice = append(l.Advice, a.advice(cl, h, now)...)
		var page proto.MemoryPage
		v := url.Values{"kind": {proto.MemoryHost.String()}, "prefix": {memoryKey(h, "")}, "limit": {"100"}}
		if cl.get(a.ctx, "/v1/memory?"+v.Encode(), &page) != nil {
			return
		}
		for i := range page.Records {
			r, ok := retry.UnmarshalRecord(page.Records[i].Value)
			by, of := wayOf(page.Records[i].Key, h, l.Login)
			if !ok || !of {
				continue
			}
			l.Known = append(l.Known, proto.ExplainKnown{
				Host: h + by, Since: r.State.Since.UTC(), Next: r.State.Next.UTC(),
				Attempts: r.State.Attempts, Kind: string(r.State.Kind), Words: retryWords(&r, now),
			})
		}
	}
}

// wayOf tells whether a key is of a host for those who log in so ("" = nobody), and by which
// way mail comes to it: from a source address of its own, or under another name. Which one
// the next message takes is not known here.
func wayOf(key, host, login string) (by string, of bool) {
	by, of = strings.CutPrefix(key, memoryKey(host, ""))
	if login != "" {
		var who bool
		by, who = strings.CutSuffix(by, " as "+login)
		of = of && who
	}
	return by, of && !strings.Contains(by, " as ") && (by == "" || by[0] == ' ')
}

// advice is what follows from what a server was seen to do, as lines.
func (a *app) advice(cl *client, host string, now time.Time) (lines []string) {
	key := memoryKey(host, "")
	var page proto.MemoryPage
	v := url.Values{"kind": {proto.MemoryQuirk.String()}, "prefix": {key}, "limit": {"1"}}
	if cl.get(a.ctx, "/v1/memory?"+v.Encode(), &page) != nil || len(page.Records) == 0 || page.Records[0].Key != key {
		return nil
	}
	if f, ok := quirk.Unmarshal(page.Records[0].Value); ok {
		for _, c := range f.Conclusions(now) {
			lines = append(lines, host+" "+c.String())
		}
	}
	return lines
}

// memoryKey is by what a host is remembered: "address:port", of one that is
// written "name[address]:port" too, and by whom one logs in as.
func memoryKey(host, login string) string {
	if _, rest, named := strings.Cut(host, "["); named {
		address, port, _ := strings.Cut(rest, "]:")
		host = net.JoinHostPort(address, port)
	}
	if login != "" {
		host += " as " + login
	}
	return host
}

func (a *app) askExplain(q *proto.ExplainQuery) (*proto.ExplainAnswer, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	var answer proto.ExplainAnswer
	return &answer, a.master(inst).patient(explainTimeout).post(a.ctx, "/v1/explain", q, &answer)
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
	for _, more := range leafMore(l) {
		fmt.Fprintf(a.Out, "    %s\n", show(more))
	}
}

// leafMore are the lines about what most deliveries have not.
func leafMore(l *proto.ExplainLeaf) []string {
	var lines []string
	if l.Target != "" {
		lines = append(lines, "to "+l.Target)
	}
	if l.ErrorsTo != "" {
		lines = append(lines, "failures are told to "+l.ErrorsTo)
	}
	for _, field := range l.HeadersAdd {
		lines = append(lines, "adds "+field)
	}
	if len(l.HeadersRemove) > 0 {
		lines = append(lines, "takes out "+strings.Join(l.HeadersRemove, ", "))
	}
	if l.Login != "" {
		lines = append(lines, "logs in as "+l.Login)
	}
	if l.Once {
		lines = append(lines, "is not tried again later")
	}
	for _, k := range l.Known {
		lines = append(lines, k.Host+" "+strings.Join(k.Words, "; "))
	}
	return append(lines, l.Advice...)
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
