package pickup

import (
	"strings"
	"testing"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
)

func TestRecipientsComeFromTheHeader(t *testing.T) {
	for _, c := range []struct{ name, header, to string }{
		{"to cc bcc", "To: a@x.example\nCc: b@x.example\nBcc: c@x.example\n", "a@x.example b@x.example c@x.example"},
		{"any case", "TO: a@x.example\ncC: b@x.example\n", "a@x.example b@x.example"},
		{"several fields", "To: a@x.example\nTo: b@x.example\n", "a@x.example b@x.example"},
		{"names", `To: "Doe, John" <a@x.example>, Ann Other <b@x.example>` + "\n", "a@x.example b@x.example"},
		{"comments", "To: a(his (old) box)@x.example (him), (x) b@x.example\n", "a@x.example b@x.example"},
		{"group", "To: friends: a@x.example, B <b@x.example>;, c@x.example\n", "a@x.example b@x.example c@x.example"},
		{"empty group", "To: undisclosed-recipients:;\nBcc: a@x.example\n", "a@x.example"},
		{"quoted local part", `To: "a b"@x.example, "c\"d"@x.example` + "\n", `"a b"@x.example "c\"d"@x.example`},
		{"bare", "To: root, bob\n", "root@here.example bob@here.example"},
		{"folded", "To: a@x.example,\n\tb@x.example\n", "a@x.example b@x.example"},
		{"trailing comma", "To: a@x.example,\n", "a@x.example"},
		{"source route", "To: <@r.example:a@x.example>\n", "a@x.example"},
		{"raw latin 1 in a name", "To: J\xf6rg <a@x.example>\n", "a@x.example"},
		{"utf-8 in a name", "To: Jörg <a@x.example>\n", "a@x.example"},
		{"twice", "To: a@x.example\nCc: A <a@x.example>\n", "a@x.example"},
		{"resent", "Resent-To: r@x.example\nResent-Cc: s@x.example\nTo: a@x.example\nBcc: b@x.example\n", "r@x.example s@x.example"},
		{"resent blind", "Resent-From: q@x.example\nResent-Bcc: r@x.example\nTo: a@x.example\n", "r@x.example"},
		{"resent twice", "Resent-From: q@x.example\nResent-To: new@x.example\nResent-From: p@x.example\nResent-To: old@x.example\nTo: a@x.example\n", "new@x.example"},
		{"resent long ago", "Received: by x; y\nResent-To: old@x.example\nTo: a@x.example\n", "a@x.example"},
		{"resent again", "Resent-To: new@x.example\nReceived: by x; y\nResent-To: old@x.example\nTo: a@x.example\n", "new@x.example"},
		{"in the body", "To: a@x.example\n\nTo: no@x.example\n", "a@x.example"},
		{"behind junk", "To: a@x.example\nnot a field\nTo: no@x.example\n", "a@x.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			s := r.start(nil)
			r.want(r.call("sendmail", "Subject: x\n"+c.header+"\nbody\n", "-t", "-i"), exOK)
			m := s.one()
			if got := m.to(); got != c.to {
				t.Errorf("recipients %q, want %q", got, c.to)
			}
		})
	}
}

func TestRecipientsOfTheCommandLineAreAdded(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	r.want(r.call("sendmail", "To: a@x.example\n\nbody\n", "-t", "b@x.example"), exOK)
	m := s.one()
	if got := m.to(); got != "b@x.example a@x.example" {
		t.Errorf("recipients %q", got)
	}
}

func TestNoRecipientsInTheHeaderIsAnError(t *testing.T) {
	for _, text := range []string{"Subject: x\n\nbody\n", "To: undisclosed-recipients:;\n\nbody\n", "", "Resent-From: a@x.example\nTo: b@x.example\n\n"} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", text, "-t"), exUsage)
		if len(s.all()) != 0 {
			t.Errorf("%q: a message was sent", text)
		}
	}
}

func TestUnreadableRecipientFieldSendsNothing(t *testing.T) {
	for _, field := range []string{"To: a@x.example, b@", "Cc: <a@x.example", "Bcc: a@x.example; b@x.example", "To: (a@x.example"} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", field+"\nTo: ok@x.example\n\nbody\n", "-t"), exDataErr)
		if len(s.all()) != 0 {
			t.Errorf("%q: a message was sent", field)
		}
	}
}

