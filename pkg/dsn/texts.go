package dsn

import (
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A file of texts is UTF-8, one text for each key:
//
//	# a comment
//	subject.failure: Your message could not be delivered
//	quota.why: a longer text may go on
//	  in lines that begin with a space
//
// {NAME} is a placeholder; which there are depends on the key. It is not TOML:
// whoever translates is to need no rule beside these.

// The limits of a file of texts. They are ours: an honest one has 15 KB.
const (
	MaxTextFile = 64 << 10
	maxText     = 2000 // one text, in octets
)

//go:embed texts
var shipped embed.FS

// TextProblem is what is wrong with a file of texts.
type TextProblem struct {
	File string
	Line int // 0: the file as a whole
	What string
	Hint string
}

// entry is one text of a file.
type entry struct {
	key, text string
	line      int
}

// textParser reads one file.
type textParser struct {
	file     string
	cause    string // of a file LANG.CAUSE: its keys are "why" and "todo"
	entries  []entry
	problems []TextProblem
}

func (p *textParser) bad(line int, hint, format string, args ...any) {
	p.problems = append(p.problems, TextProblem{p.file, line, fmt.Sprintf(format, args...), hint})
}

// parseTexts reads the file called name.
func parseTexts(name, data string) *textParser {
	p := &textParser{file: name}
	_, p.cause, _ = strings.Cut(name, ".")
	switch {
	case len(data) > MaxTextFile:
		p.bad(0, "", "is larger than %d KB", MaxTextFile>>10)
		return p
	case !utf8.ValidString(data):
		p.bad(0, "save it as UTF-8", "is not UTF-8 throughout")
		return p
	}
	n := 0
	for line := range strings.Lines(strings.TrimPrefix(data, "\ufeff")) {
		n++
		p.line(n, strings.TrimRight(line, "\r\n\t "))
	}
	p.finish()
	return p
}

func (p *textParser) line(n int, line string) {
	if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' || unicode.Is(unicode.Cf, r) }); i >= 0 {
		p.bad(n, "remove it", "has an invisible character (octet %d)", i+1)
		return
	}
	switch {
	case line == "" || line[0] == '#':
		return
	case line[0] == ' ' || line[0] == '\t':
		if len(p.entries) == 0 {
			p.bad(n, "write KEY: in front of the text", "goes on with a text, but there is none before")
			return
		}
		last := &p.entries[len(p.entries)-1]
		last.text = join(last.text, strings.TrimSpace(line))
	default:
		key, text, ok := strings.Cut(line, ":")
		if !ok {
			p.bad(n, "write KEY: TEXT; lines that go on with a text begin with a space", "has no colon behind a key")
			return
		}
		p.entries = append(p.entries, entry{strings.TrimSpace(key), strings.TrimSpace(text), n})
	}
}

// join puts a text together from two lines, with a space between them in scripts
// that have spaces.
func join(text, more string) string {
	last, _ := utf8.DecodeLastRuneInString(text)
	first, _ := utf8.DecodeRuneInString(more)
	if text == "" || isWide(last) && isWide(first) {
		return text + more
	}
	return text + " " + more
}

// finish checks what was read.
func (p *textParser) finish() {
	known := textKeys()
	seen := map[string]int{}
	for i := range p.entries {
		e := &p.entries[i]
		if p.cause != "" && (e.key == "why" || e.key == "todo") {
			e.key = p.cause + "." + e.key
		}
		allowed, ok := known[e.key]
		switch {
		case !ok || p.cause != "" && !strings.HasPrefix(e.key, p.cause+"."):
			p.bad(e.line, p.keyHint(), "there is no text %q here", e.key)
			continue
		case seen[e.key] != 0:
			p.bad(e.line, "remove one of the two", "%s stands in line %d already", e.key, seen[e.key])
			continue
		}
		seen[e.key] = e.line
		p.check(e, allowed)
	}
}

