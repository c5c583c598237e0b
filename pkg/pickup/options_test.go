package pickup

import (
	"strings"
	"testing"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
)

const hello = "From: x@y.example\nTo: kim@there.example\nSubject: hi\n\nhello\n.\nmore\n"

// Each command line is one that a program in the field was seen to use.
func TestObservedCommandLinesWork(t *testing.T) {
	const whole, cut = "hello\r\n.\r\nmore\r\n", "hello\r\n"
	for _, c := range []struct {
		caller, line   string
		from, to, body string
	}{
		{"vixie cron", "-FCronDaemon -odi -oem -oi -t", "ann@here.example", "kim@there.example", whole},
		{"cronie", "-FCronDaemon -i -odi -oem -oi -t -f root", "root@here.example", "kim@there.example", whole},
		{"debian cron", "-FCronDaemon -i -B8BITMIME -oem root", "ann@here.example", "root@here.example", whole},
		{"386bsd cron", "-or0s root", "ann@here.example", "root@here.example", cut},
		{"busybox crond", "-t -oem -i", "ann@here.example", "kim@there.example", whole},
		{"busybox", "-ti", "ann@here.example", "kim@there.example", whole},
		{"at", "-i bob", "ann@here.example", "bob@here.example", whole},
		{"mutt", "-oem -oi -B8BITMIME -f ann@home.example -N failure,delay -R full -- a@b.example c@d.example", "ann@home.example", "a@b.example c@d.example", whole},
		{"mutt plain", "-oem -oi -- a@b.example", "ann@here.example", "a@b.example", whole},
		{"git send-email", "-f git@home.example -i a@b.example", "git@home.example", "a@b.example", whole},
		{"php", "-t -i", "ann@here.example", "kim@there.example", whole},
		{"php with -f", "-t -i -fweb@site.example", "web@site.example", "kim@there.example", whole},
		{"perl", "-oi -t -odq", "ann@here.example", "kim@there.example", whole},
		{"courier", "-oi -t -f x@y.example", "x@y.example", "kim@there.example", whole},
		{"s-nail", "-i -m -r ann@home.example -- bob", "ann@home.example", "bob@here.example", whole},
		{"null sender", "-i -f <> bob", "", "bob@here.example", whole},
		{"option behind an address", "bob -i", "ann@here.example", "bob@here.example", whole},
		{"hyphen behind --", "-i -- -bob", "ann@here.example", "-bob@here.example", whole},
		{"long options", "-O IgnoreDots=true -ODeliveryMode=b bob", "ann@here.example", "bob@here.example", whole},
		{"sendmail habits", "-Am -C/etc/x.cf -h5 -L tag -U -c -d0.1 -p SMTP:me -T5m -n -s -x -i bob", "ann@here.example", "bob@here.example", whole},
		{"dots by default", "bob", "ann@here.example", "bob@here.example", cut},
		{"lists", "-i a@b.example,c@d.example", "ann@here.example", "a@b.example c@d.example", whole},
		{"twice", "-i bob bob bob@here.example", "ann@here.example", "bob@here.example", whole},
	} {
		t.Run(c.caller, func(t *testing.T) {
			r := newRig(t)
			s := r.start(nil)
			r.want(r.call("sendmail", hello, strings.Fields(c.line)...), exOK)
			m := s.one()
			if got := m.Envelope.Sender.String(); got != c.from {
				t.Errorf("sender %q, want %q", got, c.from)
			}
			if got := m.to(); got != c.to {
				t.Errorf("recipients %q, want %q", got, c.to)
			}
			if _, body, _ := strings.Cut(m.text, "\r\n\r\n"); body != c.body {
				t.Errorf("body %q, want %q", body, c.body)
			}
			if m.Envelope.Source != envelope.FromLocal || !m.Complete {
				t.Errorf("source %v, complete %v", m.Envelope.Source, m.Complete)
			}
		})
	}
}

func TestEmptySenderIsTheNullSender(t *testing.T) {
	for _, args := range [][]string{{"-f", "", "bob"}, {"-f<>", "bob"}, {"-r", "<>", "bob"}} {
		r := newRig(t)
		s := r.start(nil)
		r.want(r.call("sendmail", hello, args...), exOK)
		if m := s.one(); !m.Envelope.Sender.IsNull() {
			t.Errorf("%q: sender %s", args, m.Envelope.Sender)
		}
	}
}

