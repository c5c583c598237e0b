package dsn

import (
	"slices"
	"strings"
	"testing"

	"filbert/pkg/mailaddr"
)

var known = []string{"de", "en", "es", "fr", "ja"}

func TestTheSendersLanguageIsGuessed(t *testing.T) {
	for _, c := range []struct{ header, sender, want string }{
		{"", "a@example.org", "en"},
		{"", "a@example.de", "de"},
		{"", "a@mail.example.at", "de"},
		{"", "a@example.ch", "de"},
		{"", "a@example.fr", "fr"},
		{"", "a@example.MX", "es"},
		{"", "a@example.co.jp", "ja"},
		{"", "a@[192.0.2.1]", "en"},
		{"Accept-Language: fr\r\n", "a@example.de", "fr"},
		{"Accept-Language: en;q=0.3, de-AT;q=0.8, fr;q=0.5\r\n", "a@example.jp", "de"},
		{"Accept-Language: de;q=0, en\r\n", "a@example.de", "en"},
		{"Accept-Language: it\r\n", "a@example.ch", "en"}, // who says what he reads is believed
		{"Accept-Language: it, fr;q=0.2\r\n", "a@example.ch", "fr"},
		{"Accept-Language: *\r\n", "a@example.de", "de"},
		{"Accept-Language: de;q=nonsense\r\n", "a@example.org", "de"},
		{"Accept-Language: de;q=NaN, fr;q=-1\r\n", "a@example.org", "de"},
		{"Accept-Language: \x00\xff,,;;=\r\n", "a@example.es", "es"},
		{"Content-Language: es-MX\r\n", "a@example.org", "es"},
		{"X-Accept-Language: ja\r\n", "a@example.org", "ja"},
		{"X-Accept-Language: ja\r\nAccept-Language: de\r\n", "a@example.org", "de"},
		{"Subject: =?ISO-2022-JP?B?GyRC?=\r\n", "a@example.org", "ja"},
		{"Subject: x\r\nContent-Type: text/plain; charset=\"ISO-2022-JP\"\r\n", "a@example.org", "ja"},
		{"Subject: =?utf-8*fr?q?x?=\r\n", "a@example.org", "fr"},
		{"Subject: =?utf-8?q?x?=\r\n", "a@example.de", "de"},
		{"Accept-Language: " + strings.Repeat("xx,", 500) + "de\r\n", "a@example.org", "en"},
	} {
		if got := Guess([]byte(c.header), mailaddr.MustParse(c.sender), known); got != c.want {
			t.Errorf("%q from %s: guessed %s, want %s", c.header, c.sender, got, c.want)
		}
	}
}

func TestOnlyKnownLanguagesAreGuessed(t *testing.T) {
	for _, header := range []string{"", "Accept-Language: de\r\n", "Subject: =?utf-8*de?q?x?=\r\n"} {
		if got := Guess([]byte(header), mailaddr.MustParse("a@example.de"), []string{"en"}); got != English {
			t.Errorf("%q: %s", header, got)
		}
	}
}

func TestTheLongestPatternDecidesTheLanguage(t *testing.T) {
	l, err := NewLanguages("en", map[string]string{
		"*": "ja", "*.example.de": "de", "*.fr.example.de": "fr", "x.fr.example.de": "es", "it.example": "it",
	}, known)
	if err != nil {
		t.Fatal(err)
	}
	for domain, want := range map[string]string{
		"a.example.de": "de", "b.fr.example.de": "fr", "x.fr.example.de": "es", "example.org": "ja",
		"it.example": "ja", // not known
	} {
		if got, guessed := l.For(mailaddr.MustParse("a@"+domain), nil); got != want || guessed {
			t.Errorf("%s: %s (guessed: %v), want %s", domain, got, guessed, want)
		}
	}
}

func TestAFixedLanguageIsNotGuessed(t *testing.T) {
	german := mailaddr.MustParse("a@example.de")
	for fixed, want := range map[string]struct {
		language string
		guessed  bool
	}{"fr": {"fr", false}, Auto: {"de", true}, "xx": {"de", true}} {
		l, err := NewLanguages(fixed, nil, known)
		if err != nil {
			t.Fatal(err)
		}
		if got, guessed := l.For(german, nil); got != want.language || guessed != want.guessed {
			t.Errorf("%s: %s, %v", fixed, got, guessed)
		}
	}
}

func FuzzGuess(f *testing.F) {
	f.Add("Accept-Language: de, en;q=0.5\r\n", "example.de")
	f.Add("Subject: =?iso-2022-jp*ja?b??=\r\n", "jp")
	f.Fuzz(func(t *testing.T, header, domain string) {
		a, err := mailaddr.New("x", domain)
		if err != nil {
			a = mailaddr.Address{}
		}
		if got := Guess([]byte(header), a, known); !slices.Contains(known, got) {
			t.Fatalf("guessed %q", got)
		}
	})
}