func (p *textParser) keyHint() string {
	if p.cause != "" {
		return "a file for one cause has why and todo"
	}
	return "mtactl reports preview --list has the names of the causes, and --keys all names of texts"
}

func (p *textParser) check(e *entry, allowed []string) {
	switch {
	case len(e.text) > maxText:
		p.bad(e.line, "make it shorter", "%s has more than %d octets", e.key, maxText)
	case e.text == "" && !strings.HasSuffix(e.key, ".todo"):
		p.bad(e.line, "write something, or remove the line", "%s is empty", e.key)
	}
	if want := lists[e.key]; want != 0 && len(strings.Split(e.text, ",")) != want {
		p.bad(e.line, "", "%s must have %d names with commas between them", e.key, want)
	}
	names, ok := placeholders(e.text)
	if !ok {
		p.bad(e.line, "placeholders look like {recipient}", "%s has a brace without its partner", e.key)
	}
	for _, name := range names {
		if slices.Contains(allowed, name) {
			continue
		}
		hint := "there is none at all here"
		if len(allowed) > 0 {
			hint = "there are: {" + strings.Join(allowed, "} {") + "}"
		}
		p.bad(e.line, hint, "%s has no placeholder {%s}", e.key, name)
	}
}

// placeholders are the names in braces; ok is false where one is not closed.
func placeholders(text string) (names []string, ok bool) {
	for {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			return names, true
		}
		j := strings.IndexAny(text[i+1:], "{}")
		if text[i] == '}' || j < 0 || text[i+1+j] != '}' {
			return names, false
		}
		names = append(names, text[i+1:i+1+j])
		text = text[i+j+2:]
	}
}

// fill puts values in the places of the placeholders, once: what a value holds is
// never one.
func fill(text string, values map[string]string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '{')
		j := strings.IndexByte(text, '}')
		if i < 0 || j < i {
			b.WriteString(text)
			return b.String()
		}
		b.WriteString(text[:i])
		b.WriteString(values[text[i+1:j]])
		text = text[j+1:]
	}
}

// lists are the texts that have a number of names in them.
var lists = map[string]int{"weekdays": 7, "months": 12}

// about are the placeholders of what is said of a message and a recipient.
var about = []string{"recipient", "domain", "host", "reason", "contact", "age", "until", "subject", "site", "count"}

// textKeys are the keys that there are, with the placeholders of each.
func textKeys() map[string][]string {
	keys := map[string][]string{
		"name": nil, "weekdays": nil, "months": nil, "label.message": nil, "label.sent": nil,
		"date":       {"weekday", "day", "month", "year", "time", "zone"},
		"age.minute": nil, "age.minutes": {"count"}, "age.hour": nil, "age.hours": {"count"}, "age.day": nil, "age.days": {"count"},
		"written": {"written"}, "known.since": append([]string{"since"}, about...), "known.once": append([]string{"gaveup"}, about...),
	}
	for _, key := range []string{
		"subject.failure", "subject.failures", "subject.delay", "subject.success", "subject.after", "subject.double",
		"greeting", "opening.failure", "opening.failures", "opening.delay", "opening.delays", "opening.delay-until", "opening.delays-until",
		"opening.success", "opening.after", "opening.afters", "opening.double", "closing.help", "closing.success",
		"said.server", "said.program", "said.detail", "success.delivered", "success.relayed", "success.expanded",
	} {
		keys[key] = about
	}
	for _, c := range Causes() {
		keys[string(c)+".why"], keys[string(c)+".todo"] = about, about
	}
	return keys
}

// shippedFiles are the files of texts within this program.
func shippedFiles() map[string]string {
	files := map[string]string{}
	names, err := fs.Glob(shipped, "texts/*")
	for _, name := range names {
		data, readErr := shipped.ReadFile(name)
		if readErr != nil {
			err = readErr
		}
		files[strings.TrimPrefix(name, "texts/")] = string(data)
	}
	if err != nil {
		panic(fmt.Sprintf("dsn: the program's own texts: %v", err)) // the compiler put them there
	}
	return files
}
