package mtactl

import (
	"fmt"
	"time"

	"filbert/pkg/proto"
)

// printLoad tells what the load of the machine leaves of the limits, where they follow it.
func (a *app) printLoad(l *proto.LoadStatus, now time.Time) {
	switch {
	case l == nil:
	case l.Problem != "":
		fmt.Fprintf(a.Out, "  the limits do not follow the load: %s\n", show(l.Problem))
	case l.Level >= 100:
		fmt.Fprintf(a.Out, "  %s: the limits are whole\n", loadWords(l))
	default:
		fmt.Fprintf(a.Out, "  %s: %s\n", loadWords(l), a.paint(yellow, fmt.Sprintf("the limits are at %d percent since %s (%s)",
			l.Level, l.Since.Local().Format(time.TimeOnly), age(now.Sub(l.Since)))))
	}
}

func loadWords(l *proto.LoadStatus) string {
	if l.Measure == "pressure" {
		return fmt.Sprintf("work waits for the machine in %.0f percent of the time", l.Value)
	}
	return fmt.Sprintf("the load is %.2f for each processor", l.Value)
}
