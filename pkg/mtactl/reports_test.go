package mtactl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filbert/pkg/dsn"
)

func TestPreviewShowsEveryCauseInEveryLanguage(t *testing.T) {
	dir, _ := mustInit(t, "--hostname", "mail.test")
	for _, cause := range []string{"unknown-user", "mailbox-full", "greylisted", "too-large"} {
		for language, words := range map[string]string{"en": "Subject: Your message", "de": "Subject: Ihre Nachricht", "fr": "Subject: Votre message", "es": "Subject: Su mensaje", "ja": "Subject: メール"} {
			code, out, errs := run(t, dir, "reports", "preview", "--cause", cause, "--language", language)
			if code != 0 || !strings.Contains(out, words) || !strings.Contains(out, dsn.Shipped().Text(language, cause+".why")[:6]) || !strings.Contains(out, "Action: failed") {
				t.Errorf("%s %s: exit %d\n%s%s", cause, language, code, out, errs)
			}
		}
	}
}

func TestPreviewShowsEachKind(t *testing.T) {
	dir, _ := mustInit(t, "--hostname", "mail.test")
	for kind, words := range map[string]string{
		"failure": "Action: failed", "delay": "Will-Retry-Until:", "success": "Action: relayed", "after": "after all", "double": "for its postmaster|delivery report",
	} {
		code, out, errs := run(t, dir, "reports", "preview", "--kind", kind)
		if _, alternative, _ := strings.Cut(words, "|"); alternative != "" {
			words = alternative
		}
		if code != 0 || !strings.Contains(out, words) {
			t.Errorf("%s: exit %d\n%s%s", kind, code, out, errs)
		}
	}
}

func TestPreviewHasTheTextsOfTheSite(t *testing.T) {
	dir, inst := mustInit(t, "--hostname", "mail.test")
	putFile(t, filepath.Join(inst.Etc, "conf.d", "reports.toml"), "reports.templates = \"words\"\nreports.languages_by_domain = { \"*.example.org\" = \"de\" }\n")
	putFile(t, filepath.Join(inst.Etc, "words", "de.mailbox-full"), "todo: Rufen Sie {recipient} an.\n")
	_, out, errs := run(t, dir, "reports", "preview", "--cause", "mailbox-full", "--sender", "ann@x.example.org", "--recipient", "bob@example.net")
	if !strings.Contains(out, "Rufen Sie bob@example.net an.") || strings.Contains(out, "-- English --") {
		t.Errorf("preview:\n%s%s", out, errs)
	}
	putFile(t, filepath.Join(inst.Etc, "words", "de.mailbox-full"), "todo: Rufen Sie {recipent} an.\n")
	if code, _, errs := run(t, dir, "check"); code != exConfig || !strings.Contains(errs, "de.mailbox-full:1:1") || !strings.Contains(errs, "{recipent}") {
		t.Errorf("check: exit %d\n%s", code, errs)
	}
}

func putFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPreviewListsCausesAndTexts(t *testing.T) {
	dir, _ := mustInit(t, "--hostname", "mail.test")
	var causes []struct{ Cause, Why string }
	_, out, _ := run(t, dir, "reports", "preview", "--list", "--json")
	if err := json.Unmarshal([]byte(out), &causes); err != nil || len(causes) != len(dsn.Causes()) || causes[0].Why == "" {
		t.Errorf("%v:\n%s", err, out)
	}
	// What is listed can be a file of the site.
	_, out, _ = run(t, dir, "reports", "preview", "--keys", "--language", "ja")
	if _, problems := dsn.Shipped().With(map[string]string{"ja": out}); problems != nil {
		t.Errorf("problems %v", problems)
	}
}

func TestPreviewRefusesWhatThereIsNot(t *testing.T) {
	dir, _ := mustInit(t, "--hostname", "mail.test")
	for _, args := range [][]string{{"--cause", "nonsense"}, {"--language", "xx"}, {"--kind", "x"}, {"--sender", "@"}} {
		if code, _, errs := run(t, dir, append([]string{"reports", "preview"}, args...)...); code != exUsage && code != exDataErr || !strings.Contains(errs, "\n    ") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}
