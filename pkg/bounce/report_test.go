package bounce

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/event"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/service"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
	"filbert/pkg/wire"
)

// cleanup answers submissions with a function.
type cleanup func(*proto.Submission) (proto.Acceptance, error)

func (c cleanup) Call(_ context.Context, req, reply ipc.Message, _ ...*os.File) (err error) {
	*reply.(*proto.Acceptance), err = c(req.(*proto.Submission))
	return err
}

const original = "Subject: hello\r\n\r\nThe body of it.\r\n"

func newBounce(c cleanup) *Bounce {
	b := New()
	b.log, b.board, b.cleanup = event.Discard(), service.NewScoreboard(time.Now), c
	s := settings.Default()
	s.Hostname = "mail.example.org"
	b.install(s)
	return b
}

func failure() *proto.Report {
	return &proto.Report{
		What: proto.ReportFailure,
		Envelope: envelope.Envelope{
			ID: 77, Source: envelope.FromSMTP, Sender: mailaddr.MustParse("ann@example.org"),
			Recipients: []envelope.Recipient{{Address: mailaddr.MustParse("bob@example.net")}},
		},
		Outcomes: []outcome.Outcome{{Class: outcome.Failed, Text: untrusted.From("no such user")}},
		Output:   []untrusted.Text{untrusted.From("printed by a command")},
		Content:  proto.Content{Inline: []byte(original), Size: int64(len(original))},
	}
}

func TestReportReturnsTheMessage(t *testing.T) {
	var text string
	b := newBounce(func(s *proto.Submission) (proto.Acceptance, error) {
		text = string(s.Content.Inline)
		if !s.Envelope.Sender.IsNull() || s.Envelope.Recipients[0].Notify != envelope.NotifyNever {
			t.Errorf("somebody could answer it: %+v", s.Envelope)
		}
		return proto.Acceptance{Code: 250}, nil
	})
	if done := b.report(t.Context(), &ipc.Call{}, failure()); !done.Done || !done.Sent {
		t.Errorf("got %+v", done)
	}
	if !strings.Contains(text, original) || !strings.Contains(text, "printed by a command") {
		t.Errorf("report:\n%s", text)
	}
}

// A sender must hear of a failure, if need be without what could not be returned.
func TestReportThatIsRefusedIsSentWithLess(t *testing.T) {
	for _, most := range []int{3, 2} {
		tries := 0
		var last string
		b := newBounce(func(s *proto.Submission) (proto.Acceptance, error) {
			last = string(s.Content.Inline)
			if tries++; tries < most {
				if most == 3 {
					return proto.Acceptance{}, ipc.ErrTooBig
				}
				return proto.Acceptance{Code: 552}, nil
			}
			return proto.Acceptance{Code: 250}, nil
		})
		done := b.report(t.Context(), &ipc.Call{}, failure())
		if !done.Done || !done.Sent || tries != most || strings.Contains(last, "The body") || !strings.Contains(last, "bob@example.net") {
			t.Errorf("%+v after %d tries:\n%s", done, tries, last)
		}
	}
}

func TestReportThatNobodyEverTakesEnds(t *testing.T) {
	b := newBounce(func(*proto.Submission) (proto.Acceptance, error) { return proto.Acceptance{Code: 554}, nil })
	if done := b.report(t.Context(), &ipc.Call{}, failure()); !done.Done || done.Sent {
		t.Errorf("got %+v", done)
	}
}

func TestReportThatCanNotBeTakenNowIsAskedForAgain(t *testing.T) {
	tries := 0
	b := newBounce(func(*proto.Submission) (proto.Acceptance, error) {
		tries++
		return proto.Acceptance{Code: 452, Text: "full"}, nil
	})
	if done := b.report(t.Context(), &ipc.Call{}, failure()); done.Done || tries != 1 {
		t.Errorf("got %+v after %d tries", done, tries)
	}
	b.cleanup = cleanup(func(*proto.Submission) (proto.Acceptance, error) { return proto.Acceptance{}, ipc.ErrGone })
	if done := b.report(t.Context(), &ipc.Call{}, failure()); done.Done {
		t.Errorf("got %+v", done)
	}
}

// What the site has to say is the report's point: it stays when the rest has to go.
func TestWordsOfTheSiteStayWhenLessIsSent(t *testing.T) {
	var last string
	tries := 0
	b := newBounce(func(s *proto.Submission) (proto.Acceptance, error) {
		last = string(s.Content.Inline)
		tries++
		return proto.Acceptance{Code: 552}, nil
	})
	m := failure()
	m.Words = []bool{true}
	if done := b.report(t.Context(), &ipc.Call{}, m); !done.Done || tries != 3 {
		t.Errorf("%+v after %d tries", done, tries)
	}
	if !strings.Contains(last, "\r\n    printed by a command\r\n") || strings.Contains(last, "The body") {
		t.Errorf("the least:\n%s", last)
	}
}

func TestReportKeepsWhichOutputIsWords(t *testing.T) {
	m := failure()
	m.Words = []bool{true}
	var e wire.Encoder
	m.EncodeTo(&e)
	var got proto.Report
	d := wire.NewDecoder(e.Buf)
	got.DecodeFrom(d)
	if err := d.Finish(); err != nil || len(got.Words) != 1 || !got.Words[0] {
		t.Errorf("%v, words %v", err, got.Words)
	}
}

