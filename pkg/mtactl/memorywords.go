package mtactl

import (
	"fmt"
	"strings"
	"time"

	"filbert/pkg/proto"
	"filbert/pkg/quirk"
	"filbert/pkg/retry"
)

// remembered is a record with what it says: what was seen, and apart from it what follows.
type remembered struct {
	proto.MemoryItem
	Name        string   `json:"name,omitempty"` // of a server
	Facts       []string `json:"facts,omitempty"`
	Conclusions []string `json:"conclusions,omitempty"`
}

// rememberedOf reads a record; one that this program does not understand stays as it is.
func rememberedOf(item *proto.MemoryItem, now time.Time) remembered {
	m := remembered{MemoryItem: *item}
	switch item.Kind {
	case proto.MemoryHost.String(), proto.MemoryAddress.String():
		if r, ok := retry.UnmarshalRecord(item.Value); ok {
			m.Name, m.Facts, m.Conclusions = r.Host, retryFacts(&r, now), retryConclusions(&r, now)
		}
	case proto.MemoryQuirk.String():
		if f, ok := quirk.Unmarshal(item.Value); ok {
			m.Name, m.Facts, m.Conclusions = f.Name, quirkFacts(f), quirkConclusions(f, now)
		}
	case proto.MemoryCallout.String():
		m.callout()
	}
	return m
}

// tell writes what a record says.
func (a *app) tell(m *remembered) {
	if len(m.Facts) == 0 {
		return
	}
	fmt.Fprintf(a.Out, "\n%s (%s)\n", a.paint(bold, show(m.Key)), show(m.Kind))
	for _, line := range m.Facts {
		fmt.Fprintf(a.Out, "  %s\n", show(line))
	}
	for _, line := range m.Conclusions {
		fmt.Fprintf(a.Out, "  -> %s\n", show(line))
	}
}

// retryWords is a retry state for people: facts first, then what follows.
func retryWords(r *retry.Record, now time.Time) []string {
	return append(retryFacts(r, now), retryConclusions(r, now)...)
}

func retryFacts(r *retry.Record, now time.Time) []string {
	s := &r.State
	var lines []string
	if r.Host != "" {
		lines = append(lines, "is "+show(r.Host))
	}
	failed := "has failed"
	if s.Attempts > 1 {
		failed = fmt.Sprintf("has failed %d times in a row", s.Attempts)
	}
	lines = append(lines, fmt.Sprintf("%s since %s, last %s ago (%s)", failed, clock(s.Since), age(now.Sub(s.Last)), show(string(s.Kind))))
	if !s.Text.IsEmpty() {
		lines = append(lines, "said: "+s.Text.ForTerminal())
	}
	return lines
}

func retryConclusions(r *retry.Record, now time.Time) []string {
	s := &r.State
	var lines []string
	if !s.GaveUp.IsZero() {
		lines = append(lines, "mail was given up for it at "+clock(s.GaveUp)+": rules with afterwards = \"once\" allow later mail one attempt")
	}
	if s.Next.After(now) {
		return append(lines, "is tried again in "+age(s.Next.Sub(now))+", at "+clock(s.Next)+"; mail for it waits until then")
	}
	return append(lines, "is due: the next message finds out whether it is back")
}

// quirkFacts is what was seen of a server, for people.
func quirkFacts(f *quirk.Facts) []string {
	var lines []string
	if f.Name != "" {
		lines = append(lines, "is "+show(f.Name))
	}
	lines = append(lines, "was talked to first at "+clock(f.First)+", and on the day of "+clock(f.Last))
	if !f.Greeted.IsZero() {
		lines = append(lines, "has granted EHLO, last on the day of "+clock(f.Greeted)+"; "+offers(f))
	}
	lines = append(lines, mark(&f.EHLO, "EHLO", " (HELO worked)")...)
	if !f.Offered.IsZero() {
		lines = append(lines, "has offered STARTTLS, last on the day of "+clock(f.Offered))
	}
	if !f.Secured.IsZero() {
		lines = append(lines, "TLS has come about, last on the day of "+clock(f.Secured))
	}
	lines = append(lines, mark(&f.TLS, "the TLS handshake", "")...)
	lines = append(lines, mark(&f.OutOfStep, "sending commands ahead (PIPELINING)", "")...)
	lines = append(lines, mark(&f.TooMany, fmt.Sprintf("recipient %d of a message", f.Took+1), "")...)
	var times []string
	for _, s := range quirk.Steps() {
		if d := f.Times[s]; d > 0 {
			times = append(times, fmt.Sprintf("%s %s", s, d))
		}
	}
	if len(times) > 0 {
		lines = append(lines, "takes about: "+strings.Join(times, ", "))
	}
	return lines
}

func offers(f *quirk.Facts) string {
	if len(f.Extensions) == 0 {
		return "without extensions"
	}
	s := "with " + strings.Join(f.Extensions, ", ")
	if f.Size > 0 {
		s += "; messages of up to " + size(f.Size)
	}
	return s
}

// mark tells what went wrong, if anything did.
func mark(m *quirk.Mark, what, more string) []string {
	how := map[quirk.How]string{
		quirk.HowRefused: "was refused", quirk.HowDropped: "had it drop the connection", quirk.HowBroken: "went wrong",
	}[m.How]
	if how == "" {
		return nil
	}
	line := what + " " + how + " at " + clock(m.At) + more
	if m.Code != 0 {
		line += fmt.Sprintf(": %d", m.Code)
		if !m.Text.IsEmpty() {
			line += " " + m.Text.ForTerminal()
		}
	} else if !m.Text.IsEmpty() {
		line += ": " + m.Text.ForTerminal()
	}
	return []string{line}
}

func quirkConclusions(f *quirk.Facts, now time.Time) []string {
	var lines []string
	for _, c := range f.Conclusions(now) {
		lines = append(lines, c.String())
	}
	if lines == nil {
		lines = []string{"is talked to like any other"}
	}
	return lines
}

// isServerName tells a server's name from the beginning of a key, which is an address or
// a transport.
func isServerName(s string) bool {
	return !strings.HasPrefix(s, "transport ") && !strings.Contains(strings.TrimLeft(s, "["), ":") && strings.Trim(s, "0123456789.[") != ""
}

// named keeps those whose server has a name.
func named(list []remembered, name string) []remembered {
	out := []remembered{}
	for i := range list {
		if strings.EqualFold(strings.TrimSuffix(list[i].Name, "."), strings.TrimSuffix(name, ".")) {
			out = append(out, list[i])
		}
	}
	return out
}
