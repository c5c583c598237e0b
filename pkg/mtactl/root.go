package mtactl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// Stdio is where a command reads and writes.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is one run of mtactl.
type app struct {
	Stdio
	ctx    context.Context
	dir    string // -C
	colour bool
	now    func() time.Time
	ahead  *time.Duration // of the suite's clock, once asked for
}

// Main runs one command line (without the program's name) and gives its exit
// status.
func Main(ctx context.Context, args []string, io Stdio) int {
	a := &app{Stdio: io, ctx: ctx, colour: wantsColour(io.Out)}
	a.now = a.suiteTime
	root := a.command()
	root.SetArgs(args)
	c, err := root.ExecuteContextC(ctx)
	err = a.meant(c, err)
	a.explainError(err)
	return exitCode(err)
}

// explainError says what went wrong and what to do about it.
func (a *app) explainError(err error) {
	var silent errSilent
	if err == nil || errors.As(err, &silent) {
		return
	}
	fmt.Fprintf(a.Err, "mtactl: %s\n", err)
	var f *failure
	if errors.As(err, &f) && f.hint != "" {
		fmt.Fprintf(a.Err, "    %s\n", a.hint(f.hint))
	}
}

// hint makes the commands in a hint those for this instance, so that they can
// be typed as they stand.
func (a *app) hint(text string) string {
	if strings.Contains(text, "mtactl -C") {
		return text
	}
	return strings.ReplaceAll(text, "mtactl ", a.self()+" ")
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "mtactl",
		Short: "start, stop, check and ask the Filbert mail server",
		Long: `mtactl starts, stops, checks and asks the Filbert mail server.

Without -C it works on the instance installed on this machine (/etc/filbert).
With -C DIR it works on a private instance that lies wholly under DIR, needs no
root and runs as you; mtactl -C DIR init makes one.`,
		Example: `  mtactl status                        is it running, and what is it doing?
  mtactl check                         is everything configured and permitted as it should be?
  mtactl queue list                    what waits, and why
  mtactl explain user@example.org      what would become of this address
  mtactl -C ~/mta init && mtactl -C ~/mta start`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVarP(&a.dir, "directory", "C", "", "work on the private instance under `DIR`")
	root.AddCommand(
		a.initCommand(), a.startCommand(), a.stopCommand(), a.reloadCommand(), a.statusCommand(),
		a.checkCommand(), a.explainCommand(), a.lookupCommand(), a.rewriteCommand(), a.reportsCommand(), a.simulateCommand(), a.queueCommand(), a.mailboxesCommand(), a.tailCommand(), a.traceCommand(), a.historyCommand(), a.memoryCommand(),
		a.orderingCommand(), a.limitCommand(), a.clockCommand(), a.psCommand(), a.statsCommand(), a.abortCommand(),
		a.configCommand(), a.versionCommand(),
	)
	return root
}

// instance finds the instance that -C names.
func (a *app) instance() (settings.Instance, error) {
	inst, _, err := config.Find(a.dir)
	if err != nil {
		return inst, fail(exNoInput, "", "find the instance").because(err)
	}
	return inst, nil
}

// load reads the configuration; what is wrong with it is printed.
func (a *app) load() (*config.Loaded, error) {
	inst, err := a.instance()
	if err != nil {
		return nil, err
	}
	l, err := config.LoadAll(inst.ConfigFile(), inst)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, config.ErrInvalid):
		a.problems(l.Problems)
		n := config.Mistakes(l.Problems)
		return nil, fail(exConfig, "correct what is listed above; nothing was changed", "the configuration has %s", count(n, "mistake"))
	case errors.Is(err, config.ErrNoInstance):
		return nil, a.noInstance(inst)
	case errors.Is(err, os.ErrPermission):
		return nil, fail(exNoPerm, "run the command as root, or as the owner of the instance", "read the configuration").because(err)
	}
	return nil, fail(exConfig, "", "read the configuration").because(err)
}

func (a *app) noInstance(inst settings.Instance) error {
	if inst.Private {
		return fail(exNoInput, "make one: mtactl -C "+shellWord(a.dir)+" init",
			"there is no instance under %s (no %s)", inst.Dir, inst.ConfigFile())
	}
	return fail(exNoInput, "an empty file is enough; or use a private instance: mtactl -C DIR init",
		"there is no %s", inst.ConfigFile())
}

func (a *app) problems(list []config.Problem) {
	for _, p := range list {
		text := p.String()
		if p.Severity == config.Mistake {
			first, rest, _ := strings.Cut(text, "\n")
			text = a.paint(red, first)
			if rest != "" {
				text += "\n" + rest
			}
		}
		fmt.Fprintln(a.Err, text)
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.Out, "mtactl (Filbert) %s\n", settings.Version())
			return nil
		},
	}
}

// self is how a user would call mtactl for this instance, for messages.
func (a *app) self() string {
	if a.dir == "" {
		return "mtactl"
	}
	return "mtactl -C " + shellWord(a.dir)
}

// shellWord quotes a word where a shell would take it apart.
func shellWord(s string) string {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+:@~=", r) {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	return s
}

func (a *app) master(inst settings.Instance) *client {
	return newClient(inst.Control(proto.ControlMaster))
}
