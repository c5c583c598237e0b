package dsn

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

func request(what What) *Request {
	env := &envelope.Envelope{
		ID: 1 << 40, Arrived: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		Sender:     mailaddr.MustParse("ann@example.org"),
		Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("bob@example.net")}},
		Client:     envelope.Client{Addr: netip.MustParseAddr("192.0.2.1"), HELO: untrusted.From("pc.example.org")},
	}
	return &Request{
		What: what, Hostname: "mail.example.org", Contact: "postmaster@example.org",
		To: env.Sender, Now: time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC), Envelope: env,
		Outcomes: []outcome.Outcome{{
			Class: outcome.Failed, Kind: outcome.RcptRefused, Code: 550, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1},
			Text: untrusted.From("550 5.1.1 no such user"), Remote: "mx.example.net",
		}},
		Returned: []byte("Subject: Lunch?\r\nMessage-ID: <1@pc.example.org>\r\n"),
	}
}

// parts takes a report apart with the standard library.
func parts(t *testing.T, b []byte) (*mail.Message, []string, []string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %q %v, %v", kind, params, err)
	}
	var kinds, texts []string
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextPart() // quoted-printable is decoded
		if err == io.EOF {
			return m, kinds, texts
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		k, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		kinds, texts = append(kinds, k), append(texts, string(body))
	}
}

func TestReportHasThreePartsInOrder(t *testing.T) {
	_, kinds, _ := parts(t, Compose(request(Failure)))
	want := []string{"text/plain", "message/delivery-status", "text/rfc822-headers"}
	if strings.Join(kinds, " ") != strings.Join(want, " ") {
		t.Errorf("parts %v, want %v", kinds, want)
	}
}

func TestPlainWordsComeFirst(t *testing.T) {
	_, _, texts := parts(t, Compose(request(Failure)))
	for _, want := range []string{"bob@example.net", "Lunch?", "could not be delivered", "check the spelling", "postmaster@example.org", "no such user"} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("the first part does not say %q:\n%s", want, texts[0])
		}
	}
}

func TestStatusFieldsOfEachReport(t *testing.T) {
	for what, want := range map[What][]string{
		Failure: {"Action: failed\r\n", "Status: 5.1.1\r\n", "Diagnostic-Code: smtp; 550", "Remote-MTA: dns; mx.example.net"},
		Delay:   {"Action: delayed\r\n", "Status: 4.1.1\r\n", "Will-Retry-Until: "},
		Success: {"Action: delivered\r\n", "Status: 2.1.1\r\n"},
	} {
		r := request(what)
		r.GiveUpAt = r.Now.Add(time.Hour)
		_, _, texts := parts(t, Compose(r))
		for _, w := range append(want, "Reporting-MTA: dns; mail.example.org\r\n", "Final-Recipient: rfc822; bob@example.net\r\n") {
			if !strings.Contains(texts[1], w) {
				t.Errorf("report %d lacks %q:\n%s", what, w, texts[1])
			}
		}
	}
}

func TestOriginalRecipientAndEnvelopeIDComeBack(t *testing.T) {
	r := request(Failure)
	r.Envelope.EnvID = untrusted.From("QQ314159")
	r.Envelope.Recipients[0].OrigType, r.Envelope.Recipients[0].Orig = "rfc822", untrusted.From("robert@example.net")
	_, _, texts := parts(t, Compose(r))
	for _, w := range []string{"Original-Envelope-Id: QQ314159\r\n", "Original-Recipient: rfc822; robert@example.net\r\n"} {
		if !strings.Contains(texts[1], w) {
			t.Errorf("lacks %q:\n%s", w, texts[1])
		}
	}
}

func TestPeersTextStaysInItsPlace(t *testing.T) {
	r := request(Failure)
	r.Outcomes[0].Text = untrusted.From("550 no\r\n\r\n--x\r\nBcc: victim@example.com\r\n\x00\x1b[2J")
	r.Outcomes[0].Remote = "evil\r\nX-Injected: yes"
	r.Envelope.EnvID = untrusted.From("a\r\nX-Injected: yes")
	b := Compose(r)
	if bytes.Contains(b, []byte("\r\nX-Injected")) || bytes.Contains(b, []byte("\r\nBcc:")) || bytes.ContainsAny(b, "\x00\x1b") {
		t.Errorf("a peer's text broke out:\n%s", b)
	}
}

