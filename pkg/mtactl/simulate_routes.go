package mtactl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/config"
	"filbert/pkg/history"
	"filbert/pkg/privsep"
	"filbert/pkg/proto"
	"filbert/pkg/rewrite"
	"filbert/pkg/settings"
)

// besideTimeout bounds the routing of all addresses by the staged configuration.
const besideTimeout = 30 * time.Minute

// routeDifference is a recipient whose mail would go elsewhere.
type routeDifference struct {
	Address string   `json:"address"`
	Running []string `json:"running"`
	Staged  []string `json:"staged"`
}

// routesReport is what --json prints.
type routesReport struct {
	Addresses   int               `json:"addresses"`
	LeftOut     int               `json:"addresses_left_out"`
	Different   int               `json:"different"`
	Unknown     int               `json:"unknown"` // the staged configuration could not tell now
	Differences []routeDifference `json:"differences"`
}

func (a *app) simulateRoutes(q *simulateQuery) error {
	if q.config == "" {
		return fail(exUsage, "write --config FILE with the configuration that is to be", "--routes compares two configurations")
	}
	inst, err := a.instance()
	if err != nil {
		return err
	}
	staged, err := a.stagedWhole(q.config, inst)
	if err != nil {
		return err
	}
	out := routesReport{Differences: []routeDifference{}}
	queries, err := a.pastRecipients(inst, q.past, &out)
	if err != nil || len(queries) == 0 {
		return errors.Join(err, a.tellRoutes(&out, q))
	}
	answers, err := a.besides(inst, staged, queries)
	if err != nil {
		return fail(exUnavailable, "", "route by the staged configuration").because(err)
	}
	for i := range queries {
		running, err := a.askExplain(&queries[i])
		if err != nil {
			return err
		}
		out.compare(queries[i].Address, running, &answers[i])
	}
	return a.tellRoutes(&out, q)
}

// stagedWhole is staged with the passwords of its lookups, which are asked.
func (a *app) stagedWhole(file string, inst settings.Instance) (*settings.Settings, error) {
	if _, err := a.staged(file); err != nil {
		return nil, err
	}
	s, _, err := config.Load(file, inst)
	if err != nil {
		return nil, fail(exConfig, "", "read %s", file).because(err)
	}
	return s, nil
}

// pastRecipients are the different recipients of a time, the newest first, each with the
// origin of its newest mail.
func (a *app) pastRecipients(inst settings.Instance, span string, out *routesReport) ([]proto.ExplainQuery, error) {
	now := a.now()
	since, err := pastTime(span, now)
	if err != nil {
		return nil, err
	}
	var list []proto.ExplainQuery
	seen := map[string]struct{}{}
	err = a.eachPast(newClient(inst.Control(proto.ControlMTADB)), since, now, func(m *proto.HistoryMessage) {
		sender, _, ok := pastReceived(m)
		if !ok {
			return
		}
		for _, p := range envelopeOf(m) {
			key := strings.ToLower(p.address)
			if _, again := seen[key]; again || p.source != rewrite.EnvelopeRecipients || !strings.Contains(key, "@") {
				continue
			}
			if len(list) >= proto.MaxBeside {
				out.LeftOut++
				continue
			}
			seen[key] = struct{}{}
			e := proto.ExplainQuery{Address: p.address, Sender: sender, Client: p.client, Listener: p.listener}
			if p.listener == rewrite.DoorSendmail {
				e.Listener, e.Source = "", "local"
			}
			list = append(list, e)
		}
	})
	out.Addresses = len(list)
	return list, err
}

// besides has router route by settings that are not in force, as its own user: the
// files and tables that they name are none of root's to open.
func (a *app) besides(inst settings.Instance, s *settings.Settings, queries []proto.ExplainQuery) ([]proto.ExplainAnswer, error) {
	ctx, cancel := context.WithTimeout(a.ctx, besideTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(inst.Libexec, "router"), proto.ExplainFlag)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 && !inst.Private {
		id, err := privsep.LookupIdentity(s.Users.Route, "")
		if err != nil {
			return nil, err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id.UID), Gid: uint32(id.GID)}
	}
	words, err := json.Marshal(s.For(string(proto.Router)))
	if err != nil {
		return nil, err
	}
	question, err := json.Marshal(proto.BesideQuery{Settings: words, Queries: queries})
	if err != nil {
		return nil, err
	}
	var answer, trouble bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(question), &answer, &trouble
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(err, errors.New(show(strings.TrimSpace(trouble.String()))))
	}
	list := make([]proto.ExplainAnswer, 0, len(queries))
	for dec := json.NewDecoder(&answer); len(list) < len(queries); {
		var x proto.ExplainAnswer
		if err := dec.Decode(&x); err != nil {
			return nil, fmt.Errorf("router has answered %d of %d: %w", len(list), len(queries), err)
		}
		x.Trace = nil
		list = append(list, x)
	}
	return list, nil
}

// compare notes a recipient that goes elsewhere. What one of the two can't tell now says
// nothing: a forward file, or a program that routes.
func (r *routesReport) compare(address string, running, staged *proto.ExplainAnswer) {
	was, is := routeWords(running), routeWords(staged)
	deferred := func(l proto.ExplainLeaf) bool { return l.Verdict == "deferred" }
	switch {
	case slices.Equal(was, is):
	case len(staged.Leaves) == 0, slices.ContainsFunc(staged.Leaves, deferred), slices.ContainsFunc(running.Leaves, deferred):
		r.Unknown++
	default:
		r.Different++
		if len(r.Differences) < mostDifferences {
			r.Differences = append(r.Differences, routeDifference{history.Path(address), was, is})
		}
	}
}

// routeWords are the deliveries of an answer, in an order of their own: servers of one
// preference change places.
func routeWords(x *proto.ExplainAnswer) []string {
	var list []string
	for i := range x.Leaves {
		l := x.Leaves[i]
		l.Hosts = slices.Sorted(slices.Values(l.Hosts))
		list = append(list, leafText(&l))
	}
	slices.Sort(list)
	return list
}

func (a *app) tellRoutes(r *routesReport, q *simulateQuery) error {
	if q.asJSON {
		return printJSON(a.Out, r)
	}
	for _, d := range r.Differences {
		fmt.Fprintln(a.Out, a.paint(bold, show(d.Address)))
		for _, l := range d.Running {
			fmt.Fprintf(a.Out, "  running: %s\n", show(l))
		}
		for _, l := range d.Staged {
			fmt.Fprintf(a.Out, "  staged:  %s\n", show(l))
		}
	}
	fmt.Fprintf(a.Out, "Of %s, %d would go elsewhere", addresses(r.Addresses), r.Different)
	if r.Unknown > 0 {
		fmt.Fprintf(a.Out, ", and of %d it can't be told now", r.Unknown)
	}
	fmt.Fprintln(a.Out, ".")
	if r.LeftOut > 0 {
		fmt.Fprintf(a.Out, "That were too many: %s of older mail are left out.\n", count(r.LeftOut, "recipient"))
	}
	return nil
}
