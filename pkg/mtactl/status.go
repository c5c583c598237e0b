package mtactl

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// shownRows bounds the scoreboard rows of one process; --json has all.
const shownRows = 50

// reloadRefused shows the problems that master found: it may see others than
// we do, as it reads the file itself and binds the ports.
func (a *app) reloadRefused(err error) error {
	var se *statusError
	if !errors.As(err, &se) || se.status != http.StatusUnprocessableEntity {
		return err
	}
	var res proto.ReloadResult
	if json.Unmarshal(se.body, &res) != nil || len(res.Problems) == 0 {
		return err
	}
	for _, p := range res.Problems {
		fmt.Fprintln(a.Err, show(p))
	}
	return fail(exConfig, "correct what is listed above; the old configuration stays in force", "nothing was changed")
}

func (a *app) statusCommand() *cobra.Command {
	var verbose, asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "tell whether the suite runs, and what it is doing",
		Long: `status lists the services with their processes and where they listen. With -v
it adds what each process is doing at this moment: for whom, in which phase, for
how long; and how fast mail goes to which destinations. The exit status is 0 when all is well, 69 when the suite does not run,
75 when a service is down.`,
		Example: "  mtactl status\n  mtactl status -v\n  mtactl status --json | jq .listeners",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.showStatus(verbose, asJSON) },
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show what each process is doing")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

// status asks master.
func (a *app) status(inst settings.Instance, boards bool) (*proto.Status, error) {
	path := "/v1/status"
	if boards {
		path += "?boards=1"
	}
	var st proto.Status
	if err := a.master(inst).get(a.ctx, path, &st); err != nil {
		return nil, err
	}
	return &st, nil
}

func (a *app) showStatus(verbose, asJSON bool) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	st, err := a.status(inst, verbose)
	if errors.Is(err, errNotRunning) && !asJSON {
		fmt.Fprintf(a.Out, "Filbert does not run. %s start starts it.\n", a.self())
		return errSilent(exUnavailable)
	}
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(a.Out, st); err != nil {
			return err
		}
	} else {
		a.printStatus(st, verbose)
	}
	for _, s := range st.Services {
		if s.State == "backoff" {
			return errSilent(exTempFail)
		}
	}
	return nil
}

func (a *app) printStatus(st *proto.Status, verbose bool) {
	now := a.now()
	fmt.Fprintf(a.Out, "Filbert %s on %s is %s since %s (%s), pid %d\n", st.Version, a.paint(bold, st.Hostname),
		a.state(st.State), st.Started.Local().Format("2006-01-02 15:04:05"), age(now.Sub(st.Started)), st.PID)
	a.listeners(st)
	a.printLoad(st.Load, now)
	fmt.Fprintln(a.Out)
	t := &table{}
	t.add("SERVICE", "STATE", "PID", "USER", "UP", "RESTARTS", "")
	for _, s := range st.Services {
		pids, user, up := "-", "-", "-"
		for i, p := range s.Processes {
			if i == 0 {
				pids, user, up = fmt.Sprint(p.PID), orDash(p.User), age(now.Sub(p.Started))
				continue
			}
			pids += fmt.Sprintf(" %d", p.PID)
		}
		t.add(s.Name, a.state(s.State), pids, user, up, fmt.Sprint(s.Restarts), serviceNote(&s, now))
	}
	t.print(a, true)
	if verbose {
		a.boards(st, now)
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return show(s)
}

func serviceNote(s *proto.ServiceStatus, now time.Time) string {
	var notes []string
	if s.LastExit != "" && (s.Restarts > 0 || s.State == "backoff") {
		notes = append(notes, "last ended: "+show(s.LastExit))
	}
	if s.NextStart != nil {
		notes = append(notes, "next start in "+age(s.NextStart.Sub(now)))
	}
	return strings.Join(notes, "; ")
}

func (a *app) state(s string) string {
	switch s {
	case "running":
		return a.paint(green, s)
	case "backoff":
		return a.paint(red, s)
	case "draining", "stopping", "starting":
		return a.paint(yellow, s)
	}
	return s
}

func (a *app) listeners(st *proto.Status) {
	for _, l := range st.Listeners {
		if strings.HasPrefix(l.Address, "/") {
			continue // the suite's own sockets
		}
		fmt.Fprintf(a.Out, "  %s listens on %s (%s)\n", l.Service, l.Address, show(l.Name))
	}
}

func (a *app) boards(st *proto.Status, now time.Time) {
	defer a.printPaces(st)
	for _, s := range st.Services {
		for _, p := range s.Processes {
			if len(p.Board) == 0 {
				continue
			}
			fmt.Fprintf(a.Out, "\n%s\n", a.paint(bold, fmt.Sprintf("%s, pid %d: %s under way", s.Name, p.PID, count(len(p.Board), "thing"))))
			t := &table{}
			t.add("  PHASE", "FOR", "BYTES", "MESSAGE", "PEER")
			for i, r := range p.Board {
				if i == shownRows {
					break
				}
				t.add("  "+orDash(r.Phase), age(now.Sub(r.Since)), size(r.Bytes), orDash(r.ID), orDash(r.Peer))
			}
			t.print(a, true)
			if n := len(p.Board) - shownRows; n > 0 {
				fmt.Fprintf(a.Out, "  and %d more (--json shows all)\n", n)
			}
		}
	}
}