func TestOutputOfACommandIsQuotedOnce(t *testing.T) {
	r := request(Failure)
	r.Outcomes[0] = outcome.Fail(outcome.Command, smtp.Status{Class: 5, Subject: 3}, "the command ended with status 1: I am sorry, Dave")
	r.Output = []untrusted.Text{untrusted.From("I am sorry, Dave\nask Hal\n")}
	_, _, texts := parts(t, Compose(r))
	if n := strings.Count(texts[0], "I am sorry, Dave"); n != 1 || !strings.Contains(texts[0], "ask Hal") {
		t.Errorf("quoted %d times:\n%s", n, texts[0])
	}
}

func TestBoundaryOccursInNoPart(t *testing.T) {
	r := request(Failure)
	b := Compose(r)
	i := bytes.Index(b, []byte("boundary=\"")) + len("boundary=\"")
	first := string(b[i : i+bytes.IndexByte(b[i:], '"')])
	if !occurs(first, [][]byte{[]byte("x" + first)}) {
		t.Fatal("occurs does not see")
	}
	r.Full, r.Returned = true, []byte("Subject: x\r\n\r\n--"+first+"\r\n")
	_, kinds, _ := parts(t, Compose(r))
	if len(kinds) != 3 {
		t.Errorf("%d parts", len(kinds))
	}
}

func TestEveryKindHasACause(t *testing.T) {
	for _, k := range []outcome.Kind{
		outcome.Refused, outcome.TimedOut, outcome.Unreachable, outcome.LostConnection, outcome.Protocol, outcome.TLS, outcome.Auth,
		outcome.Greeting, outcome.HELO, outcome.MailRefused, outcome.RcptRefused, outcome.DataRefused, outcome.NoMX, outcome.NullMX,
		outcome.NoDomain, outcome.DNS, outcome.Loop, outcome.UnknownUser, outcome.Policy, outcome.Content, outcome.Quota,
		outcome.DiskFull, outcome.Locked, outcome.HomeMissing, outcome.Permission, outcome.Command, outcome.Busy, outcome.Internal,
		outcome.Expired, outcome.Cancelled, outcome.Returned,
	} {
		for _, class := range []outcome.Class{outcome.Failed, outcome.Deferred} {
			if c := CauseOf(&outcome.Outcome{Class: class, Kind: k}); c == Other || !slices.Contains(Causes(), c) {
				t.Errorf("%s, %s: cause %q", k, class, c)
			}
		}
	}
	if c := CauseOf(&outcome.Outcome{Kind: "unheard-of"}); c != Other {
		t.Errorf("an unknown kind is %q", c)
	}
}

