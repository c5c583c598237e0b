package qmgr

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/outcome"
	"filbert/pkg/spool"
	"filbert/pkg/untrusted"
)

// kinds reads the kinds of failure from their package, so that none can be added
// without words for it.
func kinds(t *testing.T) []outcome.Kind {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../outcome/outcome.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []outcome.Kind
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); !ok || id.Name != "Kind" {
			return true
		}
		s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, outcome.Kind(s))
		return true
	})
	if len(out) < 30 {
		t.Fatalf("only %d kinds found", len(out))
	}
	return out
}

func TestEachKindOfWaitingHasPlainWords(t *testing.T) {
	rc := &envelope.Recipient{Address: mailaddr.MustParse("friend@far.test")}
	seen := map[string]outcome.Kind{}
	for _, k := range kinds(t) {
		if k == outcome.None {
			continue
		}
		words := whyWaits(&outcome.Outcome{Class: outcome.Deferred, Kind: k}, rc)
		if strings.Contains(words, "last attempt has failed") {
			t.Errorf("%s has no words", k)
		}
		for _, jargon := range []string{"SMTP", "MX", "DNS", "EHLO", "HELO", "RCPT", "TCP", "4.", "deferred", "transport", "policy"} {
			if strings.Contains(words, jargon) {
				t.Errorf("%s: %q is not for everybody", k, words)
			}
		}
		if other, again := seen[words]; again && whyRemote(k) == "" {
			t.Errorf("%s and %s are both %q", k, other, words)
		}
		seen[words] = k
	}
}

func TestWordsNameWhoDidNotTakeIt(t *testing.T) {
	rc := &envelope.Recipient{Address: mailaddr.MustParse("friend@far.test")}
	for _, c := range []struct {
		o    outcome.Outcome
		want string
	}{
		{outcome.Outcome{}, "it has not been tried yet"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Refused}, "far.test has refused connections"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Refused, Remote: "far.test"}, "far.test has refused connections"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.TimedOut, Remote: "mx.far.test"}, "far.test (server mx.far.test) has not answered in time"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.RcptRefused}, "far.test has put this recipient off for the moment"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Quota}, "the mailbox of friend@far.test has been full"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Locked}, "the mailbox of friend@far.test has been in use by another program"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Busy}, "it has been waiting for its turn"},
		{outcome.Outcome{Class: outcome.Deferred, Kind: "to-come"}, "the last attempt has failed"},
	} {
		if got := whyWaits(&c.o, rc); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestOurOwnTextsAreNotShown(t *testing.T) {
	rc := &envelope.Recipient{Address: mailaddr.MustParse("bob@here.test")}
	o := &outcome.Outcome{Class: outcome.Deferred, Kind: outcome.Permission, Text: untrusted.From("open /home/bob/Maildir: permission denied")}
	if got := replyOf(o, rc); got != "" {
		t.Error(got)
	}
	o.Remote = "mx.here.test"
	o.Text = untrusted.From("450 \x1b[2Jlater")
	if got := replyOf(o, rc); got == "" || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
}

func TestEachVerbOfTheLogIsToldOrPassedOver(t *testing.T) {
	rc := &envelope.Recipient{Address: mailaddr.MustParse("friend@far.test")}
	for verb, want := range map[spool.Verb]string{
		spool.Delivered: "delivered", spool.DeferredV: "put off: it has not been tried yet", spool.Failed: "given up: the last attempt has failed",
		spool.Expanded: "passed on to others", spool.Reported: "a report was sent to the sender", spool.Cancelled: "cancelled",
		spool.Warned: "the sender was told of the delay", spool.Held: "put on hold by an administrator",
		spool.Released: "released by an administrator", spool.Ongoing: "", spool.Finished: "",
	} {
		if got := whatHappened(&spool.LogLine{Verb: verb}, rc); got != want {
			t.Errorf("%s: %q, want %q", verb, got, want)
		}
	}
	l := &spool.LogLine{Verb: spool.Failed, Outcome: outcome.Outcome{Class: outcome.Failed, Kind: outcome.RcptRefused, Code: 550}}
	if got := whatHappened(l, rc); got != "given up: far.test has refused it for good (reply 550)" {
		t.Error(got)
	}
}
