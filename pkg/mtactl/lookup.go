package mtactl

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
)

func (a *app) lookupCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "lookup NAME KEY",
		Short: "ask a lookup of the configuration for a key",
		Long: `lookup asks the running router what the [lookup.NAME] of its configuration has for a
key, and prints the values, one a line. The exit status is 0 when it has the key, 1 when
it has not, 75 when it can't be asked at the moment.`,
		Example: "  mtactl lookup cancelled abc123\n  mtactl lookup people alice@example.org --json",
		Args:    exactly(2, "a lookup and a key"),
		RunE: func(_ *cobra.Command, args []string) error {
			return a.lookup(&proto.LookupQuestion{Name: args[0], Key: args[1]}, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) lookup(q *proto.LookupQuestion, asJSON bool) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	var answer proto.LookupAnswered
	if err := a.master(inst).patient(explainTimeout).post(a.ctx, "/v1/lookup", q, &answer); err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(a.Out, &answer); err != nil {
			return err
		}
	}
	switch {
	case answer.Trouble != "":
		return fail(exTempFail, "what asks it waits meanwhile: mail is deferred, not returned", "lookup %s: %s", show(q.Name), show(strings.TrimPrefix(answer.Trouble, "lookup "+q.Name+": ")))
	case !answer.Found:
		return fail(exFindings, "", "lookup %s has nothing for %s", show(q.Name), show(q.Key))
	case asJSON:
		return nil
	}
	for _, v := range answer.Values {
		fmt.Fprintln(a.Out, show(v))
	}
	if answer.Where != "" && a.colour {
		fmt.Fprintln(a.Err, a.hint("("+show(answer.Where)+")"))
	}
	return nil
}