func TestReferencesOnlyAPlainMessageID(t *testing.T) {
	for id, want := range map[string]bool{
		"<1@pc.example.org>": true, "<a b@c>": false, "<1@x>\r\n\tBcc: y": false, "x@y": false, "<@@>": false,
	} {
		r := request(Failure)
		r.Returned = []byte("Message-ID: " + id + "\r\n")
		if got := bytes.Contains(Compose(r), []byte("In-Reply-To:")); got != want {
			t.Errorf("%q referenced: %v, want %v", id, got, want)
		}
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("550 no", "Subject: x\r\n", "host")
	f.Add(strings.Repeat("x", 5000), "\r\n.\r\n", "h\r\nost")
	f.Add("\xff\x00\u202e", "Subject: \xff\r\n\r\n", "")
	ours := Shipped()
	f.Fuzz(func(t *testing.T, text, returned, remote string) {
		r := request(Failure)
		r.Texts, r.Language, r.Guessed = ours, "ja", true
		r.Outcomes[0].Text, r.Outcomes[0].Remote = untrusted.From(text), remote
		var clean []byte
		clean = new(message.NormalizeLocal).Append(clean, []byte(returned))
		r.Returned = new(message.NormalizeLocal).Finish(clean)
		b := Compose(r)
		var seen message.CheckContent
		_, _ = seen.Write(b[:len(b)-len(r.Returned)])
		if seen.BareCR() || seen.BareLF() {
			t.Fatalf("bare line end in %q", b)
		}
		ours, _, _ := bytes.Cut(b, []byte("Content-Description: Header of the message"))
		for _, line := range bytes.Split(ours, []byte("\r\n")) {
			if len(line) > 998 { // RFC 5322, section 2.1.1
				t.Fatalf("a line of %d octets: %q", len(line), line)
			}
		}
		head, _, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok {
			t.Fatal("no header")
		}
		for _, c := range head {
			if c > 126 || c < ' ' && c != '\r' && c != '\n' && c != '\t' {
				t.Fatalf("octet %d in the header", c)
			}
		}
	})
}

// RFC 3464, section 2.3.3.
func TestActionOfASuccess(t *testing.T) {
	for _, c := range []struct {
		o            outcome.Outcome
		action, word string
	}{
		{outcome.Outcome{Class: outcome.Delivered}, "delivered", "was delivered"},
		{outcome.Outcome{Class: outcome.Delivered, Relayed: true}, "relayed", "does not confirm"},
		{outcome.Outcome{Class: outcome.Expanded}, "expanded", "several recipients"},
	} {
		r := request(Success)
		r.Outcomes[0] = c.o
		text := string(Compose(r))
		if !strings.Contains(text, "Action: "+c.action+"\r\n") || !strings.Contains(text, c.word) {
			t.Errorf("%s:\n%s", c.action, text)
		}
	}
}

// withWords is a report in which a command's output is what the site has to say.
func withWords(text string) *Request {
	r := request(Failure)
	r.Outcomes[0] = outcome.Outcome{
		Class: outcome.Failed, Kind: outcome.UnknownUser, Status: smtp.Status{Class: 5, Subject: 1, Detail: 1},
		Text: untrusted.From("first line of the words"),
	}
	r.Output, r.Words = []untrusted.Text{untrusted.From(text)}, []bool{true}
	return r
}

func TestWordsOfTheSiteStandInPlaceOfOurs(t *testing.T) {
	_, _, texts := parts(t, Compose(withWords("Bob has left.\nDid you mean\n   rob@example.net?\n\n\nThe staff of example.net\n")))
	want := "<bob@example.net>\r\n    Bob has left.\r\n    Did you mean\r\n    rob@example.net?\r\n\r\n    The staff of example.net\r\n"
	if !strings.Contains(texts[0], want) {
		t.Errorf("first part:\n%s", texts[0])
	}
	for _, ours := range []string{"nobody of this name", "The program said", "|"} {
		if strings.Contains(texts[0], ours) {
			t.Errorf("%q stands beside them:\n%s", ours, texts[0])
		}
	}
	if strings.Contains(texts[1], "left") || strings.Contains(texts[1], "Diagnostic-Code") || !strings.Contains(texts[1], "Status: 5.1.1") {
		t.Errorf("technical part:\n%s", texts[1])
	}
}

func TestWordsOfTheSiteAreTextAndNothingElse(t *testing.T) {
	b := Compose(withWords("a\x1b[31mred\x00\rover\u202e\nFrom: x\n--filbert-report\n.\n" + strings.Repeat("long ", 3000)))
	_, kinds, texts := parts(t, b)
	if len(kinds) != 3 || len(texts[0]) > 3*untrusted.MaxReport {
		t.Fatalf("%d parts, the first of %d octets", len(kinds), len(texts[0]))
	}
	if strings.ContainsAny(strings.ReplaceAll(texts[0], "\r\n", ""), "\x1b\x00\r") || strings.Contains(texts[0], "\u202e") {
		t.Errorf("controls:\n%q", texts[0])
	}
	for _, line := range strings.Split(texts[0], "\r\n") {
		for _, theirs := range []string{"From:", "--filbert", "."} {
			if strings.HasPrefix(line, theirs) {
				t.Errorf("a line of theirs at the beginning: %q", line)
			}
		}
	}
}

func TestWordsOfTheSiteMayBeOfAnyLanguage(t *testing.T) {
	_, _, texts := parts(t, Compose(withWords("Bob ist umgezogen: Grüße\n")))
	if !strings.Contains(texts[0], "Bob ist umgezogen: Grüße") {
		t.Errorf("report:\n%s", texts[0])
	}
}

func TestOutputOfAPipeThatFailedIsQuoted(t *testing.T) {
	r := withWords("it broke")
	r.Words = nil
	_, _, texts := parts(t, Compose(r))
	if !strings.Contains(texts[0], "The program said:\r\n    | it broke") || !strings.Contains(texts[1], "Diagnostic-Code") {
		t.Errorf("report:\n%s\n%s", texts[0], texts[1])
	}
}

// RFC 4865, section 5.1.2: reports tell what the sender of a held message asked for.
func TestReportTellsOfTheHold(t *testing.T) {
	r := request(Failure)
	release := r.Envelope.Arrived.Add(time.Hour)
	for want, w := range map[string]envelope.Wishes{
		"\r\nFuture-Release-Request: for;3600\r\n":                   {ReleaseAt: release, HoldFor: time.Hour},
		"\r\nFuture-Release-Request: until;2026-03-01T13:00:00Z\r\n": {ReleaseAt: release},
	} {
		r.Envelope.Wishes = w
		if text := string(Compose(r)); !strings.Contains(text, want) || !strings.Contains(text, "\r\nArrival-Date: ") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if r.Envelope.Wishes = (envelope.Wishes{}); strings.Contains(string(Compose(r)), "Future-Release") {
		t.Error("a hold is told that nobody asked for")
	}
}
