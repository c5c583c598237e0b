package mtactl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// maxRewriteFile bounds what is read of a message: its header is in front.
const maxRewriteFile = 16 << 20

// rewriteQuery is what is asked of the rules.
type rewriteQuery struct {
	sources   []string
	listener  string
	client    string
	transport string
	asJSON    bool
}

func (a *app) rewriteCommand() *cobra.Command {
	var q rewriteQuery
	c := &cobra.Command{
		Use:   "rewrite ADDRESS|FILE",
		Short: "show what the [[rewrite]] rules do to an address or a message",
		Long: `rewrite puts an address, or all addresses in the header of a message, through the
[[rewrite]] rules of the configuration as it is in the files now, and shows each
step: which rule changed what, which one was not asked, and why. Nothing is sent. What
names a file, or has a slash in front, is a message; - is a message on standard
input. The suite must run where rules ask lookups, which only its router can open, and
need not otherwise.

Rules with conditions on listeners and clients are asked only when --listener and
--client say where the mail comes from; --listener sendmail is the sendmail
command, --listener reports the suite's own reports. Rules for the way out are shown
with --transport, and those for the way in are then not asked.`,
		Example: `  mtactl rewrite user@pc.example.org
  mtactl rewrite user@pc.example.org --source from --listener submission --client 192.0.2.7
  mtactl rewrite message.eml
  mtactl rewrite user@pc.example.org --transport smtp`,
		Args: exactly(1, "an address or a file"),
		RunE: func(_ *cobra.Command, args []string) error { return a.rewrite(args[0], &q) },
	}
	c.Flags().StringSliceVar(&q.sources, "source", nil, "only as `SOURCE`: envelope-sender, envelope-recipients, a header field (default: all that rules name)")
	c.Flags().StringVar(&q.listener, "listener", "", "as for mail that came in by listener `NAME`")
	c.Flags().StringVar(&q.client, "client", "", "as for mail of a client at `IP`")
	c.Flags().StringVar(&q.transport, "transport", "", "the rules for what leaves by transport `NAME`")
	c.MarkFlagsMutuallyExclusive("transport", "listener")
	c.MarkFlagsMutuallyExclusive("transport", "client")
	c.Flags().BoolVar(&q.asJSON, "json", false, "write JSON")
	return c
}

func (a *app) rewrite(what string, q *rewriteQuery) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	set, err := q.set(l)
	if err != nil {
		return err
	}
	if names := set.Lookups(); len(names) > 0 {
		set = set.Asking(a.asker(l.Settings.Instance).ask)
	}
	if text, isFile, err := a.messageAt(what); err != nil {
		return err
	} else if isFile {
		return a.rewriteMessage(text, l.Settings, set, q)
	}
	address, err := mailaddr.ParseLocalOrMailbox(untrusted.From(what))
	if err != nil {
		return fail(exDataErr, "write user@example.org, or the name of a file with a message", "%s", show(what)).because(err)
	}
	return a.rewriteAddress(address, set, q)
}

// set is the rules for the mail that the flags describe.
func (q *rewriteQuery) set(l *config.Loaded) (rewrite.Set, error) {
	origin := rewrite.Origin{Listener: q.listener}
	known := []string{rewrite.DoorSendmail, rewrite.DoorReports}
	for i := range l.Settings.Listen {
		known = append(known, l.Settings.Listen[i].Name)
	}
	if q.listener != "" && !slices.Contains(known, q.listener) {
		return rewrite.Set{}, fail(exUsage, "there are: "+strings.Join(known, ", "), "--listener: there is no listener %q", q.listener)
	}
	if q.client != "" {
		var err error
		if origin.Client, err = netip.ParseAddr(q.client); err != nil {
			return rewrite.Set{}, fail(exUsage, "write an address like 192.0.2.7", "--client: %q is no IP address", q.client)
		}
	}
	for i, s := range q.sources {
		q.sources[i] = strings.ToLower(s)
	}
	rules, err := rewrite.Compile(l.Settings.Rewrites, l.Settings.Transports)
	if err != nil {
		return rewrite.Set{}, fail(exConfig, "", "read the rules").because(err)
	}
	if q.transport == "" {
		return rules.For(origin), nil
	}
	t, ok := l.Settings.Transports[q.transport]
	if !ok {
		names := slices.Sorted(maps.Keys(l.Settings.Transports))
		return rewrite.Set{}, fail(exUsage, "there are: "+strings.Join(names, ", "), "--transport: there is no transport %q", q.transport)
	}
	return rules.Outgoing(t.Rewrites), nil
}

// messageAt reads the message that an argument names, if it names one.
func (a *app) messageAt(name string) (text []byte, isFile bool, err error) {
	in := a.In
	if name != "-" {
		st, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "./") {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fail(exNoInput, "", "read the message").because(err)
		}
		if st.IsDir() {
			return nil, false, fail(exNoInput, "name the file of one message", "%s is a directory", name)
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, false, fail(exNoInput, "", "read the message").because(err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxRewriteFile))
	if err != nil {
		return nil, false, fail(exIOErr, "", "read the message").because(err)
	}
	n := message.NewNormalizeLocal(message.KeepDot)
	return n.Finish(n.Append(nil, raw)), true, nil
}

// shownStep is a step as JSON has it.
type shownStep struct {
	Source  string          `json:"source"`
	Rule    string          `json:"rule,omitempty"`
	Verdict rewrite.Verdict `json:"verdict"`
	Old     string          `json:"old,omitempty"`
	New     string          `json:"new,omitempty"`
	Why     string          `json:"why,omitempty"`
	Stopped bool            `json:"stopped,omitempty"`
}

func shown(s rewrite.Step) shownStep {
	return shownStep{s.Source, s.Rule, s.Verdict, s.Old.String(), s.New.String(), s.Why, s.Stopped}
}

