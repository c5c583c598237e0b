package mtactl

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
	"filbert/pkg/settings"
)

// finding is one thing that is not as it should be.
type finding struct {
	Severity config.Severity `json:"severity"`
	Where    string          `json:"where"` // file, file:line, user, address
	What     string          `json:"what"`
	Hint     string          `json:"hint,omitempty"`
	fix      func() error    // nil: not ours to mend
}

// examiner collects findings.
type examiner struct {
	s        *settings.Settings
	inst     settings.Instance
	running  bool
	findings []finding
}

func (x *examiner) bad(where, what, hint string) {
	x.findings = append(x.findings, finding{config.Mistake, where, what, hint, nil})
}

func (x *examiner) doubt(where, what, hint string) {
	x.findings = append(x.findings, finding{config.Doubt, where, what, hint, nil})
}

func (x *examiner) mendable(where, what, hint string, fix func() error) {
	x.findings = append(x.findings, finding{config.Mistake, where, what, hint, fix})
}

func (a *app) checkCommand() *cobra.Command {
	var asJSON, fix bool
	var routes string
	c := &cobra.Command{
		Use:   "check",
		Short: "test the configuration and every permission",
		Long: `check reads the configuration as the suite would, and then looks at the machine:
users and groups, owner and mode of every directory and file, the programs, alias
files and tables, ports. It tells all that is wrong, where, and what to do; --fix
makes missing directories and corrects owners and modes.

--routes tests instead what becomes of addresses, by asking the running router for
each line of a file:

  # address [from=SENDER] [client=IP] [listener=NAME] [source=DOOR] [size=SIZE] [verify=HOW]
  #         = what is expected [; what else of a list]
  alice@example.org = maildir user=alice
  info@example.org = alice@example.org maildir; bob@example.net smtp hop=example.net
  nobody@example.org = failed status=5.1.1
  x@example.net from=me@example.org = smtp host=relay.example.net by=smarthost

The first word that is no address and has no = is the transport, or failed, deferred,
discarded. The other words are the address that it comes to, user=, hop= and host=,
by= (director or router), target=, errors-to=, login=, status=. What is not said may
be anything.

The exit status is 0 when all is well (warnings may be printed), 1 when something
on the machine is wrong or an address is not routed as expected, 78 when the
configuration has mistakes.`,
		Example: "  mtactl check\n  mtactl check --fix\n  mtactl -C ~/mta check --json\n  mtactl check --routes routes.test",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if routes != "" {
				return a.checkRoutes(routes, asJSON)
			}
			return a.check(asJSON, fix)
		},
	}
	c.Flags().StringVar(&routes, "routes", "", "test that addresses go where `FILE` says")
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	c.Flags().BoolVar(&fix, "fix", false, "make missing directories, correct owners and modes")
	return c
}

func (a *app) check(asJSON, fix bool) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	l, err := config.LoadAll(inst.ConfigFile(), inst)
	if err != nil && !errors.Is(err, config.ErrInvalid) {
		_, err := a.load() // in its words
		return err
	}
	x := &examiner{s: l.Settings, inst: inst, running: held(inst)}
	if l.Settings != nil {
		x.examine()
	}
	if fix {
		x.mend()
	}
	if asJSON {
		err = printJSON(a.Out, map[string]any{"configuration": nonNil(l.Problems), "findings": nonNil(x.findings)})
		if err != nil {
			return err
		}
	} else {
		a.problems(l.Problems)
		a.printFindings(x.findings)
	}
	return a.verdict(config.Mistakes(l.Problems), x, asJSON)
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *app) printFindings(list []finding) {
	for _, f := range list {
		line := f.Where + ": " + f.What
		if f.Severity == config.Doubt {
			line = f.Where + ": warning: " + f.What
		} else {
			line = a.paint(red, line)
		}
		fmt.Fprintln(a.Err, line)
		if f.Hint != "" {
			fmt.Fprintf(a.Err, "    %s\n", a.hint(f.Hint))
		}
	}
}

func (a *app) verdict(mistakes int, x *examiner, quiet bool) error {
	bad := 0
	for _, f := range x.findings {
		if f.Severity == config.Mistake {
			bad++
		}
	}
	switch {
	case mistakes > 0:
		if !quiet {
			fmt.Fprintf(a.Out, "The configuration has %s; the machine was not looked at.\n", count(mistakes, "mistake"))
		}
		return errSilent(exConfig)
	case bad > 0:
		if !quiet {
			fmt.Fprintf(a.Out, "%s to mend.\n", count(bad, "thing"))
		}
		return errSilent(exFindings)
	case !quiet:
		fmt.Fprintln(a.Out, "All is well.")
	}
	return nil
}

// examine looks at everything; each step adds what it finds.
func (x *examiner) examine() {
	if !x.inst.Private {
		x.users()
	}
	x.layout()
	x.oneFileSystem()
	x.socketPaths()
	x.tables()
	x.people()
	x.programs()
	x.ports()
	x.sourceAddresses()
}

// mend carries out the fixes; what it could not mend stays a finding.
func (x *examiner) mend() {
	var left []finding
	for _, f := range x.findings {
		if f.fix == nil {
			left = append(left, f)
			continue
		}
		if err := f.fix(); err != nil {
			f.What += fmt.Sprintf(" (and it could not be mended: %v)", err)
			left = append(left, f)
			continue
		}
		f.Severity, f.What, f.Hint = config.Doubt, f.What+" (mended)", ""
		left = append(left, f)
	}
	x.findings = left
}