func withHeader(m *proto.Report, header string) *proto.Report {
	text := header + original
	m.Content = proto.Content{Inline: []byte(text), Size: int64(len(text))}
	return m
}

// made is the report that is made of a request, "" for none.
func made(t *testing.T, m *proto.Report, set func(*settings.Settings)) string {
	t.Helper()
	var text string
	b := newBounce(func(s *proto.Submission) (proto.Acceptance, error) {
		text = string(s.Content.Inline)
		return proto.Acceptance{Code: 250}, nil
	})
	if set != nil {
		s := *b.site.Load().Settings
		set(&s)
		b.install(&s)
	}
	if done := b.report(t.Context(), &ipc.Call{}, m); !done.Done || done.Sent != (text != "") {
		t.Errorf("got %+v with a report of %d octets", done, len(text))
	}
	return text
}

func TestListsAndProgramsAreNotToldOfDelays(t *testing.T) {
	for header, want := range map[string]bool{
		"":                                   true,
		"Auto-Submitted: no\r\n":             true,
		"Auto-Submitted: No; x=y\r\n":        true,
		"Precedence: first-class\r\n":        true,
		"Precedence: bulk\r\n":               false,
		"Precedence:  LIST \r\n":             false,
		"precedence: junk\r\n":               false,
		"List-Id: <l.example.org>\r\n":       false,
		"Auto-Submitted: auto-replied\r\n":   false,
		"Auto-Submitted: auto-generated\r\n": false,
	} {
		for _, what := range []proto.ReportKind{proto.ReportDelay, proto.ReportAfter, proto.ReportFailure} {
			m := withHeader(failure(), header)
			m.What = what
			got := made(t, m, func(s *settings.Settings) { s.Reports.DeliveredAfterWarning = true })
			if sent := got != ""; sent != (want || what == proto.ReportFailure) {
				t.Errorf("%q, report %d: sent %v", header, what, sent)
			}
		}
	}
}

func TestOwnersOfListsAreNotToldOfDelays(t *testing.T) {
	owner := mailaddr.MustParse("owner@example.org")
	m := failure()
	m.What, m.Envelope.Sender, m.Envelope.Recipients[0].ErrorsTo = proto.ReportDelay, owner, &owner
	if got := made(t, m, nil); got != "" {
		t.Errorf("told:\n%s", got)
	}
	m.What = proto.ReportFailure
	if got := made(t, m, nil); got == "" {
		t.Error("not told of a failure")
	}
}

func TestAfterIsOnlyToldOnRequest(t *testing.T) {
	m := failure()
	m.What, m.Outcomes[0].Class = proto.ReportAfter, outcome.Delivered
	if got := made(t, m, nil); got != "" {
		t.Errorf("told:\n%s", got)
	}
	on := func(s *settings.Settings) { s.Reports.DeliveredAfterWarning = true }
	if got := made(t, m, on); !strings.Contains(got, "after all") || !strings.Contains(got, "Action: delivered") {
		t.Errorf("report:\n%s", got)
	}
	m.Envelope.Recipients[0].Notify = envelope.NotifySuccess | envelope.NotifyDelay
	if got := made(t, m, on); got != "" {
		t.Errorf("told besides the confirmation:\n%s", got)
	}
}

func TestReportsAreInTheSendersLanguage(t *testing.T) {
	owner := mailaddr.MustParse("owner@example.org")
	german := func() *proto.Report { return withHeader(failure(), "Accept-Language: de\r\n") }
	for name, c := range map[string]struct {
		m    *proto.Report
		set  func(*settings.Settings)
		want string
	}{
		"guessed":   {german(), nil, "\r\nContent-Language: de, en\r\n"},
		"fixed":     {german(), func(s *settings.Settings) { s.Reports.Language = "fr" }, "\r\nContent-Language: fr\r\n"},
		"by domain": {german(), func(s *settings.Settings) { s.Reports.LanguagesByDomain = map[string]string{"example.org": "ja"} }, "\r\nContent-Language: ja\r\n"},
		"nothing":   {failure(), nil, "\r\nContent-Language: en\r\n"},
		"another's message": {func() *proto.Report {
			m := german()
			m.Envelope.Sender, m.Envelope.Recipients[0].ErrorsTo = owner, &owner
			return m
		}(), nil, "\r\nContent-Language: en\r\n"},
	} {
		if got := made(t, c.m, c.set); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestTextsOfTheSiteAreSpokenWholeOrNotAtAll(t *testing.T) {
	set := func(texts map[string]string) func(*settings.Settings) {
		return func(s *settings.Settings) { s.Reports.Texts = texts }
	}
	if got := made(t, failure(), set(map[string]string{"en": "greeting: Hello from us."})); !strings.Contains(got, "\r\nHello from us.\r\n") {
		t.Errorf("report:\n%s", got)
	}
	if got := made(t, failure(), set(map[string]string{"en": "greeting: Hello from us.", "de": "bogus"})); got == "" || strings.Contains(got, "Hello") {
		t.Errorf("report:\n%s", got)
	}
}
