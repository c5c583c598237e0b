package mtactl

import (
	"fmt"
	"net/netip"

	"filbert/pkg/config"
	"filbert/pkg/history"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/untrusted"
)

const (
	// mostAddresses bounds the different addresses that are looked at, the newest.
	mostAddresses = 100_000
	// mostDifferences bounds those that are shown.
	mostDifferences = 1000
)

// pastAddress is an envelope address as it came in.
type pastAddress struct{ source, address, listener, client string }

// rewriteDifference is an address of which two configurations make different things.
type rewriteDifference struct {
	Source   string `json:"source"`
	Address  string `json:"address"`
	Listener string `json:"listener,omitempty"`
	Files    string `json:"files"`
	Staged   string `json:"staged"`
}

// rewritesReport is what --json prints.
type rewritesReport struct {
	Addresses   int                 `json:"addresses"`
	LeftOut     int                 `json:"addresses_left_out"`
	Different   int                 `json:"different"`
	Differences []rewriteDifference `json:"differences"`
}

func (a *app) simulateRewrites(q *simulateQuery) error {
	if q.config == "" {
		return fail(exUsage, "write --config FILE with the configuration that is to be", "--rewrites compares two configurations")
	}
	l, err := a.load()
	if err != nil {
		return err
	}
	staged, err := a.staged(q.config)
	if err != nil {
		return err
	}
	var sets [2]*rewriter
	for i, l := range []*config.Loaded{l, staged} {
		rules, err := rewrite.Compile(l.Settings.Rewrites, l.Settings.Transports)
		if err != nil {
			return fail(exConfig, "", "read the rules").because(err)
		}
		sets[i] = &rewriter{rules: rules, ask: a.asker(l.Settings.Instance).ask}
	}
	now := a.now()
	since, err := pastTime(q.past, now)
	if err != nil {
		return err
	}
	out := rewritesReport{Differences: []rewriteDifference{}}
	seen := map[pastAddress]struct{}{}
	var trouble error
	err = a.eachPast(newClient(l.Settings.Instance.Control(proto.ControlMTADB)), since, now, func(m *proto.HistoryMessage) {
		for _, p := range envelopeOf(m) {
			if _, again := seen[p]; again || trouble != nil {
				continue
			}
			if len(seen) >= mostAddresses {
				out.LeftOut++
				continue
			}
			seen[p] = struct{}{}
			trouble = out.compare(sets, p)
		}
	})
	if err == nil && trouble != nil {
		err = unshown(trouble)
	}
	if err != nil {
		return err
	}
	out.Addresses = len(seen)
	if q.asJSON {
		return printJSON(a.Out, &out)
	}
	for _, d := range out.Differences {
		fmt.Fprintf(a.Out, "%s %s: %s in the files, %s staged\n", show(d.Source), a.paint(bold, show(d.Address)), show(d.Files), show(d.Staged))
	}
	fmt.Fprintf(a.Out, "Of %s, %d would become something else.\n", addresses(out.Addresses), out.Different)
	if out.LeftOut > 0 {
		fmt.Fprintf(a.Out, "That were too many to keep: %d older ones are left out.\n", out.LeftOut)
	}
	return nil
}

// rewriter is the rules of one configuration.
type rewriter struct {
	rules *rewrite.Rules
	ask   rewrite.Ask
}

// apply is what the rules make of an address; one that can't be read stays.
func (r *rewriter) apply(p *pastAddress) (string, error) {
	address, err := mailaddr.ParseLocalOrMailbox(untrusted.From(p.address))
	if err != nil {
		return p.address, nil
	}
	client, _ := netip.ParseAddr(p.client) // none: no rule for clients is asked
	set := r.rules.For(rewrite.Origin{Listener: p.listener, Client: client})
	if len(set.Lookups()) > 0 {
		set = set.Asking(r.ask)
	}
	result, err := set.Apply(p.source, address, func(rewrite.Step) {})
	return result.String(), err
}

func (r *rewritesReport) compare(sets [2]*rewriter, p pastAddress) error {
	var got [2]string
	for i := range sets {
		var err error
		if got[i], err = sets[i].apply(&p); err != nil {
			return err
		}
	}
	if got[0] == got[1] {
		return nil
	}
	r.Different++
	if len(r.Differences) < mostDifferences {
		r.Differences = append(r.Differences, rewriteDifference{p.source, p.address, p.listener, got[0], got[1]})
	}
	return nil
}

// envelopeOf is the addresses of a message's envelope: recipients as they were before
// they were expanded. Reports of the suite have no sender.
func envelopeOf(m *proto.HistoryMessage) []pastAddress {
	var out []pastAddress
	origin := pastAddress{}
	for i := range m.Events {
		e := &m.Events[i]
		switch e.What {
		case "received":
			origin = pastAddress{listener: e.Facts["port"], client: e.Facts["client"]}
			if e.Facts["proto"] == "local" {
				origin.listener = rewrite.DoorSendmail
			}
			if from := history.Path(e.Facts["from"]); from != "" && from != "<>" {
				p := origin
				p.source, p.address = rewrite.EnvelopeSender, from
				out = append(out, p)
			}
		case "delivered", "deferred", "failed", "expanded":
			to := e.Facts["orig"]
			if to == "" {
				to = e.Facts["to"]
			}
			if to = history.Path(to); to != "" {
				p := origin
				p.source, p.address = rewrite.EnvelopeRecipients, to
				out = append(out, p)
			}
		}
	}
	return out
}