// What the header of a message becomes, octet for octet.
func TestHeaderIsFinished(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"untouched", "From: a@b\nX:  odd \nSubject: x\n\nbody\n", "From: a@b\r\nX:  odd \r\nSubject: x\r\n\r\nbody\r\n"},
		{"blind copies", "From: a@b\nBcc: c@d,\n e@f\nbcc : g@h\nResent-Bcc: i@j\nTo: k\n\nbody\n", "From: a@b\r\nTo: k\r\n\r\nbody\r\n"},
		{"no header", "just text\nand more: text\n", "\r\njust text\r\nand more: text\r\n"},
		{"text with a blank line", "just text\n\nmore\n", "\r\njust text\r\n\r\nmore\r\n"},
		{"header that runs into the body", "From: a@b\nSubject: x\nbody begins\nTo: y\n", "From: a@b\r\nSubject: x\r\n\r\nbody begins\r\nTo: y\r\n"},
		{"header alone", "From: a@b\nSubject: x\n", "From: a@b\r\nSubject: x\r\n\r\n"},
		{"empty line first", "\nbody\n", "\r\nbody\r\n"},
		{"nothing", "", "\r\n"},
		{"mbox line", "From ann Thu Jan  1 00:00:00 1970\nFrom: a@b\n\nbody\n", "From: a@b\r\n\r\nbody\r\n"},
		{"quoted mbox line", ">From ann Thu Jan  1 00:00:00 1970\nFrom: a@b\n\nbody\n", "From: a@b\r\n\r\nbody\r\n"},
		{"mbox line in the body", "From: a@b\n\nFrom ann\n", "From: a@b\r\n\r\nFrom ann\r\n"},
		{"no final newline", "From: a@b\n\nbody", "From: a@b\r\n\r\nbody\r\n"},
		{"crlf", "From: a@b\r\n\r\nbody\r\n", "From: a@b\r\n\r\nbody\r\n"},
		{"stray cr", "From: a@b\r\r\nX: y\n\nbo\rdy\r\r\nx", "From: a@b\r\nX: y\r\n\r\nbo\r\ndy\r\nx\r\n"},
		{"nul and 8 bit", "From: a@b\n\n\x00\xff\n", "From: a@b\r\n\r\n\x00\xff\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			s := r.start(nil)
			r.want(r.call("sendmail", c.in, "-i", "bob"), exOK)
			if got := s.one().text; got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestLongTextWithoutHeaderIsAllBody(t *testing.T) {
	text := strings.Repeat("[    0.000000] kernel says: something\n", 20_000)
	r := newRig(t)
	s := r.start(nil)
	r.want(r.call("sendmail", text, "bob"), exOK)
	if got, want := s.one().text, "\r\n"+strings.ReplaceAll(text, "\n", "\r\n"); got != want {
		t.Errorf("%d octets, want %d", len(got), len(want))
	}
}

func TestHugeHeaderIsRefused(t *testing.T) {
	for _, text := range []string{strings.Repeat("X: y\n", 200_000), "X: " + strings.Repeat("y", 2<<20) + "\n\n"} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", text, "bob"), exDataErr)
		if len(s.all()) != 0 {
			t.Error("a message was sent")
		}
		r.nothingLies()
	}
}

func TestDotsEndTheMessageUnlessIgnored(t *testing.T) {
	for _, c := range []struct{ in, opt, want string }{
		{"a\n.\nb\n", "-odb", "a\r\n"},
		{"a\n.\nb\n", "-i", "a\r\n.\r\nb\r\n"},
		{"a\n.\nb\n", "-oi", "a\r\n.\r\nb\r\n"},
		{"a\n.\nb\n", "-oi0", "a\r\n"},
		{"a\n..\n.b\n", "-odb", "a\r\n..\r\n.b\r\n"},
		{"a\r\n.\r\nb\r\n", "-odb", "a\r\n"},
		{"a\n.", "-odb", "a\r\n"},
		{"a\n.", "-i", "a\r\n.\r\n"},
	} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", "From: x@y\n\n"+c.in, c.opt, "bob"), exOK)
		if _, got, _ := strings.Cut(s.one().text, "\r\n\r\n"); got != c.want {
			t.Errorf("%q with %s: %q, want %q", c.in, c.opt, got, c.want)
		}
	}
}

