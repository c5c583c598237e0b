package dsn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// English is the language that every other takes what it lacks from.
const English = "en"

// Auto is no language: the recipient's is guessed.
const Auto = "auto"

// Catalogue has the texts of reports: those of this program, and over them those
// of a site. It does not change.
type Catalogue struct {
	byLanguage map[string]map[string]string
}

// Shipped is the catalogue of this program.
func Shipped() *Catalogue {
	c := &Catalogue{byLanguage: map[string]map[string]string{}}
	for name, data := range shippedFiles() {
		p := parseTexts(name, data)
		if len(p.problems) > 0 {
			panic(fmt.Sprintf("dsn: the program's own texts: %v", p.problems)) // a test reads them all
		}
		c.add(name, p.entries)
	}
	return c
}

func (c *Catalogue) add(language string, entries []entry) {
	texts := c.byLanguage[language]
	if texts == nil {
		texts = map[string]string{}
		c.byLanguage[language] = texts
	}
	for _, e := range entries {
		texts[e.key] = e.text
	}
}

// With is the catalogue with a site's own texts over it, or what is wrong with
// them: then it is nil, for half of a site's words could contradict the other. The
// files are called LANG, or LANG.CAUSE for the texts of one cause, which stand over
// those.
func (c *Catalogue) With(files map[string]string) (*Catalogue, []TextProblem) {
	out := &Catalogue{byLanguage: map[string]map[string]string{}}
	for language, texts := range c.byLanguage {
		out.byLanguage[language] = maps.Clone(texts)
	}
	var problems []TextProblem
	for _, name := range slices.Sorted(maps.Keys(files)) { // LANG before LANG.CAUSE
		language, cause, _ := strings.Cut(name, ".")
		if hint := nameHint(name, language, cause); hint != "" {
			problems = append(problems, TextProblem{File: name, What: "is no name of a file of texts", Hint: hint})
			continue
		}
		p := parseTexts(name, files[name])
		problems = append(problems, p.problems...)
		out.add(language, p.entries)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return out, nil
}

// nameHint says what is wrong with the name of a file, or nothing.
func nameHint(name, language, cause string) string {
	switch {
	case !IsLanguage(language):
		return `call it by a language, "de", or a language and a cause, "de.mailbox-full"`
	case cause != "" && !slices.Contains(Causes(), Cause(cause)):
		return "mtactl reports preview --list has the names of the causes"
	case cause == "" && name != language:
		return "remove the dot"
	}
	return ""
}

// IsLanguage tells whether a word looks like the name of a language: two or three
// small letters (RFC 5646, section 2.2.1).
func IsLanguage(s string) bool {
	if len(s) != 2 && len(s) != 3 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// Languages are those that there are texts in, in order.
func (c *Catalogue) Languages() []string { return slices.Sorted(maps.Keys(c.byLanguage)) }

// Has tells whether there are texts in a language.
func (c *Catalogue) Has(language string) bool { return c.byLanguage[language] != nil }

// text is the text of a key, in English where the language lacks it.
func (c *Catalogue) text(language, key string) string {
	if text, ok := c.byLanguage[language][key]; ok {
		return text
	}
	return c.byLanguage[English][key]
}

// Name is what a language calls itself.
func (c *Catalogue) Name(language string) string { return c.text(language, "name") }

// Text is a text with its placeholders.
func (c *Catalogue) Text(language, key string) string { return c.text(language, key) }

// Keys are the names of all texts, in order.
func Keys() []string { return slices.Sorted(maps.Keys(textKeys())) }
