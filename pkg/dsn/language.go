package dsn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/pattern"
)

// Languages decides in which language a report is written.
type Languages struct {
	fixed   string // "" guesses
	known   []string
	domains []domainLanguage
}

type domainLanguage struct {
	of       pattern.List
	language string
}

// NewLanguages makes the rules: fixed is a language or Auto, byDomain has those of
// some domains (patterns), known are the languages that there are texts in. Of
// several patterns that match, the longest decides: a name stands over
// "*.example.org", and that over "*".
func NewLanguages(fixed string, byDomain map[string]string, known []string) (*Languages, error) {
	l := &Languages{known: known}
	if fixed != Auto {
		l.fixed = fixed
	}
	names := slices.Collect(maps.Keys(byDomain))
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "*"), strings.Count(b, "*")), -cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	})
	for _, name := range names {
		list, err := pattern.CompileList([]string{name}, pattern.Domains)
		if err != nil {
			return nil, fmt.Errorf("languages by domain: %w", err)
		}
		l.domains = append(l.domains, domainLanguage{list, byDomain[name]})
	}
	return l, nil
}

// For is the language of a report to somebody, and whether it was guessed. header is
// that of a message that this person wrote, or nil if another did.
func (l *Languages) For(to mailaddr.Address, header []byte) (language string, guessed bool) {
	for i := range l.domains {
		if l.domains[i].of.Match(to.Domain()) && slices.Contains(l.known, l.domains[i].language) {
			return l.domains[i].language, false
		}
	}
	if slices.Contains(l.known, l.fixed) {
		return l.fixed, false
	}
	return Guess(header, to, l.known), true
}

// The most that is read of what a sender wrote about languages. They are ours.
const (
	maxTags     = 20
	maxTagField = 1000
)

// Guess finds out which of the known languages somebody is likely to read, from the
// header of a message of theirs and from their address: what the header says of
// languages (RFC 3282), then the character sets that it is written in, then the
// top-level domain. Who names languages, none of which is known, and who leaves no
// trace, gets English.
func Guess(header []byte, sender mailaddr.Address, known []string) string {
	h, err := message.Scan(header, message.DefaultLimits())
	if err == nil {
		for _, name := range []string{"Accept-Language", "Content-Language", "X-Accept-Language"} {
			if language, said := chosen(fieldOf(h, name), known); said {
				return language
			}
		}
		for _, name := range []string{"Subject", "From", "Content-Type"} {
			if language := byCharset(fieldOf(h, name)); slices.Contains(known, language) {
				return language
			}
		}
	}
	domain := sender.Domain()
	top := strings.ToLower(domain[strings.LastIndexByte(domain, '.')+1:])
	if language := byTopLevel[top]; slices.Contains(known, language) {
		return language
	}
	return English
}

func fieldOf(h message.Header, name string) string {
	f, ok := h.First(name)
	if !ok {
		return ""
	}
	return h.Value(f).Clip(maxTagField).ForHeader()
}

// chosen reads the value of Accept-Language or Content-Language (RFC 3282, sections
// 2 and 3) and gives the known language of the highest quality. said tells whether
// any language was named.
func chosen(value string, known []string) (language string, said bool) {
	language, best := English, 0.0
	for i, item := range strings.Split(value, ",") {
		if i == maxTags {
			break
		}
		tag, params, _ := strings.Cut(item, ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		q := quality(params)
		if !IsLanguage(primary) || q == 0 {
			continue // "*" too: it says nothing
		}
		said = true
		if q > best && slices.Contains(known, primary) {
			language, best = primary, q
		}
	}
	return language, said
}

// quality is the weight of a language, 1 where none is given that can be read.
func quality(params string) float64 {
	name, value, _ := strings.Cut(params, "=")
	if !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || !(0 <= q && q <= 1) {
		return 1
	}
	return q
}

// byCharset finds a language in encoded words, which may name one (RFC 2231,
// section 5), and in the names of character sets that only one language uses.
func byCharset(value string) string {
	lower := strings.ToLower(value)
	if _, word, ok := strings.Cut(lower, "=?"); ok {
		charset, _, _ := strings.Cut(word, "?")
		if _, tag, ok := strings.Cut(charset, "*"); ok {
			primary, _, _ := strings.Cut(tag, "-")
			return primary
		}
	}
	for _, charset := range []string{"iso-2022-jp", "shift_jis", "shift-jis", "euc-jp"} {
		if strings.Contains(lower, "=?"+charset) || strings.Contains(lower, "charset="+charset) || strings.Contains(lower, `charset="`+charset) {
			return "ja"
		}
	}
	return ""
}

// byTopLevel has the top-level domains of which most people read one of the shipped
// languages. Those of lands with several are left out where no one is the most
// likely, and those that are sold all over the world.
var byTopLevel = topLevels(map[string]string{
	"de": "de at ch li berlin hamburg koeln cologne bayern wien tirol nrw ruhr saarland",
	"fr": "fr lu mc re gp mq gf pf nc yt pm wf sn ci bf ne tg bj cd cg dj gn ht paris bzh quebec corsica alsace",
	"es": "es mx ar cl pe ve ec uy py bo cr cu do gt hn ni pa sv pr madrid lat",
	"ja": "jp tokyo osaka nagoya kyoto yokohama okinawa ryukyu",
})

func topLevels(lists map[string]string) map[string]string {
	out := map[string]string{}
	for language, list := range lists {
		for _, top := range strings.Fields(list) {
			out[top] = language
		}
	}
	return out
}
