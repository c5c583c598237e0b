package mtactl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/settings"
)

// maxItem bounds one line of a listing: a message with all its recipients.
const maxItem = 64 << 20

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "list and steer the messages that wait",
		Long: `queue shows the messages that could not be delivered at once, and what was said
about them, and carries out your orders: try them now, hold, release, return or
delete them. A message in its first attempt is not in the queue yet.`,
		Example: `  mtactl queue list
  mtactl queue list --domain example.net --older 2h
  mtactl queue show 1HT0E1F3R00
  mtactl queue retry --domain example.net
  mtactl queue delete --sender '*@spam.example' --dry-run`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.queueListCommand(), a.queueShowCommand(), a.queueCatCommand())
	for _, o := range orders {
		c.AddCommand(a.orderCommand(o))
	}
	c.AddCommand(a.queueRunCommand(), a.queueRedirectCommand(), a.queueDropCommand())
	return c
}

// filterFlags adds the flags that choose messages.
func filterFlags(c *cobra.Command, f *proto.QueueFilter, ids *[]string) {
	c.Flags().StringArrayVar(ids, "id", nil, "the message with this queue `ID` (may be repeated)")
	c.Flags().StringVar(&f.Sender, "sender", "", "whose sender matches `PATTERN` (user@example.org, '*@example.org', /re/, '<>')")
	c.Flags().StringVar(&f.Recipient, "recipient", "", "with a waiting recipient that matches `PATTERN`")
	c.Flags().StringVar(&f.Domain, "domain", "", "with a waiting recipient in a domain that matches `PATTERN`")
	c.Flags().StringVar(&f.Older, "older", "", "that arrived longer ago than `TIME` (90m, '2 days')")
	c.Flags().StringVar(&f.Younger, "younger", "", "that arrived within `TIME`")
	c.Flags().StringVar(&f.Larger, "larger", "", "larger than `SIZE` (500k, '10 MB')")
	c.Flags().StringVar(&f.Smaller, "smaller", "", "smaller than `SIZE`")
	c.Flags().StringVar(&f.Why, "why", "", "with a reason in which the expression `RE` is found (RE2; case does not count)")
	c.Flags().StringVar(&f.State, "state", "", "in this `STATE`: deferred or held")
	c.Flags().IntVar(&f.Limit, "limit", 0, "at most `N` messages")
}

// checkFilter refuses what qmgr would refuse, in the words of the command line.
func checkFilter(f *proto.QueueFilter) error {
	for _, p := range []struct {
		flag, text string
		kind       pattern.Kind
	}{
		{"sender", f.Sender, pattern.Addresses},
		{"recipient", f.Recipient, pattern.Addresses},
		{"domain", f.Domain, pattern.Domains},
	} {
		if p.text == "" {
			continue
		}
		var errs pattern.Errors
		if _, err := pattern.CompileList([]string{p.text}, p.kind); errors.As(err, &errs) {
			return fail(exUsage, errs[0].Hint, "--%s %q %s", p.flag, p.text, errs[0].Problem)
		}
	}
	for flag, text := range map[string]string{"older": f.Older, "younger": f.Younger} {
		var d settings.Duration
		if text == "" {
			continue
		}
		if err := d.UnmarshalText([]byte(text)); err != nil {
			return fail(exUsage, "write it like 90m, 12h or '2 days'", "--%s", flag).because(err)
		}
	}
	for flag, text := range map[string]string{"larger": f.Larger, "smaller": f.Smaller} {
		var s settings.Size
		if text == "" {
			continue
		}
		if err := s.UnmarshalText([]byte(text)); err != nil {
			return fail(exUsage, "write it like 500k or '10 MB'", "--%s", flag).because(err)
		}
	}
	if _, err := regexp.Compile(f.Why); err != nil {
		return fail(exUsage, "it is an expression of RE2", "--why").because(err)
	}
	if f.State != "" && f.State != "deferred" && f.State != "held" {
		return fail(exUsage, "there are deferred and held", "--state %q is not known", f.State)
	}
	return nil
}

// checkIDs reads queue ids strictly, so that nothing that looks like a path
// ever gets into a request.
func checkIDs(ids []string) ([]string, error) {
	out := make([]string, 0, len(ids))
	for _, s := range ids {
		id, err := queueid.Parse(s)
		if err != nil {
			return nil, fail(exUsage, "queue ids are what `mtactl queue list` and the log show, like 1HT0E1F3R00", "%q is no queue id", s)
		}
		out = append(out, id.String())
	}
	return out, nil
}