func TestDeliveryStatusOptionsReachTheEnvelope(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	r.want(r.call("sendmail", hello, "-N", "success,failure,delay", "-Rhdrs", "-V", "id+2B=x", "-B", "7bit", "bob"), exOK)
	v := s.one().Envelope
	if v.Recipients[0].Notify != envelope.NotifySuccess|envelope.NotifyFailure|envelope.NotifyDelay {
		t.Errorf("notify %v", v.Recipients[0].Notify)
	}
	if v.Return != envelope.ReturnHeaders || v.Body != envelope.Body7Bit || !v.EnvID.Equal("id+2B=x") {
		t.Errorf("return %v, body %v, envelope id %s", v.Return, v.Body, v.EnvID.ForLog())
	}
}

func TestGatewaySubmissionIsNotCompleted(t *testing.T) {
	r := newRig(t)
	s := r.start(nil)
	r.want(r.call("sendmail", "Subject: x\n\n", "-G", "-F", "Ann", "bob"), exOK)
	if m := s.one(); m.Complete || strings.Contains(m.text, "From:") {
		t.Errorf("complete %v, text %q", m.Complete, m.text)
	}
}

func TestBadCommandLinesAreUsageErrors(t *testing.T) {
	for _, line := range []string{
		"", "-i", "-bd", "-bD", "-bt", "-bh", "-bH", "-bz", "-b", "-X /tmp/log bob", "-XV bob", "-D x bob", "-Z bob",
		"--help", "-f", "-f a@b@c bob", "-f a,b bob", "-N sometimes bob", "-N never,delay bob", "-R half bob", "-B 9BIT bob",
		"-V a\tb", "-V " + strings.Repeat("x", 101) + " bob", "-O requiretls=yes bob", "-qRexample.org", "-qIfoo/../bar", "-oex bob", "-bv", "-C",
	} {
		r := newRig(t)
		s := r.start(nil)
		got := r.call("sendmail", hello, strings.Split(line, " ")...)
		if line == "" {
			got = r.call("sendmail", hello)
		}
		if got.status != exUsage || !strings.HasPrefix(got.err, "sendmail: ") {
			t.Errorf("%q: exit status %d, stderr %q", line, got.status, got.err)
		}
		if n := len(s.all()); n > 0 {
			t.Errorf("%q: a message was sent", line)
		}
	}
}

func TestBadRecipientsRefuseTheWholeMessage(t *testing.T) {
	for _, word := range []string{"a@", "@b", "a b@c", "<a@b", "a@b..c", "x\x1b[31m@y", "a@b\n"} {
		r := newRig(t)
		s := r.start(nil)
		got := r.call("sendmail", hello, "-i", "good@b.example", word)
		if got.status != exDataErr || len(s.all()) != 0 || strings.Contains(got.err, "\x1b") {
			t.Errorf("%q: exit status %d, stderr %q", word, got.status, got.err)
		}
	}
}

func TestSilentErrorsKeepTheExitStatus(t *testing.T) {
	r := newRig(t)
	r.start(refuse(550, 1, 1))
	got := r.call("sendmail", hello, "-oeq", "bob")
	if got.status != exNoUser || got.err != "" {
		t.Errorf("exit status %d, stderr %q", got.status, got.err)
	}
}

func TestInstanceIsTakenFromALeadingOptionOnly(t *testing.T) {
	for _, c := range []struct{ line, instance string }{
		{"-C /a bob", "/a"}, {"-C/a bob", "/a"}, {"-t -C /a bob", ""}, {"--drain -C /a", "/a"},
	} {
		o, err := parseOptions("sendmail", strings.Fields(c.line))
		if err != nil || o.instance != c.instance {
			t.Errorf("%q: instance %q, error %v", c.line, o.instance, err)
		}
	}
}

func FuzzOptions(f *testing.F) {
	for _, s := range []string{"-FCron\x00-i\x00-B8BITMIME\x00-oem\x00root", "-tfa@b\x00--\x00-x", "-o\x00\x00-C", "-q30m", "-\x00--x"} {
		f.Add("sendmail", s)
	}
	f.Fuzz(func(t *testing.T, program, line string) {
		args := strings.Split(line, "\x00")
		o, err := parseOptions(program, args)
		if (o == nil) == (err == nil) {
			t.Fatalf("options %v with error %v", o, err)
		}
		if err != nil && statusOf(err) != exUsage {
			t.Fatalf("exit status %d", statusOf(err))
		}
		if err == nil && o.dots != message.KeepDot && o.dots != message.DotEnds {
			t.Fatal("no dot mode")
		}
	})
}
