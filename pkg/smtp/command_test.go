package smtp

import (
	"strings"
	"testing"

	"filbert/pkg/untrusted"
)

func TestParseCommandSplitsVerbAndArgument(t *testing.T) {
	for _, c := range []struct{ in, verb, arg string }{
		{"QUIT", "QUIT", ""},
		{"quit", "QUIT", ""},
		{"QUIT  \t", "QUIT", ""},
		{"EHLO  host ", "EHLO", "host"},
		{"MAIL FROM:<a@b> SIZE=1", "MAIL", "FROM:<a@b> SIZE=1"},
		{"MAIL FROM:<grün@b>", "MAIL", "FROM:<grün@b>"},
		{"XYZZY foo", "XYZZY", "foo"},
		{"NOOP ${run{x}} %s", "NOOP", "${run{x}} %s"},
	} {
		cmd, r := ParseCommand([]byte(c.in))
		if r != nil || cmd.Verb != c.verb || !cmd.Arg.Equal(c.arg) {
			t.Errorf("%q is %s %q, %v", c.in, cmd.Verb, cmd.Arg.ForWire(), r)
		}
	}
}

func TestParseCommandRefusesWithA500(t *testing.T) {
	for _, in := range []string{
		"", " ", " QUIT", "\tQUIT", "123", "MA1L", "MAIL\tFROM:<a@b>", "MAIL:", "QUIT\x00", "\x00", "QUIT\r", "NOOP a\rb", "NOOP a\nb",
		"NOOP a\x00b", "NOOP a\x1bb", "NOOP a\x7fb", "NOOP a\tb", "NOOP \xff", "NOOP \xc0\x80", "QÜIT", "ſTARTTLS", strings.Repeat("A", 17),
		"NOOP " + strings.Repeat("x", MaxExtendedCommandLine), "\x16\x03\x01\x02\x00\x01",
	} {
		if cmd, r := ParseCommand([]byte(in)); r == nil || r.Code != 500 || r.Status.Class != 5 {
			t.Errorf("%q is %v, %v", in, cmd.Verb, r)
		}
	}
}

func TestParseHello(t *testing.T) {
	for _, in := range []string{"host", "mx1.example.net", "WIN_PC", "host.", "[192.0.2.1]", "[IPv6:2001:db8::1]", "192.0.2.1", "a-b"} {
		if name, r := ParseHello(untrusted.From(in)); r != nil || !name.Equal(in) {
			t.Errorf("%q refused: %v", in, r)
		}
	}
	for _, in := range []string{"", "a b", "a..b", ".a", "[", "[]", "[x]", "[1.2.3.4", "[1.2.3.4]x", "grün", "a;b", "a(b)", "$(id)", "a\nb", "a\x00", "<a>", strings.Repeat("a", 256)} {
		if _, r := ParseHello(untrusted.From(in)); r == nil || r.Code != 501 {
			t.Errorf("%q accepted", in)
		}
	}
}

func TestParseBDAT(t *testing.T) {
	for _, c := range []struct {
		in   string
		size int64
		last LastChunk
	}{
		{"0", 0, MoreChunks}, {"0 LAST", 0, Last}, {"86 last", 86, Last}, {"007", 7, MoreChunks}, {"9223372036854775807", 1<<63 - 1, MoreChunks},
	} {
		if size, last, r := ParseBDAT(untrusted.From(c.in)); r != nil || size != c.size || last != c.last {
			t.Errorf("%q is %d, %v, %v", c.in, size, last, r)
		}
	}
	for _, in := range []string{
		"", " ", "LAST", "-1", "+1", "1_0", "0x10", "1.0", "1e3", "1 LASTX", "1 LAST LAST", "1  LAST", "1 ", "1\tLAST", "9223372036854775808",
		"18446744073709551616", "99999999999999999999999999999999999999", "١",
	} {
		if size, _, r := ParseBDAT(untrusted.From(in)); r == nil || r.Code != 501 {
			t.Errorf("%q is %d", in, size)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, s := range []string{
		"QUIT", "MAIL FROM:<a@b> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+20b AUTH=<>", "RCPT TO:<@x,@y:a@b> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+40b",
		"BDAT 10 LAST", "EHLO [IPv6:::1]", `MAIL FROM:<"a>b"@c>`, "RCPT TO:<postmaster>", `RCPT TO:<a@b> ORCPT=utf-8;a\x{FC}@b`,
	} {
		f.Add([]byte(s))
	}
	all := ExtSize | Ext8BitMIME | ExtBinaryMIME | ExtSMTPUTF8 | ExtDSN | ExtAuth
	f.Fuzz(func(t *testing.T, line []byte) {
		cmd, r := ParseCommand(line)
		if r != nil {
			checkReply(t, *r)
			return
		}
		if m, r := ParseMail(cmd.Arg, all); r != nil {
			checkReply(t, *r)
		} else {
			checkDecoded(t, m.EnvID)
		}
		if p, r := ParseRcpt(cmd.Arg, all); r != nil {
			checkReply(t, *r)
		} else {
			checkDecoded(t, p.ORcpt.Addr)
			if p.To.IsNull() {
				t.Fatalf("%q has a null recipient", line)
			}
		}
		if size, _, r := ParseBDAT(cmd.Arg); r == nil && size < 0 {
			t.Fatalf("%q has size %d", line, size)
		}
		_, _ = ParseHello(cmd.Arg)
	})
}

func checkDecoded(t *testing.T, v untrusted.Text) {
	t.Helper()
	if strings.ContainsAny(v.ForWire(), "\x00\r\n\x1b\t\x7f") {
		t.Fatalf("decoded to %q", v.ForWire())
	}
}