func TestFromFieldIsMadeOfTheFullName(t *testing.T) {
	for _, c := range []struct{ name, in, args, env, comment, want string }{
		{"-F", "X: y\n", "-FCronDaemon", "", "", "From: CronDaemon <ann@here.example>"},
		{"there is one", "From: z@z\n", "-FCronDaemon", "", "", "From: z@z"},
		{"environment", "X: y\n", "", "Ann O.", "Comment", `From: "Ann O." <ann@here.example>`},
		{"comment field", "X: y\n", "", "", "Ann Other", "From: Ann Other <ann@here.example>"},
		{"another sender", "X: y\n", "-f b@c.example", "", "Ann Other", "X: y"},
		{"-F and -f", "X: y\n", "-FB -f b@c.example", "", "Ann Other", "From: B <b@c.example>"},
		{"null sender", "X: y\n", "-FB -f <>", "", "", "From: B <MAILER-DAEMON@here.example>"},
		{"no name", "X: y\n", "", "", "", "X: y"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.env, r.user.name = c.env, c.comment
			s := r.start(nil)
			r.want(r.call("sendmail", c.in+"\nbody\n", append(strings.Fields(c.args), "bob")...), exOK)
			if got, _, _ := strings.Cut(s.one().text, "\r\n"); got != c.want {
				t.Errorf("first line %q, want %q", got, c.want)
			}
		})
	}
}

func TestFullNameCannotLeaveItsPlace(t *testing.T) {
	for _, name := range []string{
		"Ann\r\nX-Evil: yes", `Ann" <evil@x.example>, "`, "=?utf-8?Q?=0AX:y?=", "A\x00\x1b[1m", "Jörg Müller", strings.Repeat("ü", 1000), strings.Repeat(`\"`, 900), "<", "a, b", "\xff\xfe",
	} {
		field := fromField(name, mailaddr.MustParse("ann@here.example"))
		h, err := message.Scan([]byte(field+"\r\n"), message.DefaultLimits())
		if err != nil || len(h.Fields) != 1 {
			t.Errorf("%q: %q has %d fields", name, field, len(h.Fields))
			continue
		}
		list, err := mailaddr.ParseList(h.RawValue(h.Fields[0]))
		if err != nil || len(list) != 1 || list[0].Address.String() != "ann@here.example" {
			t.Errorf("%q: %q has addresses %v, %v", name, field, list, err)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00\x1b") {
				t.Errorf("%q: line %q", name, line)
			}
		}
	}
}

func TestRmailTakesTheSenderFromTheMboxLine(t *testing.T) {
	for _, c := range []struct{ line, sender string }{
		{"From bob@x.example Thu Jan  1 00:00:00 1970", "bob@x.example"},
		{"From bob Thu Jan  1 00:00:00 1970 remote from x.example", "bob@x.example"},
		{"From <> Thu Jan  1 00:00:00 1970", ""},
		{"From @@@ Thu", "ann@here.example"},
		{"From ", "ann@here.example"},
		{"Subject: x", "ann@here.example"},
	} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("rmail", c.line+"\nTo: x\n\na\n.\nb\n", "kim"), exOK)
		m := s.one()
		if got := m.Envelope.Sender.String(); got != c.sender {
			t.Errorf("%q: sender %q, want %q", c.line, got, c.sender)
		}
		if !strings.HasSuffix(m.text, "a\r\n.\r\nb\r\n") || strings.HasPrefix(m.text, "From ") {
			t.Errorf("%q: text %q", c.line, m.text)
		}
	}
}

// Whatever a program writes, what leaves is CRLF text with an empty line.
func FuzzFinishHeader(f *testing.F) {
	f.Add("From: a@b\nTo: c\n\nbody\n")
	f.Add("From x\nBcc: y\nresent-bcc: z\n junk\n\n")
	f.Add("\r\r\n\x00To : a,\n b")
	f.Fuzz(func(t *testing.T, in string) {
		c := new(content)
		if err := c.collect(strings.NewReader(in), message.DotEnds); err != nil {
			t.Skip() // too large for a content without a file
		}
		h, err := scanHeader(c)
		if err != nil {
			return
		}
		_, _ = headerRecipients(h)
		finishHeader(c, h, "")
		var seen message.CheckContent
		_, _ = seen.Write(c.head)
		if seen.BareCR() || seen.BareLF() || !seen.EndsInLine() {
			t.Fatalf("bare line end in %q", c.head)
		}
		again, err := message.Scan(c.head, message.Limits{Fields: len(c.head), Octets: len(c.head)})
		if err != nil || again.Body == again.End || again.HasField("Bcc") {
			t.Fatalf("header of %q: %v", c.head, err)
		}
	})
}
