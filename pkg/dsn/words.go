package dsn

import (
	"fmt"
	"strings"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// plainPart is the part for a person who has never seen such a report: what
// happened, why, what to do, whom to ask; technical words come after it.
func (r *Request) plainPart() []byte {
	var b strings.Builder
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ")
	if r.eightBit() {
		b.WriteString("8bit\r\n\r\n")
	} else {
		b.WriteString("7bit\r\n\r\n")
	}
	text := r.words()
	if !r.eightBit() {
		text = asciiOnly(text)
	}
	for _, line := range strings.Split(text, "\n") {
		b.WriteString(line + "\r\n")
	}
	return []byte(b.String())
}

func (r *Request) words() string {
	var b strings.Builder
	switch r.What {
	case Double:
		r.doubleWords(&b)
	default:
		fmt.Fprintf(&b, "This is the mail system at %s.\n\n", r.Hostname)
		b.WriteString(wrap(r.opening()))
	}
	if s := r.subjectOfMessage(); s != "" {
		fmt.Fprintf(&b, "\nThe message:  %s\n", s)
		fmt.Fprintf(&b, "sent on:      %s\n", r.Envelope.Arrived.Local().Format("Monday, 2 January 2006, 15:04 (-0700)"))
	}
	for i := range r.Envelope.Recipients {
		b.WriteString("\n")
		r.aboutRecipient(&b, i)
	}
	b.WriteString("\n" + wrap(r.closing()))
	return b.String()
}

func (r *Request) opening() string {
	switch r.What {
	case Delay:
		s := "Your message has not been delivered yet to the address below. " +
			"You need not do anything: we keep trying"
		if !r.GiveUpAt.IsZero() {
			s += " until " + r.GiveUpAt.In(r.Now.Location()).Format("Monday, 2 January 2006, 15:04 (-0700)")
		}
		return s + ", and tell you if it can't be delivered. Please don't send it again."
	case Success:
		return "You asked to be told when your message was delivered. It was:"
	}
	return "I am sorry: your message could not be delivered to the address below. " +
		"It was not delivered there, and nobody will try again."
}

func (r *Request) doubleWords(b *strings.Builder) {
	fmt.Fprintf(b, "This is the mail system at %s, for its postmaster.\n\n", r.Hostname)
	b.WriteString(wrap("A delivery report that we sent could not be delivered itself, most likely because " +
		"the sender's address of the original message was false. You are told once; nothing is tried again."))
}

func (r *Request) closing() string {
	if r.What == Success {
		return "This says that the mail system took it in, not that anybody has read it."
	}
	return fmt.Sprintf("If you need help, write to %s and include this report. "+
		"The details below are for technical staff.", r.Contact)
}

// aboutRecipient tells one recipient's story.
func (r *Request) aboutRecipient(b *strings.Builder, i int) {
	rc, o := &r.Envelope.Recipients[i], &r.Outcomes[i]
	fmt.Fprintf(b, "<%s>\n", rc.Address.String())
	if first := asWritten(rc); first != "" {
		fmt.Fprintf(b, "    (you wrote to <%s>, which leads there)\n", first)
	}
	if r.What == Success {
		b.WriteString(indent(successWords(o)))
		return
	}
	if words := r.wordsFor(i); !words.IsEmpty() {
		b.WriteString(siteWords(words))
		return
	}
	why, todo := explain(o)
	b.WriteString(indent(why))
	if todo != "" && r.What != Delay {
		b.WriteString(indent(todo))
	}
	switch {
	case i < len(r.Output) && !r.Output[i].IsEmpty():
		// Its first line stands in the outcome's text too, for the log.
		b.WriteString(indent("The program said:"))
		b.WriteString(quote(r.Output[i]))
	case !o.Text.IsEmpty():
		who := "In detail"
		if o.Remote != "" {
			who = "The server " + untrusted.From(o.Remote).ForReport() + " said"
		}
		b.WriteString(indent(who + ":"))
		b.WriteString(quote(o.Text))
	}
}

// asWritten is the address that the sender knows, where it differs.
func asWritten(rc *envelope.Recipient) string {
	if len(rc.Lineage) > 0 && rc.Lineage[0] != rc.Address {
		return rc.Lineage[0].String()
	}
	return ""
}

// successWords: RFC 3464, section 2.3.3, for people.
func successWords(o *outcome.Outcome) string {
	if o.Relayed {
		return "was passed on to " + orSome(o.Remote, "another mail system") +
			", which does not confirm deliveries. You may hear no more of it."
	}
	if o.Class == outcome.Expanded {
		return "stands for several recipients and was passed on to them. You hear more only of those who can't be reached."
	}
	return "was delivered."
}

func orSome(s, other string) string {
	if s == "" {
		return other
	}
	return untrusted.From(s).ForReport()
}

func (r *Request) subjectOfMessage() string {
	for _, line := range strings.Split(string(r.Returned[:min(len(r.Returned), 32<<10)]), "\r\n") {
		if line == "" {
			return ""
		}
		if len(line) > 8 && strings.EqualFold(line[:8], "subject:") {
			s := untrusted.From(strings.TrimSpace(line[8:])).ForHeader()
			if len(s) > 100 {
				s = strings.ToValidUTF8(s[:100], "") + "..."
			}
			return s
		}
	}
	return ""
}

// quote shows somebody else's words, set off so that they can't be taken for
// ours.
func quote(t untrusted.Text) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimRight(t.ForReport(), "\n"), "\n") {
		for _, piece := range strings.Split(strings.TrimRight(wrapAt(line, 66), "\n"), "\n") {
			b.WriteString("    | " + piece + "\n")
		}
	}
	return b.String()
}

// siteWords shows what this site has to say, line by line as it was written. It
// stands in the place of our words; but it is what a command printed, which may
// repeat what a sender wrote, and so it is cleaned, bounded and set in: no line of it
// begins where ours do.
func siteWords(t untrusted.Text) string {
	var b strings.Builder
	empty := 1 // no empty lines at the beginning, never two
	for _, line := range strings.Split(strings.TrimRight(t.ForReport(), "\n \t"), "\n") {
		if strings.TrimSpace(line) == "" {
			if empty++; empty == 1 {
				b.WriteByte('\n')
			}
			continue
		}
		empty = 0
		for _, piece := range strings.Split(strings.TrimRight(wrapAt(line, 72), "\n"), "\n") {
			b.WriteString("    " + piece + "\n")
		}
	}
	return b.String()
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(wrapAt(s, 68), "\n"), "\n", "\n    ") + "\n"
}

func wrap(s string) string { return wrapAt(s, 72) }

func wrapAt(s string, width int) string {
	var b strings.Builder
	col := 0
	for _, w := range strings.Fields(s) {
		// A word of a peer may be longer than any line may be (RFC 5321, section
		// 4.5.3.1.6).
		for len(w) > 500 {
			b.WriteString(strings.ToValidUTF8(w[:500], "") + "\n")
			w, col = w[500:], 0
		}
		if col > 0 && col+1+len(w) > width {
			b.WriteByte('\n')
			col = 0
		} else if col > 0 {
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += len(w)
	}
	b.WriteByte('\n')
	return b.String()
}

func asciiOnly(s string) string {
	return strings.Map(func(c rune) rune {
		if c > 126 {
			return '?'
		}
		return c
	}, s)
}