func (a *app) qmgr() (*client, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	return newClient(inst.Control(proto.ControlQmgr)), nil
}

func (a *app) queueListCommand() *cobra.Command {
	var f proto.QueueFilter
	var ids []string
	var asJSON bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "list messages, the oldest first",
		Long:    "list shows the messages that wait, the oldest first. Filters must all hold; with\n--json each line is one message.",
		Example: "  mtactl queue list\n  mtactl queue list --state held --json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.queueList(&f, ids, asJSON) },
	}
	filterFlags(c, &f, &ids)
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON, a message a line")
	return c
}

func (a *app) queueList(f *proto.QueueFilter, ids []string, asJSON bool) error {
	if err := checkFilter(f); err != nil {
		return err
	}
	ids, err := checkIDs(ids)
	if err != nil {
		return err
	}
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	l := lister{app: a, asJSON: asJSON, none: "No message waits."}
	if len(ids) > 0 || query(f) != "" {
		l.none = "No message matches."
	}
	err = l.stream(cl, "/v1/queue"+query(f), func(item *proto.QueueItem) bool {
		return len(wanted) == 0 || wanted[item.ID]
	})
	if err == nil && !asJSON {
		l.summary()
	}
	return err
}

// query is a filter as query parameters.
func query(f *proto.QueueFilter) string {
	v := url.Values{}
	for key, text := range map[string]string{
		"sender": f.Sender, "recipient": f.Recipient, "domain": f.Domain,
		"older": f.Older, "younger": f.Younger, "state": f.State,
		"larger": f.Larger, "smaller": f.Smaller, "why": f.Why,
	} {
		if text != "" {
			v.Set(key, text)
		}
	}
	if f.Limit > 0 {
		v.Set("limit", strconv.Itoa(f.Limit))
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// lister prints a listing while it comes in.
type lister struct {
	app    *app
	asJSON bool
	none   string // what to say when there is none
	n      int
	bytes  int64
}

func (l *lister) stream(cl *client, path string, wanted func(*proto.QueueItem) bool) error {
	body, err := cl.open(l.app.ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), maxItem)
	for in.Scan() {
		var item proto.QueueItem
		if err := json.Unmarshal(in.Bytes(), &item); err != nil {
			return fail(exUnavailable, "", "qmgr's answer cannot be read").because(err)
		}
		if !wanted(&item) {
			continue
		}
		l.n++
		l.bytes += item.Size
		if l.asJSON {
			fmt.Fprintf(l.app.Out, "%s\n", in.Bytes())
			continue
		}
		l.item(&item)
	}
	if err := in.Err(); err != nil {
		return fail(exTempFail, "what is listed above is not all", "the listing was cut short").because(err)
	}
	return nil
}

func (l *lister) item(m *proto.QueueItem) {
	a := l.app
	if l.n == 1 {
		fmt.Fprintln(a.Out, a.paint(dim, fmt.Sprintf("%-11s  %6s  %8s  %-9s  %s", "ID", "AGE", "SIZE", "NEXT", "FROM, TO, WHY")))
	}
	fmt.Fprintf(a.Out, "%s  %6s  %8s  %-9s  %s\n", a.paint(bold, show(m.ID)), age(a.now().Sub(m.Arrived)), size(m.Size), a.next(m), sender(m.Sender))
	const indent = "                                          "
	for i, r := range m.Recipients {
		if i == 10 {
			fmt.Fprintf(a.Out, "%sand %d more\n", indent, len(m.Recipients)-i)
			break
		}
		fmt.Fprintf(a.Out, "%s%s\n", indent, show(r.Address))
		if r.Reason != "" && r.Reason != m.Reason {
			fmt.Fprintf(a.Out, "%s  %s\n", indent, show(r.Reason))
		}
	}
	if m.Reason != "" {
		fmt.Fprintf(a.Out, "%s%s\n", indent, a.paint(dim, show(m.Reason)))
	}
}

// next is the column that says when a message is tried again.
func (a *app) next(m *proto.QueueItem) string {
	switch {
	case m.State == "held":
		return "held"
	case m.State == "active":
		return "now"
	case m.NextAttempt == nil:
		return "-"
	}
	d := m.NextAttempt.Sub(a.now())
	if d < time.Second {
		return "now"
	}
	return "in " + age(d)
}

func sender(s string) string {
	if s == "" {
		return "<> (a report)"
	}
	return show(s)
}

func (l *lister) summary() {
	if l.n == 0 {
		fmt.Fprintln(l.app.Out, l.none)
		return
	}
	fmt.Fprintf(l.app.Out, "%s, %s\n", count(l.n, "message"), size(l.bytes))
}

func (a *app) queueShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show ID",
		Short:   "show all that is known of one message, with its attempts",
		Example: "  mtactl queue show 1HT0E1F3R00",
		Args:    exactly(1, "a queue id"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.queueShow(args[0], asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) queueShow(id string, asJSON bool) error {
	ids, err := checkIDs([]string{id})
	if err != nil {
		return err
	}
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	var m proto.QueueMessage
	if err := cl.get(a.ctx, "/v1/queue/"+ids[0], &m); err != nil {
		return a.notInQueue(err)
	}
	if asJSON {
		return printJSON(a.Out, &m)
	}
	a.printMessage(&m)
	return nil
}

// notInQueue adds where else a message can be to "no such message".
func (a *app) notInQueue(err error) error {
	var f *failure
	var se *statusError
	if errors.As(err, &f) && errors.As(err, &se) && se.status == http.StatusNotFound && f.hint == "" {
		f.hint = "it may be delivered, or in its first attempt; " + a.self() + " trace ID tells"
	}
	return err
}

func (a *app) printMessage(m *proto.QueueMessage) {
	now := a.now()
	row := func(key, format string, args ...any) {
		fmt.Fprintf(a.Out, "%-12s %s\n", key, fmt.Sprintf(format, args...))
	}
	row("Message", "%s, %s, %s", a.paint(bold, show(m.ID)), size(m.Size), show(m.State))
	row("From", "%s", sender(m.Sender))
	row("Arrived", "%s (%s ago)", m.Arrived.Local().Format("2006-01-02 15:04:05"), age(now.Sub(m.Arrived)))
	if m.Client != "" {
		row("Came from", "%s", show(strings.TrimSpace(m.Client+" "+m.HELO+" "+m.Proto)))
	}
	row("Attempts", "%d", m.Attempts)
	row("Next", "%s", a.next(&m.QueueItem))
	if m.GiveUpAt != nil {
		row("Give up", "%s", m.GiveUpAt.Local().Format("2006-01-02 15:04:05"))
	}
	if m.Reason != "" {
		row("Why", "%s", show(m.Reason))
	}
	for _, r := range m.Recipients {
		row("To", "%s", shownRecipient(&r))
	}
	for _, r := range m.Done {
		row("Done", "%s", shownRecipient(&r))
	}
	if len(m.Log) == 0 {
		return
	}
	fmt.Fprintln(a.Out)
	t := &table{}
	t.add("WHEN", "RECIPIENT", "RESULT", "STATUS", "HOST", "TEXT")
	for _, l := range m.Log {
		t.add(l.At.Local().Format("01-02 15:04:05"), show(l.Recipient), show(l.Result), orDash(l.Status), orDash(l.Host), show(l.Text))
	}
	t.print(a, true)
}

func (a *app) queueCatCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "cat ID",
		Short:   "write a message as it was received",
		Long:    "cat writes the header and body of a message to standard output, byte for byte.\nWhat is in it can confuse a terminal: send it to a pager or a file.",
		Example: "  mtactl queue cat 1HT0E1F3R00 | less",
		Args:    exactly(1, "a queue id"),
		RunE:    func(_ *cobra.Command, args []string) error { return a.queueCat(args[0]) },
	}
}

func (a *app) queueCat(id string) error {
	ids, err := checkIDs([]string{id})
	if err != nil {
		return err
	}
	cl, err := a.qmgr()
	if err != nil {
		return err
	}
	body, err := cl.open(a.ctx, http.MethodGet, "/v1/queue/"+ids[0]+"/content", nil)
	if err != nil {
		return a.notInQueue(err)
	}
	defer body.Close()
	if _, err := io.Copy(a.Out, body); err != nil {
		return fail(exIOErr, "", "write the message").because(err)
	}
	return nil
}

// shownRecipient is a recipient with its state, and with the command or file behind it.
func shownRecipient(r *proto.QueueRecipient) string {
	if r.Target == "" {
		return fmt.Sprintf("%s (%s)", show(r.Address), show(r.State))
	}
	return fmt.Sprintf("%s (%s): %s", show(r.Address), show(r.State), show(r.Target))
}
