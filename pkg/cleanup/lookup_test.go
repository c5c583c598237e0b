package cleanup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/ipc"
	"filbert/pkg/mailaddr"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// tables is a router that has lookups.
type tables struct {
	values  map[string][]string // "NAME KEY"
	trouble string
	gone    error
	hold    chan struct{} // not nil: each call waits for a value or the end

	mu    sync.Mutex // guards values, trouble, gone, asked
	asked []string
}

func (f *tables) breakDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.trouble = "down"
}

// askedSince gives what was asked since it was asked for last.
func (f *tables) askedSince() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

func (f *tables) Call(ctx context.Context, req, reply ipc.Message, _ ...*os.File) error {
	q := req.(*proto.LookupQuery)
	f.mu.Lock()
	f.asked = append(f.asked, q.Name+" "+q.Key)
	f.mu.Unlock()
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone != nil {
		return f.gone
	}
	a := reply.(*proto.LookupAnswer)
	a.Values, a.Found = f.values[q.Name+" "+q.Key]
	a.Trouble = f.trouble
	return nil
}

func fullNames(sources ...string) settings.Rewrite {
	return settings.Rewrite{Name: "full", Sources: sources, Match: "*@bar.com", To: "{lookup:full:1}@bar.com"}
}

func lookupRig(t *testing.T, caller string, f *tables, rules ...settings.Rewrite) (*rig, *pages) {
	r, log := rewritingRig(t, caller, rules...)
	r.c.router = f
	return r, log
}

func TestRulesAskEachKeyOfAMessageOnce(t *testing.T) {
	f := &tables{values: map[string][]string{"full me": {"My.Name", "Other"}}}
	r, _ := lookupRig(t, "smtpd", f, fullNames("all"))
	m := letter("From: Me <me@bar.com>\r\nTo: ME@bar.com, nobody@bar.com, nobody@bar.com, x@foo.com\r\n\r\nme@bar.com\r\n")
	m.Envelope.Sender = mailaddr.MustParse("Me@bar.com")
	if got := r.submit(m); got.Code != 250 {
		t.Fatalf("answer %+v", got)
	}
	envs, texts := r.kept()
	want := "From: Me <My.Name@bar.com>\r\nTo: My.Name@bar.com, nobody@bar.com, nobody@bar.com, x@foo.com\r\n\r\nme@bar.com\r\n"
	if !strings.HasSuffix(texts[0], want) || envs[0].Sender.String() != "My.Name@bar.com" {
		t.Errorf("sender %s:\n%s", envs[0].Sender, texts[0])
	}
	if got := strings.Join(f.askedSince(), ", "); got != "full me, full nobody" {
		t.Errorf("asked %s", got)
	}
}

func TestNobodyIsAskedWhereNoRuleForTheMessageDoes(t *testing.T) {
	elsewhere := fullNames("all")
	elsewhere.Listeners = []string{"sendmail"}
	f := &tables{gone: errors.New("asked")}
	r, _ := lookupRig(t, "smtpd", f, strip("all"), elsewhere)
	if got := r.submit(barLetter(barred)); got.Code != 250 {
		t.Errorf("answer %+v", got)
	}
	if asked := f.askedSince(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
}

func TestAMessageWaitsAtItsSenderWhileALookupDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		f      *tables
		source string
	}{
		"trouble in the header":   {&tables{trouble: "the directory is down"}, "from"},
		"trouble in the envelope": {&tables{trouble: "the directory is down"}, "envelope-sender"},
		"recipients":              {&tables{trouble: "the directory is down"}, "envelope-recipients"},
		"no router":               {&tables{gone: ipc.ErrGone}, "from"},
	} {
		for _, caller := range []string{"smtpd", "pickup", "bounce"} {
			r, log := lookupRig(t, caller, c.f, fullNames(c.source))
			m := letter("From: me@bar.com\r\n\r\n")
			m.Envelope.Sender = mailaddr.MustParse("me@bar.com")
			m.Envelope.Recipients[0].Address = mailaddr.MustParse("you@bar.com")
			r.refused(r.submit(m), 451, "4.3.0")
			if !strings.Contains(log.String(), "rule full") || !strings.Contains(log.String(), ": full: ") {
				t.Errorf("%s: the log does not tell of the rule and the lookup:\n%s", name, log)
			}
		}
	}
}

func TestALargeMessageThatCanNotBeRewrittenLeavesNothing(t *testing.T) {
	for _, source := range []string{"from", "envelope-sender"} {
		r, _ := lookupRig(t, "smtpd", &tables{trouble: "down"}, fullNames(source), settings.Rewrite{
			Name: "s", Sources: []string{"envelope-sender"}, Match: "*", To: "me@bar.com", Then: "again",
		})
		got, err := r.submitLarge("From: me@bar.com\r\n\r\n"+strings.Repeat("body\r\n", 50_000), true)
		if err != nil {
			t.Fatal(err)
		}
		r.refused(got, 451, "4.3.0")
		for e, err := range r.disk.ReadDir("incoming") {
			if err == nil && len(e.Name) == 11 {
				t.Errorf("%s is left behind", e.Name)
			}
		}
	}
}

func TestTheLookupsOfAMessageAreBounded(t *testing.T) {
	f := &tables{}
	r, _ := lookupRig(t, "smtpd", f, fullNames("to"))
	s := *r.c.settings.Load()
	s.Limits.HeaderSize = 1 << 20
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	to := func(n int) string {
		var b strings.Builder
		b.WriteString("To: ")
		for i := range n {
			fmt.Fprintf(&b, "u%d@bar.com,\r\n ", i)
		}
		return b.String() + "x@foo.com\r\n\r\n"
	}
	if got := r.submit(letter(to(maxLookups))); got.Code != 250 {
		t.Errorf("answer %+v", got)
	}
	f.askedSince()
	got := r.submit(letter(to(maxLookups + 1)))
	if asked := f.askedSince(); got.Code != 451 || len(asked) != maxLookups {
		t.Errorf("answer %+v after %d keys", got, len(asked))
	}
}

