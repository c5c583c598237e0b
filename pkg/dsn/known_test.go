package dsn

import (
	"strings"
	"testing"
	"time"

	"filbert/pkg/outcome"
)

// knownReport is the words of a report about mail that was given up for a cause.
func knownReport(language string, was outcome.Outcome, since, gaveUp time.Time) string {
	r := request(Failure)
	r.Texts, r.Language = Shipped(), language
	o := was
	o.Class, o.Kind, o.Status.Class = outcome.Failed, outcome.Expired, 5
	for i := range r.Outcomes {
		r.Outcomes[i] = o
	}
	r.Known = make([]Known, len(r.Outcomes))
	r.Known[0] = Known{Kind: was.Kind, Code: was.Code, Status: was.Status, Since: since, GaveUp: gaveUp}
	return strings.Join(strings.Fields(r.words()), "")
}

func squeezed(s string) string { return strings.Join(strings.Fields(s), "") }

func TestReportSaysWhatWasKnownOfEveryCauseInEveryLanguage(t *testing.T) {
	texts := Shipped()
	since := request(Failure).Now.Add(-100 * time.Hour)
	for _, language := range texts.Languages() {
		for _, c := range Causes() {
			was := Example(c, Delay, "example.net")
			if found := CauseOf(&was); found == Expired || found == Other {
				continue
			}
			r := request(Failure)
			r.Texts = texts
			v := r.in(language)
			words := knownReport(language, was, since, time.Time{})
			want, _, _ := strings.Cut(texts.text(language, "known.since"), "{since}")
			why, _, _ := strings.Cut(texts.text(language, string(CauseOf(&was))+".why"), "{")
			for _, w := range []string{squeezed(want), squeezed(v.date(since.In(r.Now.Location()))), squeezed(why)} {
				if !strings.Contains(words, w) {
					t.Errorf("%s, %s: no %q in\n%s", language, c, w, words)
				}
			}
		}
	}
}

func TestReportSaysWhyMailWasTriedOnce(t *testing.T) {
	now := request(Failure).Now
	was := Example(Later, Delay, "example.net")
	for _, language := range Shipped().Languages() {
		words := knownReport(language, was, now.Add(-100*time.Hour), now.Add(-time.Hour))
		once, _, _ := strings.Cut(Shipped().text(language, "known.once"), "{")
		tried, _, _ := strings.Cut(Shipped().text(language, "expired.why"), "{")
		if !strings.Contains(words, squeezed(once)) || tried != "" && strings.Contains(words, squeezed(tried)) {
			t.Errorf("%s: %s", language, words)
		}
	}
}

func TestWhatWasNotKnownIsNotTold(t *testing.T) {
	r := request(Failure)
	was := Example(Later, Delay, "example.net")
	for name, since := range map[string]time.Time{"nothing": {}, "a moment": r.Now} {
		if words := knownReport(English, was, since, time.Time{}); strings.Contains(words, "stoodintheway") && strings.Contains(words, "waysince") {
			t.Errorf("%s: %s", name, words)
		}
	}
}
