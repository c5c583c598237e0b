package dsn

import (
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

var update = flag.Bool("update", false, "write the expected reports anew")

// countParts counts the parts of a report, 0 for none.
func countParts(b []byte) int {
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		return 0
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return 0
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for n := 0; ; n++ {
		if _, err := r.NextPart(); err == io.EOF {
			return n
		} else if err != nil {
			return 0
		}
	}
}

var kinds = map[string]What{"failure": Failure, "delay": Delay, "success": Success, "double": Double, "after": After}

// TestReportsInEveryLanguage holds what a person reads against testdata; look at
// the difference, then -update.
func TestReportsInEveryLanguage(t *testing.T) {
	texts := Shipped()
	for _, language := range texts.Languages() {
		for name, what := range kinds {
			r := request(what)
			r.Texts, r.Language, r.Guessed = texts, language, what == Failure
			r.Envelope.Arrived = r.Now.Add(-5 * time.Hour)
			r.GiveUpAt = r.Now.Add(72 * time.Hour)
			r.Envelope.Recipients = append(r.Envelope.Recipients, envelope.Recipient{
				Address: mailaddr.MustParse("carol@example.com"), Lineage: []mailaddr.Address{mailaddr.MustParse("staff@example.com")},
			})
			second := outcome.Outcome{Class: outcome.Failed, Kind: outcome.Expired, Text: untrusted.From("connection refused")}
			if what == Delay || what == Success {
				r.Outcomes[0].Class, r.Outcomes[0].Code, second.Class, second.Kind = outcome.Deferred, 450, outcome.Deferred, outcome.Refused
			}
			if what == Success {
				second = outcome.Outcome{Class: outcome.Delivered, Relayed: true, Remote: "mx.example.com"}
			}
			r.Outcomes = append(r.Outcomes, second)
			golden(t, language+"."+name, Compose(r))
		}
	}
}

var boundaries = regexp.MustCompile(`filbert-report-[0-9a-f]{16}-0`)

// golden compares the header and the decoded first part.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	checkLines(t, b)
	m, _, texts := parts(t, b)
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(b), "\r\n\r\n")
	got := strings.ReplaceAll(boundaries.ReplaceAllString(head, "BOUNDARY")+"\r\n\r\n== "+subject+" ==\r\n"+texts[0], "\r\n", "\n")
	file := filepath.Join("testdata", "reports", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s is not as expected (%v):\n%s", name, err, got)
	}
}
