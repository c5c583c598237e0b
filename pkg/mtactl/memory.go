package mtactl

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

func (a *app) memoryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "memory",
		Short: "show and forget what is known of hosts and addresses",
		Long: `memory lists what the suite remembers of servers and addresses: the records, how old they
are and when they are forgotten, what was seen, and behind an arrow what follows from it. host
and address are those that failed, quirk is what servers can and can't do, callout is what they
said when they were asked about addresses. A server goes by its address and port, a call-out by
the domain. Forgetting is always safe, and has effect at once: it is found out again.
There are the kinds host, address, quirk and callout.`,
		Example: `  mtactl memory show
  mtactl memory show host 192.0.2.
  mtactl memory host mx.example.net
  mtactl memory forget quirk 192.0.2.1:25`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.memoryShowCommand(), a.memoryAboutCommand("host", "NAME|IP", "host", "quirk"),
		a.memoryAboutCommand("address", "ADDRESS", "address"), a.memoryForgetCommand())
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
	c.Flags().IntVar(&limit, "limit", mostRecords, "at most `N` records")
	return c
}

func (a *app) memoryAboutCommand(what, arg string, kinds ...string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     what + " " + arg,
		Short:   "show all that is known of " + map[string]string{"host": "a server", "address": "an address"}[what],
		Long:    fmt.Sprintf("%s shows the records of kind %s whose keys begin with %s%s", what, strings.Join(kinds, " and "), strings.TrimPrefix(arg, "NAME|"), map[string]string{"host": ", or\nwhose server has the name NAME: what was seen, and behind an arrow what follows from it.", "address": ", and\nthe call-outs for it: what its server said of it, and whether that takes mail for anybody."}[what]),
		Example: "  mtactl memory " + what + " " + map[string]string{"host": "192.0.2.1", "address": "alice@example.net"}[what],
		Args:    exactly(1, map[string]string{"host": "the IP address or the name of a server", "address": "an address"}[what]),
		RunE: func(_ *cobra.Command, args []string) error {
			name := strings.Trim(args[0], "<>")
			if what == "host" {
				return a.memoryOfHost(kinds, strings.ToLower(name), asJSON)
			}
			return a.memoryOfAddress(name, asJSON)
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
		Long:    "forget drops the record with this key, or with --prefix all whose keys begin so. Who uses it is\ntold: it is found out again with the next message, and mail that waits for a host or an\naddress that failed is released. Of call-outs, KEY may be\nan address or a domain.",
		Example: "  mtactl memory forget host 192.0.2.1:25\n  mtactl memory forget callout bob@example.net\n  mtactl memory forget callout example.net",
		Args:    exactly(2, "a kind and a key"),
		RunE: func(_ *cobra.Command, args []string) error {
			cl, err := a.mtadb()
			if err != nil {
				return err
			}
			var done proto.MemoryForgotten
			if err := cl.post(a.ctx, "/v1/memory/forget", whatToForget(args[0], args[1], prefix), &done); err != nil {
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
	list, err := a.memoryRecords(kinds, prefix, limit)
	if err != nil {
		return err
	}
	return a.printMemory(list, asJSON)
}

// memoryOfHost shows what is known of a server by the beginning of its address, or by its
// name, for which all are looked at.
func (a *app) memoryOfHost(kinds []string, host string, asJSON bool) error {
	if !isServerName(host) {
		return a.memoryShow(kinds, host, mostRecords, asJSON)
	}
	list, err := a.memoryRecords(kinds, "", mostRecords*mostRecords)
	if err != nil {
		return err
	}
	return a.printMemory(named(list, host), asJSON)
}

// mostRecords is how many records are shown where nobody says how many.
const mostRecords = 1000

func (a *app) memoryRecords(kinds []string, prefix string, limit int) ([]remembered, error) {
	cl, err := a.mtadb()
	if err != nil {
		return nil, err
	}
	list := []remembered{}
	now := a.now()
	for _, kind := range kinds {
		for after, more := "", true; more && len(list) < limit; {
			var page proto.MemoryPage
			v := url.Values{"kind": {kind}, "prefix": {prefix}, "after": {after}, "limit": {strconv.Itoa(limit - len(list))}}
			if err := cl.get(a.ctx, "/v1/memory?"+v.Encode(), &page); err != nil {
				return nil, err
			}
			for i := range page.Records {
				list = append(list, rememberedOf(&page.Records[i], now))
			}
			if more = page.More && len(page.Records) > 0; more {
				after = page.Records[len(page.Records)-1].Key
			}
		}
	}
	return list, nil
}

func (a *app) printMemory(list []remembered, asJSON bool) error {
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
			a.tell(&list[i])
		}
	}
	return nil
}

// maxConclusions is up to how many records each is put into words.
const maxConclusions = 20

func clock(t time.Time) string { return t.Local().Format("2 January 15:04:05") }

func until(at *time.Time, now time.Time) string {
	if at == nil {
		return "never"
	}
	return age(at.Sub(now))
}
