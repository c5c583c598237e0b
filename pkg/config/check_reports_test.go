package config

import (
	"errors"
	"strings"
	"testing"
)

func TestTextsOfTheSiteAreReadIntoTheSettings(t *testing.T) {
	l := mustLoad(t, map[string]string{
		"filbert.toml":           "[reports]\ntemplates = \"texts\"\nlanguage = \"it\"\n",
		"texts/it":               "name: italiano\n",
		"texts/de.mailbox-full":  "todo: Bitte rufen Sie an.\n",
		"texts/de.mailbox-full~": "nonsense",
		"texts/.de.swp":          "nonsense",
	})
	if got := l.Settings.Reports.Texts; len(got) != 2 || got["de.mailbox-full"] != "todo: Bitte rufen Sie an.\n" {
		t.Errorf("texts %v", got)
	}
}

func TestOnlyBounceIsGivenTheTexts(t *testing.T) {
	l := mustLoad(t, map[string]string{"filbert.toml": "reports.templates = \"texts\"\n", "texts/it": "name: italiano\n"})
	if l.Settings.For("smtpd").Reports.Texts != nil || len(l.Settings.For("bounce").Reports.Texts) != 1 {
		t.Error("not for bounce alone")
	}
}

func TestMistakesInTextsOfTheSiteAreTold(t *testing.T) {
	i := inst(t, map[string]string{
		"filbert.toml":   "reports.templates = \"texts\"\n",
		"texts/de":       "# ours\nsubject.failure: {recipent}\n",
		"texts/de.bogus": "why: x\n",
	})
	_, problems, err := Load(i.ConfigFile(), i)
	got := render(problems, i.Etc)
	if !errors.Is(err, ErrInvalid) || !strings.Contains(got, "texts/de:2:1: reports.templates: subject.failure has no placeholder {recipent}") ||
		!strings.Contains(got, "texts/de.bogus: ") {
		t.Errorf("%v:\n%s", err, got)
	}
}

func TestTextsAreBounded(t *testing.T) {
	i := inst(t, map[string]string{
		"filbert.toml": "reports.templates = \"texts\"\n",
		"texts/de":     strings.Repeat("#\n", 64<<10),
	})
	if _, problems, err := Load(i.ConfigFile(), i); !errors.Is(err, ErrInvalid) || !strings.Contains(render(problems, i.Etc), "small regular file") {
		t.Errorf("%v %v", err, problems)
	}
}
