package mtactl

import (
	"errors"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/config"
)

// usageFlag is the name of a flag at the beginning of its line in a usage.
var usageFlag = regexp.MustCompile(`(?m)^ {2,}(?:-\w, )?--([a-z][a-z0-9-]*)`)

// meant makes a mistake in words that cobra has found one with a hint: the name that was
// most likely meant, or where the names are.
func (a *app) meant(c *cobra.Command, err error) error {
	var known *failure
	var silent errSilent
	if err == nil || errors.As(err, &known) || errors.As(err, &silent) {
		return err
	}
	path := c.CommandPath()
	hint := path + " --help lists the commands and their options"
	if rest, is := strings.CutPrefix(err.Error(), `unknown command "`); is {
		word, _, _ := strings.Cut(rest, `"`)
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		if near := config.Nearest(word, names); near != "" {
			hint = "did you mean " + path + " " + near + "?"
		}
	}
	if word, is := strings.CutPrefix(err.Error(), "unknown flag: --"); is {
		// From the text, as the type of a flag is of a module that cobra alone imports.
		var names []string
		for _, m := range usageFlag.FindAllStringSubmatch(c.Flags().FlagUsages(), -1) {
			names = append(names, m[1])
		}
		hint = path + " --help lists its options"
		if near := config.Nearest(word, names); near != "" {
			hint = "did you mean --" + near + "?"
		}
	}
	return fail(exUsage, hint, "%s", err)
}