func TestAMessageThatWaitsForALookupHoldsUpNoOther(t *testing.T) {
	f := &tables{hold: make(chan struct{})}
	r, _ := lookupRig(t, "smtpd", f, fullNames("from"))
	first := make(chan proto.Acceptance)
	go func() {
		var got proto.Acceptance
		if err := r.client.Call(context.Background(), letter("From: me@bar.com\r\n\r\n"), &got); err != nil {
			t.Error(err)
		}
		first <- got
	}()
	if got := r.submit(letter("From: me@foo.com\r\n\r\n")); got.Code != 250 {
		t.Errorf("the second: %+v", got)
	}
	f.hold <- struct{}{}
	if got := <-first; got.Code != 250 {
		t.Errorf("the first: %+v", got)
	}
}

func TestRulesOfTheWayOutAreNotForWhatComesIn(t *testing.T) {
	r, _ := rewritingRig(t, "smtpd", strip("all"))
	s := *r.c.settings.Load()
	s.Transports = map[string]settings.Transport{"smtp": {Driver: "smtp", Rewrites: []string{"strip"}}}
	if err := r.c.configure(&s); err != nil {
		t.Fatal(err)
	}
	r.submit(barLetter(barred))
	if envs, texts := r.kept(); !strings.HasSuffix(texts[0], barred) || envs[0].Sender.String() != "me@pc.bar.com" {
		t.Errorf("from %s\n%s", envs[0].Sender, texts[0])
	}
}

// TestBareNamesAreQualifiedByListenerAndField: qualification is a rule like
// others, and so may differ by door and by place.
func TestBareNamesAreQualifiedByListenerAndField(t *testing.T) {
	rule := func(name, domain, door string, sources ...string) settings.Rewrite {
		return settings.Rewrite{Name: name, Sources: sources, Listeners: []string{door}, Match: "/^[^@]+$/", To: "*@" + domain}
	}
	fields := []string{"From", "Sender", "Reply-To", "To", "Cc", "Bcc", "X-Owner"}
	rules := []settings.Rewrite{
		rule("students", "students.bar.com", "students", "headers", "x-owner"),
		rule("staff-to", "staff.bar.com", "staff", "to", "cc"),
		rule("staff", "bar.com", "staff", "all", "x-owner"),
	}
	for door, want := range map[string]func(field string) string{
		"students": func(string) string { return "@students.bar.com" },
		"staff": func(field string) string {
			if field == "To" || field == "Cc" {
				return "@staff.bar.com"
			}
			return "@bar.com"
		},
		"mx": func(string) string { return "" },
	} {
		r, _ := rewritingRig(t, "smtpd", rules...)
		var in, out strings.Builder
		for _, f := range fields {
			fmt.Fprintf(&in, "%s: Ada <ada> (x), \"b c\",\r\n\tG: d;, e@f.example\r\n", f)
			fmt.Fprintf(&out, "%s: Ada <ada%[2]s> (x), \"b c\"%[2]s,\r\n\tG: d%[2]s;, e@f.example\r\n", f, want(f))
		}
		m := letter(in.String() + "\r\n")
		m.Envelope.Client.Port = door
		m.Envelope.Sender = mailaddr.MustParse("ada@x.example")
		if got := r.submit(m); got.Code != 250 {
			t.Fatalf("%s: answer %+v", door, got)
		}
		if _, texts := r.kept(); !strings.HasSuffix(texts[0], out.String()+"\r\n") {
			t.Errorf("%s:\n%s, want\n%s", door, texts[0], out.String())
		}
	}
}

func TestOtherWaysOfWritingAreForLocalRecipientsOfDomainsOfOurs(t *testing.T) {
	for _, c := range []struct {
		caller, to, want string
	}{
		{"pickup", "user%far.example@here.example", "user@far.example"},
		{"pickup", "far.example!user", "user@far.example"},
		{"pickup", "user%host@other.example", "user%host@other.example"},
		{"pickup", "a!b%c@here.example", "a!b%c@here.example"},
		{"smtpd", "user%far.example@here.example", "user%far.example@here.example"},
		{"bounce", "user%far.example@here.example", "user%far.example@here.example"},
	} {
		f := &tables{values: map[string][]string{"ours here.example": {"yes"}}}
		r, _ := lookupRig(t, c.caller, f)
		s := *r.c.settings.Load()
		s.Domains.Local, s.Domains.Syntax = []string{"lookup:ours"}, []string{"percent", "bang"}
		if err := r.c.configure(&s); err != nil {
			t.Fatal(err)
		}
		m := letter("Subject: x\r\n\r\n")
		m.Envelope.Recipients = []envelope.Recipient{{Address: mailaddr.MustParse(c.to)}}
		if got := r.submit(m); got.Code != 250 {
			t.Fatalf("answer %+v", got)
		}
		envs, _ := r.kept()
		got := envs[0].Recipients[0]
		if got.Address.String() != c.want || c.want != c.to && !got.Orig.Equal(c.to) {
			t.Errorf("%s by %s became %s (%v), want %s", c.to, c.caller, got.Address, got.Orig, c.want)
		}
		f.breakDown()
		if got := r.submit(m); (got.Code == 451) != (c.caller == "pickup" && strings.Contains(c.to, "@")) {
			t.Errorf("%s by %s, lookups down: %+v", c.to, c.caller, got)
		}
	}
}
