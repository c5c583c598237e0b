package pickup

import (
	"fmt"
	"io"
	"strings"
	"time"

	"filbert/pkg/proto"
)

// maxShown is how many addresses stand in one line.
const maxShown = 5

// printWaiting prints one message of somebody's own:
//
//	35ANMPFBG00  12 min  to friend@example.org
//	    waits: example.org has refused connections since 14:05; next attempt 14:40; given up on 3 March
//
// Recipients that wait for the same reason stand in one line.
func printWaiting(w io.Writer, item *proto.MineItem, now time.Time, withSender bool) {
	from := ""
	if withSender {
		from = "from " + senderName(item.Sender) + " "
	}
	fmt.Fprintf(w, "%s  %s  %s", clean(item.ID), ageOf(item.Arrived, now), from)
	groups := alike(item.Recipients)
	if len(groups) == 0 {
		fmt.Fprintf(w, "\n    %s\n", waitWords(item, &proto.MineRecipient{}, now))
	}
	for i, g := range groups {
		if i > 0 {
			fmt.Fprint(w, "  ")
		}
		fmt.Fprintf(w, "to %s\n    %s\n", addresses(g), waitWords(item, &g[0], now))
	}
	if item.MoreRecipients > 0 {
		fmt.Fprintf(w, "  and %d more recipients\n", item.MoreRecipients)
	}
}

func senderName(s string) string {
	if s == "" {
		return "MAILER-DAEMON"
	}
	return clean(s)
}

// alike puts recipients together that wait for the same reason.
func alike(list []proto.MineRecipient) [][]proto.MineRecipient {
	type reason struct {
		why   string
		since time.Time
	}
	var out [][]proto.MineRecipient
	at := map[reason]int{}
	for _, r := range list {
		k := reason{why: r.Why}
		if r.Since != nil {
			k.since = r.Since.Truncate(time.Minute)
		}
		n, known := at[k]
		if !known {
			n = len(out)
			at[k] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], r)
	}
	return out
}

