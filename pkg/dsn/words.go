package dsn

import (
	"bytes"
	"fmt"
	"mime/quotedprintable"
	"strings"

	"filbert/pkg/untrusted"
)

// plainPart is the part for a person who has never seen such a report: what
// happened, why, what to do, whom to ask; technical words come after it.
func (r *Request) plainPart() []byte {
	text := r.words()
	encoding := "7bit"
	switch {
	case r.eightBit():
		encoding = "8bit"
	case !isASCII(text):
		// Not 8bit: nothing else here needs it, and a server that does not do it
		// could not be given the report at all.
		encoding = "quoted-printable"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\nContent-Language: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n",
		r.contentLanguage(), encoding)
	text = strings.ReplaceAll(text, "\n", "\r\n")
	if encoding != "quoted-printable" {
		b.WriteString(text + "\r\n")
		return b.Bytes()
	}
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	b.WriteString("\r\n")
	return b.Bytes()
}

// contentLanguage is the value of Content-Language (RFC 3282, section 2).
func (r *Request) contentLanguage() string {
	v := r.in(r.language())
	if r.alsoEnglish(v) {
		return v.language + ", " + English
	}
	return v.language
}

// alsoEnglish: where the language was guessed, the guess may be wrong.
func (r *Request) alsoEnglish(v *voice) bool { return r.Guessed && v.language != English }

func (r *Request) language() string {
	if r.Language == "" {
		return English
	}
	return r.Language
}

func (r *Request) words() string {
	v := r.in(r.language())
	var b strings.Builder
	b.WriteString(wrap(v.say("greeting")) + "\n" + wrap(v.opening()))
	v.theMessage(&b)
	for i := range r.Envelope.Recipients {
		b.WriteString("\n")
		v.aboutRecipient(&b, i)
	}
	b.WriteString("\n" + wrap(v.closing()))
	if r.alsoEnglish(v) {
		r.in(English).inShort(&b)
	}
	return b.String()
}

// phrases are the texts that begin a report: of the subject and the opening, for
// one recipient and for several.
var phrases = map[What]struct{ subject, subjects, opening, openings string }{
	Failure: {"subject.failure", "subject.failures", "opening.failure", "opening.failures"},
	Delay:   {"subject.delay", "subject.delay", "opening.delay", "opening.delays"},
	Success: {"subject.success", "subject.success", "opening.success", "opening.success"},
	After:   {"subject.after", "subject.after", "opening.after", "opening.afters"},
	Double:  {"subject.double", "subject.double", "opening.double", "opening.double"},
}

func (v *voice) opening() string {
	p := phrases[v.r.What]
	key := p.opening
	if len(v.r.Envelope.Recipients) > 1 {
		key = p.openings
	}
	if v.r.What == Delay && !v.r.GiveUpAt.IsZero() {
		key += "-until"
	}
	return v.say(key)
}

func (v *voice) title() string {
	p := phrases[v.r.What]
	if len(v.r.Envelope.Recipients) > 1 {
		return v.say(p.subjects)
	}
	return v.say(p.subject)
}

func (v *voice) closing() string {
	if v.r.succeeded() {
		return v.say("closing.success")
	}
	return v.say("closing.help")
}

// theMessage names the message as its sender knows it.
func (v *voice) theMessage(b *strings.Builder) {
	if v.subject == "" {
		return
	}
	message, sent := v.say("label.message"), v.say("label.sent")
	width := max(columns(message), columns(sent)) + 2
	pad := func(label string) string { return label + strings.Repeat(" ", width-columns(label)) }
	fmt.Fprintf(b, "\n%s%s\n%s%s\n", pad(message), v.subject, pad(sent), v.date(v.r.Envelope.Arrived.In(v.r.Now.Location())))
}

// aboutRecipient tells one recipient's story.
func (v *voice) aboutRecipient(b *strings.Builder, i int) {
	r := v.r
	rc, o := &r.Envelope.Recipients[i], &r.Outcomes[i]
	fmt.Fprintf(b, "<%s>\n", rc.Address.String())
	if asWritten(rc) != "" {
		b.WriteString(indent(v.sayOf("written", i)))
	}
	if r.succeeded() {
		b.WriteString(indent(v.success(i)))
		return
	}
	if words := r.wordsFor(i); !words.IsEmpty() {
		b.WriteString(siteWords(words))
		if o.Remote != "" && !o.Text.IsEmpty() {
			b.WriteString(indent(v.sayOf("said.server", i)))
			b.WriteString(quote(o.Text))
		}
		return
	}
	cause := string(CauseOf(o))
	b.WriteString(indent(v.why(i)))
	if todo := v.sayOf(cause+".todo", i); todo != "" && r.What != Delay {
		b.WriteString(indent(todo))
	}
	switch {
	case i < len(r.Output) && !r.Output[i].IsEmpty():
		// Its first line stands in the outcome's text too, for the log.
		b.WriteString(indent(v.sayOf("said.program", i)))
		b.WriteString(quote(r.Output[i]))
	case !o.Text.IsEmpty():
		key := "said.detail"
		if o.Remote != "" {
			key = "said.server"
		}
		b.WriteString(indent(v.sayOf(key, i)))
		b.WriteString(quote(o.Text))
	}
}

// maxShort is how many recipients the short form tells of.
const maxShort = 20

// inShort says the same again in few words.
func (v *voice) inShort(b *strings.Builder) {
	r := v.r
	fmt.Fprintf(b, "\n-- %s --\n\n", v.texts.Name(v.language))
	b.WriteString(wrap(v.say("greeting") + " " + v.title() + "."))
	for i := range r.Envelope.Recipients[:min(len(r.Envelope.Recipients), maxShort)] {
		fmt.Fprintf(b, "<%s>\n", r.Envelope.Recipients[i].Address.String())
		switch {
		case r.succeeded():
			b.WriteString(indent(v.success(i)))
		case r.wordsFor(i).IsEmpty():
			b.WriteString(indent(v.why(i)))
		}
	}
	b.WriteString(wrap(v.closing()))
}

// succeeded: the report brings good news.
func (r *Request) succeeded() bool { return r.What == Success || r.What == After }

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
