package mtactl

import (
	"fmt"
	"time"

	"filbert/pkg/proto"
)

// printPaces shows how fast mail goes where.
func (a *app) printPaces(st *proto.Status) {
	var rows []proto.PaceRow
	for _, s := range st.Services {
		for _, p := range s.Processes {
			rows = append(rows, p.Paces...)
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(a.Out, "\n%s\n", a.paint(bold, count(len(rows), "destination")+" with mail or a rate"))
	t := &table{}
	t.add("  DESTINATION", "TRANSPORT", "AT ONCE", "WAITING", "RATE", "")
	for i := range rows[:min(len(rows), shownRows)] {
		r := &rows[i]
		rate := "-"
		if r.Rate != "" {
			rate = fmt.Sprintf("%d of %s", r.Used, show(r.Rate))
		}
		t.add("  "+show(r.Destination), show(r.Transport), fmt.Sprintf("%d of %d", r.Deliveries, r.Allowed), fmt.Sprint(r.Waiting), rate, paceNote(r))
	}
	t.print(a, true)
	if n := len(rows) - shownRows; n > 0 {
		fmt.Fprintf(a.Out, "  and %d more (--json shows all)\n", n)
	}
}

// paceNote is why nothing begins, and what else there is to say.
func paceNote(r *proto.PaceRow) string {
	note := ""
	add := func(format string, args ...any) {
		if note != "" {
			note += "; "
		}
		note += fmt.Sprintf(format, args...)
	}
	if r.Source != "" {
		add("from %s", show(r.Source))
	}
	if r.WarmUp != "" {
		add("warm-up: %s", show(r.WarmUp))
	}
	switch until := r.Until.Local().Format(time.TimeOnly); r.Held {
	case "pause":
		add("paused until %s by %q", until, show(r.Reply))
	case "rate":
		add("the rate is used up until %s", until)
	}
	return note
}