// stepLine is a step for a person.
func (a *app) stepLine(s *shownStep) string {
	text := "rule " + s.Rule + ": "
	switch s.Verdict {
	case rewrite.Changed:
		text += a.paint(green, "changed") + ": " + show(s.Old) + " to " + show(s.New)
	case rewrite.Stays:
		text += "matched, and the address stays"
	case rewrite.NoValue:
		text += "matched, and the address stays: " + show(s.Why)
	case rewrite.NoMatch:
		text += "does not match " + show(s.Old)
	case rewrite.NotHere:
		text += "not asked: " + show(s.Why)
	case rewrite.Failed:
		text += a.paint(yellow, "makes no address of "+show(s.Old)) + ": " + show(s.Why)
	case rewrite.Endless:
		text += a.paint(red, show(s.Why))
	case rewrite.Unread:
		text = a.paint(yellow, "left alone, for it can't be read") + ": " + show(s.Why)
	}
	if s.Stopped {
		text += " (stop)"
	}
	return text
}

// way is what becomes of an address in some sources, for which it is the same.
type way struct {
	Sources []string    `json:"sources"`
	Steps   []shownStep `json:"steps"`
	Result  string      `json:"result"`
}

func (a *app) rewriteAddress(address mailaddr.Address, set rewrite.Set, q *rewriteQuery) error {
	sources := q.sources
	if len(sources) == 0 {
		sources = set.Sources()
	}
	ways := []*way{}
	for _, source := range sources {
		w := &way{Sources: []string{source}}
		result, err := set.Apply(source, address, func(s rewrite.Step) { w.Steps = append(w.Steps, shown(s)) })
		if err != nil {
			return unshown(err)
		}
		w.Result = result.String()
		if same := slices.IndexFunc(ways, w.sameAs); same >= 0 {
			ways[same].Sources = append(ways[same].Sources, source)
			continue
		}
		ways = append(ways, w)
	}
	if q.asJSON {
		return printJSON(a.Out, map[string]any{"address": address.String(), "ways": ways})
	}
	if len(ways) == 0 {
		where := "There are no [[rewrite]] rules"
		if q.transport != "" {
			where += " for transport " + show(q.transport)
		}
		fmt.Fprintf(a.Out, "%s: %s stays as it is everywhere.\n", where, show(address.String()))
		return nil
	}
	for _, w := range ways {
		fmt.Fprintln(a.Out, a.paint(bold, strings.Join(w.Sources, ", ")))
		for i := range w.Steps {
			fmt.Fprintf(a.Out, "  %s\n", a.stepLine(&w.Steps[i]))
		}
		fmt.Fprintf(a.Out, "  = %s\n", a.paint(bold, show(w.Result)))
	}
	return nil
}

// sameAs compares ways but for their sources.
func (w *way) sameAs(o *way) bool {
	return w.Result == o.Result && slices.EqualFunc(w.Steps, o.Steps, func(x, y shownStep) bool {
		x.Source, y.Source = "", ""
		return x == y
	})
}

func (a *app) rewriteMessage(text []byte, s *settings.Settings, set rewrite.Set, q *rewriteQuery) error {
	limits := message.Limits{Fields: s.Limits.HeaderFields, Octets: int(s.Limits.HeaderSize)}
	h, err := message.Scan(text, limits)
	if err != nil {
		return fail(exDataErr, "", "read the message").because(err)
	}
	if len(q.sources) > 0 {
		set = set.Only(q.sources)
	}
	steps := []shownStep{}
	out, err := set.Header(h, text, limits.Octets, func(st rewrite.Step) { steps = append(steps, shown(st)) })
	switch {
	case errors.Is(err, rewrite.ErrUnanswered):
		return unshown(err)
	case err != nil:
		return fail(exDataErr, "such a message is refused; raise limits.header_size", "rewrite the message").because(err)
	}
	after, err := message.Scan(out, message.Limits{Fields: limits.Fields, Octets: len(out)})
	if err != nil || len(after.Fields) != len(h.Fields) {
		return fail(exSoftware, "", "the header came apart when it was rewritten").because(err)
	}
	changed := changedFields(h, after)
	if q.asJSON {
		return printJSON(a.Out, map[string]any{"steps": steps, "changed": changed})
	}
	a.printMessageSteps(steps)
	for _, c := range changed {
		fmt.Fprint(a.Out, a.paint(red, prefixed("- ", c.Old)), a.paint(green, prefixed("+ ", c.New)))
	}
	if len(changed) == 0 {
		fmt.Fprintln(a.Out, "The header stays as it is.")
	}
	return nil
}

// changedField is one field before and after.
type changedField struct {
	Old string `json:"old"`
	New string `json:"new"`
}

func changedFields(before, after message.Header) []changedField {
	list := []changedField{}
	for i, f := range before.Fields {
		old, now := before.Raw(f), after.Raw(after.Fields[i])
		if !bytes.Equal(old, now) {
			list = append(list, changedField{string(old), string(now)})
		}
	}
	return list
}

// printMessageSteps prints what happened; rules that were not for an address,
// or did not match it, would fill the screen.
func (a *app) printMessageSteps(steps []shownStep) {
	for i := range steps {
		if v := steps[i].Verdict; v != rewrite.NoMatch && v != rewrite.NotHere {
			fmt.Fprintf(a.Out, "%s: %s\n", steps[i].Source, a.stepLine(&steps[i]))
		}
	}
}

// prefixed shows the lines of a field.
func prefixed(mark, field string) string {
	var b strings.Builder
	for line := range strings.Lines(field) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")
		b.WriteString(mark + untrusted.From(line).ForTerminal() + "\n")
	}
	return b.String()
}
