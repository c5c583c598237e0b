package mtactl

import (
	"bufio"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

// maxIDFile bounds what is read of a file of ids.
const maxIDFile = 256 << 20

// idsFrom adds the ids of a file, one word a line; what is behind it, as in the output of
// other commands, and lines that begin with # are left alone.
func (a *app) idsFrom(name string, ids *[]string) error {
	if name == "" {
		return nil
	}
	in := a.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fail(exNoInput, "", "read the ids").because(err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewScanner(io.LimitReader(in, maxIDFile))
	n := len(*ids)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			*ids = append(*ids, words[0])
		}
	}
	if err := lines.Err(); err != nil {
		return fail(exIOErr, "", "read the ids").because(err)
	}
	if len(*ids) == n {
		return fail(exDataErr, "an id stands at the beginning of each line", "there are no ids in %s", show(name))
	}
	return nil
}

func (a *app) queueRunCommand() *cobra.Command {
	q := proto.QueueOrder{Filter: proto.QueueFilter{State: "deferred"}}
	var from string
	var asJSON bool
	c := &cobra.Command{
		Use:   "run",
		Short: "try all messages now, but for some",
		Long: `run makes every message that waits due at once, but for those that any of the --except
flags matches. They are tried within the limits, so many at a time for each
destination, the oldest first. What is held, or kept by an order, is not tried.`,
		Example: "  mtactl queue run\n  mtactl queue run --except-larger 10MB --except-destination slow.example\n  mtactl queue run --except-older 3d --dry-run",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkFilter(&q.Except); err != nil {
				return err
			}
			if err := a.idsFrom(from, &q.ExceptIDs); err != nil {
				return err
			}
			var err error
			if q.ExceptIDs, err = checkIDs(q.ExceptIDs); err != nil {
				return err
			}
			if n := len(q.ExceptIDs); n > proto.ControlMaxIDs {
				return fail(exUsage, "use filters", "%d ids to leave out; at most %d are possible", n, proto.ControlMaxIDs)
			}
			return a.order(orders[0], &q, true, asJSON)
		},
	}
	c.Flags().StringArrayVar(&q.ExceptIDs, "except-id", nil, "leave out the message with this queue `ID` (may be repeated)")
	c.Flags().StringVar(&from, "except-ids-from", "", "leave out the messages with the ids in `FILE`, - for standard input")
	c.Flags().StringVar(&q.Except.Older, "except-older", "", "leave out what arrived longer ago than `TIME`")
	c.Flags().StringVar(&q.Except.Younger, "except-younger", "", "leave out what arrived within `TIME`")
	c.Flags().StringVar(&q.Except.Larger, "except-larger", "", "leave out what is larger than `SIZE`")
	c.Flags().StringVar(&q.Except.Smaller, "except-smaller", "", "leave out what is smaller than `SIZE`")
	c.Flags().StringVar(&q.Except.Domain, "except-destination", "", "leave out what waits for a domain that matches `PATTERN`")
	c.Flags().StringVar(&q.Except.Sender, "except-sender", "", "leave out what comes from a sender that matches `PATTERN`")
	c.Flags().StringVar(&q.Except.Why, "except-why", "", "leave out what waits for a reason in which `RE` is found")
	c.Flags().BoolVar(&q.DryRun, "dry-run", false, "only count them")
	c.Flags().StringVar(&q.Reason, "reason", "", "why, for the log")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) queueRedirectCommand() *cobra.Command {
	var q proto.QueueOrder
	var asJSON bool
	c := &cobra.Command{
		Use:     "redirect ID OLD NEW",
		Short:   "give a recipient of a message another address",
		Long:    "redirect changes one recipient that still waits, and has it tried there at once. The\nmessage's log keeps who did it and why; the header is left alone. Members of a list who\nhave the message already get it again if the new address leads to them, too.",
		Example: "  mtactl queue redirect 1HT0E1F3R00 bob@exmaple.org bob@example.org",
		Args:    exactly(3, "a queue id, the old address and the new one"),
		RunE: func(_ *cobra.Command, args []string) error {
			q.IDs, q.Recipient, q.To = args[:1], args[1], args[2]
			return a.order(order{name: "redirect", done: "redirected"}, &q, true, asJSON)
		},
	}
	c.Flags().StringVar(&q.Reason, "reason", "", "why, for the log")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) queueDropCommand() *cobra.Command {
	var q proto.QueueOrder
	var asJSON bool
	c := &cobra.Command{
		Use:     "drop ID RECIPIENT",
		Short:   "take a recipient off a message",
		Long:    "drop ends one recipient that still waits, without telling anyone; with --bounce the\nsender gets a report. The others of the message are tried as before.",
		Example: "  mtactl queue drop 1HT0E1F3R00 bob@example.org\n  mtactl queue drop 1HT0E1F3R00 bob@example.org --bounce --reason \"he has left\"",
		Args:    exactly(2, "a queue id and a recipient"),
		RunE: func(_ *cobra.Command, args []string) error {
			q.IDs, q.Recipient = args[:1], args[1]
			return a.order(order{name: "drop", done: "without that recipient now"}, &q, true, asJSON)
		},
	}
	c.Flags().BoolVar(&q.Report, "bounce", false, "tell the sender")
	c.Flags().StringVar(&q.Reason, "reason", "", "why, for the log and the report")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}
