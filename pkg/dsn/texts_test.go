package dsn

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestEveryTextIsThereInEveryLanguage(t *testing.T) {
	c := Shipped()
	if got := strings.Join(c.Languages(), " "); got != "de en es fr ja" {
		t.Fatalf("languages %q", got)
	}
	for _, language := range c.Languages() {
		for _, key := range Keys() {
			if c.byLanguage[language][key] == "" {
				t.Errorf("%s lacks %s", language, key)
			}
		}
	}
}

func TestEveryLanguageHasThePlaceholdersOfEnglish(t *testing.T) {
	c := Shipped()
	for _, language := range c.Languages() {
		for _, key := range Keys() {
			if key == "date" {
				continue // a language may leave out the name of the day
			}
			want, _ := placeholders(c.byLanguage[English][key])
			got, ok := placeholders(c.byLanguage[language][key])
			slices.Sort(want)
			slices.Sort(got)
			if !ok || !slices.Equal(want, got) {
				t.Errorf("%s: %s has %v, want %v", language, key, got, want)
			}
		}
	}
}

func TestShippedFilesHaveNoProblems(t *testing.T) {
	for name, data := range shippedFiles() {
		for _, p := range parseTexts(name, data).problems {
			t.Errorf("%+v", p)
		}
	}
}

func TestMistakesInTextsAreToldWithTheirLines(t *testing.T) {
	for _, c := range []struct {
		file, data string
		line       int
		what       string
	}{
		{"en", "subject.failure: {nonsense}", 1, "no placeholder {nonsense}"},
		{"en", "\nsubject.failure: {recipient", 2, "brace"},
		{"en", "subject.failure: a }", 1, "brace"},
		{"en", "subject.failure: {{recipient}}", 1, "brace"},
		{"en", "subject.nonsense: x", 1, `no text "subject.nonsense"`},
		{"en", "greeting: a\n# more\ngreeting: b", 3, "line 1 already"},
		{"en", "just words", 1, "no colon"},
		{"en", "  words", 1, "none before"},
		{"en", "greeting:", 1, "is empty"},
		{"en", "name: {site}", 1, "no placeholder {site}"},
		{"en", "greeting: a\x1b[31m", 1, "invisible"},
		{"en", "greeting: a\u202eb", 1, "invisible"},
		{"en", "greeting: \xff", 0, "UTF-8"},
		{"en", "greeting: " + strings.Repeat("x", maxText+1), 1, "more than"},
		{"en", strings.Repeat("#\n", MaxTextFile), 0, "larger"},
		{"en", "months: a, b", 1, "12 names"},
		{"de.mailbox-full", "todo: x\nsubject.failure: y", 2, "no text"},
		{"de.mailbox-full", "refused.why: y", 1, "no text"},
		{"de.nonsense", "why: x", 0, "no name"},
		{"german", "name: x", 0, "no name"},
		{"de.", "name: x", 0, "no name"},
		{"README.md", "# x", 0, "no name"},
	} {
		got, problems := Shipped().With(map[string]string{c.file: c.data})
		if got != nil || len(problems) != 1 || problems[0].Line != c.line || problems[0].File != c.file || !strings.Contains(problems[0].What, c.what) {
			t.Errorf("%s %.40q: %+v, want line %d: %s", c.file, c.data, problems, c.line, c.what)
		}
	}
}

func TestTextsOfASiteStandOverOurs(t *testing.T) {
	c, problems := Shipped().With(map[string]string{
		"de":              "greeting: Grüß Gott,\n  hier ist {site}.\nmailbox-full.why: eins",
		"de.mailbox-full": "why: zwei\ntodo:",
		"it":              "name: italiano",
		"ja":              "greeting: こんにちは\n  さようなら",
	})
	if problems != nil {
		t.Fatal(problems)
	}
	for _, x := range []struct{ language, key, want string }{
		{"de", "greeting", "Grüß Gott, hier ist {site}."},
		{"de", "mailbox-full.why", "zwei"},
		{"de", "mailbox-full.todo", ""},
		{"de", "refused.why", Shipped().text("de", "refused.why")},
		{"en", "mailbox-full.why", Shipped().text("en", "mailbox-full.why")},
		{"it", "refused.why", Shipped().text("en", "refused.why")},
		{"ja", "greeting", "こんにちはさようなら"},
	} {
		if got := c.text(x.language, x.key); got != x.want {
			t.Errorf("%s %s is %q, want %q", x.language, x.key, got, x.want)
		}
	}
}

// A value is what somebody else chose.
func TestAValueIsNeverAPlaceholder(t *testing.T) {
	got := fill("a {x} b {y}", map[string]string{"x": "{y}", "y": "z"})
	if got != "a {y} b z" {
		t.Errorf("filled to %q", got)
	}
}

func TestTextsNeverBreakTheReport(t *testing.T) {
	ours := Shipped()
	keys := slices.DeleteFunc(Keys(), func(k string) bool { return lists[k] != 0 })
	rapid.Check(t, func(t *rapid.T) {
		var file strings.Builder
		chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(keys), 1, 20, rapid.ID).Draw(t, "keys")
		for _, key := range chosen {
			text := rapid.StringMatching(`(--[a-z]{0,5}|[!-z]{0,9}|日本語、|=\?x\?=|\{(recipient|subject|reason|host)\}| |é){1,60}`).Draw(t, "text")
			file.WriteString(key + ": x" + text + "\n")
		}
		c, problems := ours.With(map[string]string{"en": file.String()})
		if problems != nil {
			if c != nil {
				t.Fatal("half of it was taken")
			}
			return
		}
		r := request(What(rapid.IntRange(1, 5).Draw(t, "what")))
		r.Texts = c
		r.Returned = []byte("Subject: " + rapid.StringMatching(`[ -~é日]{0,300}`).Draw(t, "subject") + "\r\n")
		checkLines(t, Compose(r))
	})
}

// checkLines: RFC 5322, section 2.1.1, RFC 2047, section 2, and the parts are three.
func checkLines(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte) {
	t.Helper()
	head, _, _ := strings.Cut(string(b), "\r\n\r\n")
	for _, line := range strings.Split(string(b), "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
			t.Fatalf("a line of %d octets: %.80q", len(line), line)
		}
	}
	for _, line := range strings.Split(head, "\r\n") {
		if strings.Contains(line, "=?utf-8?b?") && len(line) > 76 {
			t.Fatalf("a line of %d octets with an encoded word: %s", len(line), line)
		}
		if !utf8.ValidString(line) || !isASCII(line) {
			t.Fatalf("header line %q", line)
		}
	}
	if got := countParts(b); got != 3 {
		t.Fatalf("%d parts:\n%s", got, b)
	}
}

func FuzzTexts(f *testing.F) {
	ours := Shipped()
	f.Add("# x\ngreeting: Hello, {site}.\n  More.\nmailbox-full.todo:\n")
	f.Add("months: 1, 2, 3\nname: 日本語\n 語\n")
	f.Add("a: {\n b}\n")
	f.Fuzz(func(t *testing.T, data string) {
		c, problems := ours.With(map[string]string{"de": data})
		if (c == nil) != (len(problems) > 0) {
			t.Fatal("neither whole nor refused")
		}
		if c != nil && !slices.Equal(slices.Sorted(maps.Keys(c.byLanguage)), []string{"de", "en", "es", "fr", "ja"}) {
			t.Fatal("languages are lost")
		}
	})
}
