package mtactl

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/retry"
)

func (a *app) memoryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "memory",
		Short: "show and forget what is known of hosts and addresses",
		Long: `memory lists what the suite remembers of servers and addresses: the records, how old they
are and when they are forgotten; of hosts and addresses that failed, too, what was seen and
what follows from it. A server goes by its address and port. Forgetting is always safe: it is
found out again. There are the kinds host, address, quirk, order and callout.`,
		Example: `  mtactl memory show
  mtactl memory show host 192.0.2.
  mtactl memory host 192.0.2.1
  mtactl memory forget host 192.0.2.1:25`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.memoryShowCommand(), a.memoryAboutCommand("host", "IP", "host", "quirk"),
		a.memoryAboutCommand("address", "ADDRESS", "address", "callout"), a.memoryForgetCommand())
	return c
}

func (a *app) memoryShowCommand() *cobra.Command {
	var asJSON bool
	var limit int
	c := &cobra.Command{
		Use:     "show [KIND] [PREFIX]",
		Short:   "show records of a kind, or how much there is of each",
		Long:    "show lists the records of a kind whose keys begin with PREFIX. Without a kind it says how much\nthere is of each.",
		Example: "  mtactl memory show\n  mtactl memory show host 192.0.2.1 --json",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.memoryKinds(asJSON)
			}
			return a.memoryShow([]string{args[0]}, strings.Join(args[1:], ""), limit, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().IntVar(&limit, "limit", 1000, "at most `N` records")
	return c
}

func (a *app) memoryAboutCommand(what, arg string, kinds ...string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     what + " " + arg,
		Short:   "show all that is known of " + map[string]string{"host": "a server", "address": "an address"}[what],
		Long:    fmt.Sprintf("%s shows the records of kind %s whose keys begin with %s.", what, strings.Join(kinds, " and "), arg),
		Example: "  mtactl memory " + what + " " + map[string]string{"host": "192.0.2.1", "address": "alice@example.net"}[what],
		Args:    exactly(1, map[string]string{"host": "the IP address of a server", "address": "an address"}[what]),
		RunE: func(_ *cobra.Command, args []string) error {
			name := strings.Trim(args[0], "<>")
			if what == "host" {
				name = strings.ToLower(name)
			}
			return a.memoryShow(kinds, name, 1000, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) memoryForgetCommand() *cobra.Command {
	var prefix bool
	c := &cobra.Command{
		Use:     "forget KIND KEY",
		Short:   "forget a record",
		Long:    "forget drops the record with this key, or with --prefix all whose keys begin so. The programs\nthat use it ask at their start: until then they go by what they know. To have mail tried\nnow, whatever is known, use mtactl queue retry.",
		Example: "  mtactl memory forget host 192.0.2.1:25\n  mtactl memory forget callout example.net --prefix",
		Args:    exactly(2, "a kind and a key"),
		RunE: func(_ *cobra.Command, args []string) error {
			cl, err := a.mtadb()
			if err != nil {
				return err
			}
			var done proto.MemoryForgotten
			if err := cl.post(a.ctx, "/v1/memory/forget", &proto.MemoryForget{Kind: args[0], Key: args[1], Prefix: prefix}, &done); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s forgotten\n", count(int(done.Count), "record"))
			if done.Count == 0 {
				return errSilent(exFindings)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&prefix, "prefix", false, "all whose keys begin with KEY")
	return c
}

func (a *app) mtadb() (*client, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	return newClient(inst.Control(proto.ControlMTADB)), nil
}

func (a *app) memoryKinds(asJSON bool) error {
	cl, err := a.mtadb()
	if err != nil {
		return err
	}
	var page proto.MemoryPage
	if err := cl.get(a.ctx, "/v1/memory", &page); err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.Out, page.Kinds)
	}
	t := table{rows: [][]string{{"KIND", "RECORDS", "SIZE", "AT MOST"}}}
	for _, k := range page.Kinds {
		t.add(show(k.Kind), strconv.FormatUint(k.Records, 10), size(int64(k.Bytes)), strconv.FormatUint(k.Most, 10))
	}
	t.print(a, true)
	return nil
}

func (a *app) memoryShow(kinds []string, prefix string, limit int, asJSON bool) error {
	cl, err := a.mtadb()
	if err != nil {
		return err
	}
	var list []proto.MemoryItem
	for _, kind := range kinds {
		for after, more := "", true; more && len(list) < limit; {
			var page proto.MemoryPage
			v := url.Values{"kind": {kind}, "prefix": {prefix}, "after": {after}, "limit": {strconv.Itoa(limit - len(list))}}
			if err := cl.get(a.ctx, "/v1/memory?"+v.Encode(), &page); err != nil {
				return err
			}
			list = append(list, page.Records...)
			if more = page.More && len(page.Records) > 0; more {
				after = page.Records[len(page.Records)-1].Key
			}
		}
	}
	if asJSON {
		return printJSON(a.Out, list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.Err, "Nothing of this kind is remembered.")
		return errSilent(exFindings)
	}
	t := table{rows: [][]string{{"KIND", "KEY", "SIZE", "AGE", "EXPIRES IN"}}}
	now := a.now()
	for i := range list {
		r := &list[i]
		t.add(show(r.Kind), show(r.Key), size(int64(r.Size)), age(now.Sub(r.Kept)), until(r.Expires, now))
	}
	t.print(a, true)
	if len(list) <= maxConclusions {
		for i := range list {
			a.conclusion(&list[i], now)
		}
	}
	return nil
}

// maxConclusions is up to how many records each is put into words.
const maxConclusions = 20

// conclusion tells what follows from a record, and from which facts.
func (a *app) conclusion(item *proto.MemoryItem, now time.Time) {
	if item.Kind != proto.MemoryHost.String() && item.Kind != proto.MemoryAddress.String() {
		return
	}
	r, ok := retry.UnmarshalRecord(item.Value)
	if !ok {
		return
	}
	fmt.Fprintf(a.Out, "\n%s\n", a.paint(bold, show(item.Key)))
	for _, line := range retryWords(&r, now) {
		fmt.Fprintf(a.Out, "  %s\n", line)
	}
}

// retryWords is a retry state for people: facts first, then what follows.
func retryWords(r *retry.Record, now time.Time) []string {
	s := &r.State
	var lines []string
	if r.Host != "" {
		lines = append(lines, "is "+show(r.Host))
	}
	failed := "has failed"
	if s.Attempts > 1 {
		failed = fmt.Sprintf("has failed %d times in a row", s.Attempts)
	}
	lines = append(lines, fmt.Sprintf("%s since %s, last %s ago (%s)", failed, clock(s.Since), age(now.Sub(s.Last)), show(string(s.Kind))))
	if !s.Text.IsEmpty() {
		lines = append(lines, "said: "+s.Text.ForTerminal())
	}
	if !s.GaveUp.IsZero() {
		lines = append(lines, "mail was given up for it at "+clock(s.GaveUp)+": rules with afterwards = \"once\" allow later mail one attempt")
	}
	if s.Next.After(now) {
		return append(lines, "is tried again in "+age(s.Next.Sub(now))+", at "+clock(s.Next)+"; mail for it waits until then")
	}
	return append(lines, "is due: the next message finds out whether it is back")
}

func clock(t time.Time) string { return t.Local().Format("2 January 15:04:05") }

func until(at *time.Time, now time.Time) string {
	if at == nil {
		return "never"
	}
	return age(at.Sub(now))
}
