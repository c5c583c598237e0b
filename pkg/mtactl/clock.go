package mtactl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

func (a *app) clockCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "clock [+TIME]",
		Short: "move the clock of a private instance ahead",
		Long: `clock shows the time by which the suite schedules mail; with +TIME it moves it ahead by
so much: what is due by then happens at once. So you see in seconds what your retry
rules do to real messages in days. When a message was due several times within TIME,
it is tried once: move in smaller steps to see each attempt.

Only the clock of a private instance (mtactl -C DIR) can be moved, and only if its
configuration says so when it starts:

  [testing]
  move_clock = true

A clock never goes back. After the suite was stopped and started it is where
testing.clock_ahead puts it, which is nowhere but the present unless you set it.
Mail that programs hand in with sendmail, files and certificates keep the machine's time.`,
		Example: "  mtactl -C ~/mta clock\n  mtactl -C ~/mta clock +2d",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.clock(args, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return c
}

func (a *app) clock(args []string, asJSON bool) error {
	inst, err := a.instance()
	if err != nil {
		return err
	}
	cl := newClient(inst.Control(proto.ControlMaster)).patient(orderTimeout)
	var got proto.ClockAnswer
	if len(args) == 0 {
		err = cl.get(a.ctx, "/v1/clock", &got)
	} else {
		by, ok := strings.CutPrefix(args[0], "+")
		var d settings.Duration
		if !ok || d.UnmarshalText([]byte(by)) != nil || d <= 0 {
			return fail(exUsage, "mtactl clock +2d, +90m or '+1 week'", "%q: by how much?", show(args[0]))
		}
		err = cl.post(a.ctx, "/v1/clock", &proto.ClockRequest{By: by}, &got)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(a.Out, &got)
	}
	fmt.Fprintf(a.Out, "%s\n", clockWords(&got))
	return nil
}

// clockWords is the time, and whose it is.
func clockWords(c *proto.ClockAnswer) string {
	s := "It is " + c.Now.Local().Format("2006-01-02 15:04:05")
	switch {
	case c.Ahead != 0:
		return s + ", ahead of this machine by " + settings.Duration(c.Ahead.Round(time.Second)).String() + "."
	case c.Movable:
		return s + ", as on this machine; the clock can be moved."
	}
	return s + ", as on this machine; the clock can't be moved."
}

// suiteTime is the time by the suite's clock, to tell ages and waits as the suite sees
// them. Only a private instance can have another than the machine's.
func (a *app) suiteTime() time.Time {
	if a.ahead == nil {
		a.ahead = new(time.Duration)
		if inst, err := a.instance(); err == nil && inst.Private {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			var got proto.ClockAnswer
			if newClient(inst.Control(proto.ControlMaster)).get(ctx, "/v1/clock", &got) == nil {
				*a.ahead = got.Ahead
			}
		}
	}
	return time.Now().Add(*a.ahead)
}
