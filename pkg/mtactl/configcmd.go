package mtactl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "show and explain the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(a.configShowCommand(), a.configHelpCommand(), a.configSampleCommand())
	return c
}

func (a *app) configShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show [WORD...]",
		Short: "print the configuration with where each value came from",
		Long: `show reads the configuration files, fills in the defaults, and prints the whole,
with the place of each value behind it. The output is itself a configuration.
With words, only lines that have all of them.

What a running suite has in force is what was in the files at its last reload.`,
		Example: "  mtactl config show\n  mtactl config show listen\n  mtactl config show --json | jq .limits",
		RunE:    func(_ *cobra.Command, words []string) error { return a.configShow(words, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON (settings, sources and files)")
	return c
}

func (a *app) configShow(words []string, asJSON bool) error {
	l, err := a.load()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.Out, map[string]any{"settings": l.Settings, "sources": l.Sources, "files": l.Files})
	}
	var b strings.Builder
	if err := l.Show(&b); err != nil {
		return err
	}
	table := ""
	for line := range strings.Lines(b.String()) {
		if strings.HasPrefix(line, "[") {
			table = line
		}
		if len(words) > 0 && !hasAll(table+line, words) {
			continue
		}
		text, comment, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " # ")
		if ok {
			text += a.paint(dim, " # "+comment)
		}
		fmt.Fprintln(a.Out, text)
	}
	return nil
}

func (a *app) configHelpCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "help [KEY]",
		Short:   "explain a setting, or list all",
		Example: "  mtactl config help\n  mtactl config help retry\n  mtactl config help listen.bare_newline",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			docs := config.Docs()
			if len(args) == 1 {
				if docs = config.Help(args[0]); len(docs) == 0 {
					return a.noSuchKey(args[0])
				}
			}
			if asJSON {
				return printJSON(a.Out, docs)
			}
			a.printDocs(docs, len(args) == 0)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) noSuchKey(key string) error {
	hint := "mtactl config help lists all settings"
	if near := config.NearestKey(key); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	}
	return fail(exDataErr, hint, "there is no setting %q", key)
}

func (a *app) printDocs(docs []config.Doc, brief bool) {
	for i, d := range docs {
		if brief {
			first, _, _ := strings.Cut(d.Text, ". ")
			fmt.Fprintf(a.Out, "%s  %s\n", a.paint(bold, fmt.Sprintf("%-32s", d.Key)), strings.TrimSuffix(first, "."))
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.Out)
		}
		fmt.Fprintf(a.Out, "%s  (%s", a.paint(bold, d.Key), d.Type)
		if d.Default != "" {
			fmt.Fprintf(a.Out, ", default %s", d.Default)
		}
		fmt.Fprintln(a.Out, ")")
		for _, line := range config.Wrap(d.Text, 76) {
			fmt.Fprintf(a.Out, "    %s\n", line)
		}
	}
}

func (a *app) configSampleCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sample",
		Short: "print a sample configuration: every setting with its default",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.Out, config.Sample())
			return err
		},
	}
}