func addresses(list []proto.MineRecipient) string {
	var names []string
	for _, r := range list[:min(len(list), maxShown)] {
		names = append(names, clean(r.Address))
	}
	s := strings.Join(names, ", ")
	if more := len(list) - maxShown; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// waitWords says why a recipient waits and until when.
func waitWords(item *proto.MineItem, r *proto.MineRecipient, now time.Time) string {
	why := clean(r.Why)
	if r.Since != nil {
		why += " since " + moment(*r.Since, now)
	}
	switch {
	case item.State == "delivering" && why == "":
		return "is being delivered just now"
	case item.State == "delivering":
		return "is being delivered just now; before that, " + why
	case item.State == "held":
		return "on hold: " + why
	}
	parts := []string{"waits: " + why}
	switch next := item.NextAttempt; {
	case next == nil:
	case next.After(now):
		parts = append(parts, "next attempt "+moment(*next, now))
	default:
		parts = append(parts, "next attempt at once")
	}
	if item.GiveUpAt != nil {
		parts = append(parts, "given up "+dayOrHour(*item.GiveUpAt, now))
	}
	return strings.Join(parts, "; ")
}

// printTrace prints all that is known of one message.
func printTrace(w io.Writer, m *proto.MineMessage, now time.Time) {
	fmt.Fprintf(w, "%s  from %s, handed in %s, %s\n", clean(m.ID), senderName(m.Sender), moment(m.Arrived, now), sizeOf(m.Size))
	for i := range m.Recipients {
		r := &m.Recipients[i]
		fmt.Fprintf(w, "  to %s\n    %s\n", clean(r.Address), waitWords(&m.MineItem, r, now))
		if r.Reply != "" {
			fmt.Fprintf(w, "    it said: %s\n", clean(r.Reply))
		}
	}
	if m.MoreRecipients > 0 {
		fmt.Fprintf(w, "  and %d more recipients\n", m.MoreRecipients)
	}
	for _, r := range m.Done {
		fmt.Fprintf(w, "  to %s\n    %s\n", clean(r.Address), clean(r.State))
	}
	fmt.Fprintln(w, "So far:")
	if len(m.Log) == 0 {
		fmt.Fprintln(w, "  nothing was tried yet")
	}
	if m.Earlier > 0 {
		fmt.Fprintf(w, "  (%d lines before)\n", m.Earlier)
	}
	for _, a := range m.Log {
		to := ""
		if a.Address != "" {
			to = clean(a.Address) + ": "
		}
		fmt.Fprintf(w, "  %s  %s%s\n", a.At.Local().Format("2006-01-02 15:04:05"), to, clean(a.What))
		if a.Reply != "" {
			fmt.Fprintf(w, "    it said: %s\n", clean(a.Reply))
		}
	}
}

// printPath prints what is remembered of one message.
func printPath(w io.Writer, m *proto.HistoryMessage, now time.Time) {
	fmt.Fprintln(w, clean(m.ID))
	for i := range m.Events {
		e := &m.Events[i]
		words := pastWords(e)
		if words == "" {
			continue
		}
		fmt.Fprintf(w, "  %s  %s\n", e.At.Local().Format("2006-01-02 15:04:05"), words)
		if said := e.Facts["said"]; said != "" && e.Facts["host"] != "" {
			fmt.Fprintf(w, "    it said: %s\n", clean(said))
		}
	}
}

// pastWords is an event in plain words; "" for one that tells a user nothing.
func pastWords(e *proto.HistoryEvent) string {
	to := clean(strings.TrimSuffix(strings.TrimPrefix(e.Facts["to"], "<"), ">"))
	at := ""
	if h := e.Facts["host"]; h != "" {
		at = clean(h)
		if ip := e.Facts["ip"]; ip != "" && ip != h {
			at += " [" + clean(ip) + "]"
		}
	}
	switch e.What {
	case "received":
		return "handed in"
	case "delivered":
		if at == "" {
			return to + ": delivered"
		}
		return to + ": handed to " + at
	case "deferred":
		return strings.TrimSuffix(to+": put off by "+at, " by ")
	case "failed":
		switch {
		case e.Facts["kind"] == "cancelled":
			return to + ": cancelled"
		case e.Facts["kind"] == "returned":
			return to + ": returned by an administrator"
		case at == "":
			return to + ": given up"
		}
		return to + ": refused for good by " + at
	case "expanded":
		return to + ": passed on to others"
	case "filed":
		return "kept in the queue"
	case "reported":
		return "a report was sent"
	case "finished":
		return "nothing more is to be done"
	case "rewritten", "routed", "scheduled":
		return ""
	}
	return clean(e.What)
}

// ageOf is how long ago something was, as people say it.
func ageOf(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
}

func sameDay(a, b time.Time) bool {
	return a.Local().Format(time.DateOnly) == b.Local().Format(time.DateOnly)
}

// moment is a time: the hour of today, or with its day.
func moment(t, now time.Time) string {
	t = t.Local()
	switch {
	case sameDay(t, now):
		return t.Format("15:04")
	case t.Year() == now.Local().Year():
		return t.Format("2 January 15:04")
	}
	return t.Format("2 January 2006")
}

// dayOrHour is "at" an hour of today or "on" another day.
func dayOrHour(t, now time.Time) string {
	t = t.Local()
	switch {
	case sameDay(t, now):
		return t.Format("at 15:04")
	case t.Year() == now.Local().Year():
		return t.Format("on 2 January")
	}
	return t.Format("on 2 January 2006")
}

func sizeOf(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d octets", n)
	case n < 1_000_000:
		return fmt.Sprintf("%d KB", (n+999)/1000)
	}
	return fmt.Sprintf("%d MB", (n+999_999)/1_000_000)
}
