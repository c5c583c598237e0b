package smtp

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var wireLine = regexp.MustCompile(`^[2-5][0-9][0-9]([ -])[ -~]*$`)

// checkReply holds for every reply: well formed lines, all but the last with a
// hyphen, none too long.
func checkReply(t interface{ Fatalf(string, ...any) }, r Reply) {
	wire := string(r.Bytes())
	if !strings.HasSuffix(wire, "\r\n") {
		t.Fatalf("reply %q has no end", wire)
	}
	lines := strings.Split(strings.TrimSuffix(wire, "\r\n"), "\r\n")
	for i, line := range lines {
		m := wireLine.FindStringSubmatch(line)
		if m == nil || len(line)+2 > MaxReplyLine || (m[1] == " ") != (i == len(lines)-1) {
			t.Fatalf("reply %q has the bad line %q", wire, line)
		}
	}
}

func TestReplyBytes(t *testing.T) {
	for _, c := range []struct {
		r    Reply
		want string
	}{
		{Reply{Code: 250, Status: Status{2, 1, 0}, Lines: []string{"ok"}}, "250 2.1.0 ok\r\n"},
		{Reply{Code: 354, Lines: []string{"go on"}}, "354 go on\r\n"},
		{Reply{Code: 250}, "250 \r\n"},
		{Reply{Code: 250, Lines: []string{"host", "PIPELINING", "DSN"}}, "250-host\r\n250-PIPELINING\r\n250 DSN\r\n"},
		{Reply{Code: 550, Status: Status{5, 1, 1}, Lines: []string{"a", "", "b"}}, "550-5.1.1 a\r\n550-5.1.1 \r\n550 5.1.1 b\r\n"},
		{Reply{Code: 550, Lines: []string{"a\r\n250 ok\x00\x1bü"}}, "550 a??250 ok????\r\n"},
	} {
		if got := string(c.r.Bytes()); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if got := string(c.r.AppendTo([]byte("x"))); got != "x"+c.want {
			t.Errorf("AppendTo gave %q", got)
		}
	}
}

func TestALongReplyLineBecomesSeveral(t *testing.T) {
	r := Reply{Code: 550, Status: Status{5, 1, 1}, Lines: []string{strings.Repeat("x", 2000)}}
	checkReply(t, r)
	if n := strings.Count(string(r.Bytes()), "x"); n != 2000 {
		t.Errorf("%d characters of 2000", n)
	}
}

func TestNoTextAddsALineToAReply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "lines")
		checkReply(t, Reply{Code: 450, Status: Status{4, 2, 0}, Lines: lines})
	})
}

func TestClassesOfCodes(t *testing.T) {
	for code, want := range map[int][3]bool{250: {true, false, false}, 450: {false, true, false}, 550: {false, false, true}, 354: {}} {
		r := Reply{Code: code}
		s := ServerReply{Code: code}
		st := Status{Class: code / 100}
		if got := [3]bool{r.Success(), r.Temporary(), r.Permanent()}; got != want {
			t.Errorf("%d: %v", code, got)
		}
		if got := [3]bool{s.Success(), s.Temporary(), s.Permanent()}; got != want || s.Intermediate() != (code == 354) {
			t.Errorf("server's %d: %v", code, got)
		}
		if got := [3]bool{st.Success(), st.Temporary(), st.Permanent()}; got != want {
			t.Errorf("status of %d: %v", code, got)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for _, in := range []string{"2.0.0", "4.7.1", "5.1.1", "5.999.999"} {
		if s, err := ParseStatus(in); err != nil || s.String() != in {
			t.Errorf("%s is %s, %v", in, s, err)
		}
	}
	for _, in := range []string{"", "5", "5.1", "5.1.", "5..1", ".1.1", "3.1.1", "1.1.1", "5.1.1.1", "5.01.1", "5.1.1000", "5.-1.1", "5.+1.1", "5.1.1 ", "5.1.x", "55.1.1"} {
		if s, err := ParseStatus(in); !errors.Is(err, ErrBadStatus) {
			t.Errorf("%q is %s", in, s)
		}
	}
	if (Status{}).String() != "" || !(Status{}).IsZero() {
		t.Error("zero status")
	}
}

// feed gives the lines to a parser until it has a whole reply.
func feed(t *testing.T, lines ...string) (ServerReply, error) {
	t.Helper()
	var p ReplyParser
	for i, line := range lines {
		done, err := p.Feed([]byte(line))
		if err != nil {
			return ServerReply{}, err
		}
		if done != (i == len(lines)-1) {
			t.Fatalf("%q: done is %t after line %d", lines, done, i+1)
		}
	}
	return p.Result(), nil
}

func TestReplyParser(t *testing.T) {
	for _, c := range []struct {
		name   string
		lines  []string
		code   int
		status string
		text   string
	}{
		{"one line", []string{"250 2.1.0 ok"}, 250, "2.1.0", "2.1.0 ok"},
		{"code alone", []string{"250"}, 250, "", ""},
		{"code and space", []string{"250 "}, 250, "", ""},
		{"status alone", []string{"550 5.1.1"}, 550, "5.1.1", "5.1.1"},
		{"many lines", []string{"250-host", "250-SIZE 10", "250 DSN"}, 250, "", "host\nSIZE 10\nDSN"},
		{"bare hyphen", []string{"250-", "250 x"}, 250, "", "\nx"},
		{"status on the last line", []string{"550-no", "550 5.7.1 go away"}, 550, "5.7.1", "no\n5.7.1 go away"},
		{"first status counts", []string{"550-5.1.1 a", "550 5.2.2 b"}, 550, "5.1.1", "5.1.1 a\n5.2.2 b"},
		{"status of another class", []string{"550 2.0.0 x"}, 550, "", "2.0.0 x"},
		{"5yz after 2yz", []string{"250-2.0.0 ok", "550 5.7.1 no"}, 550, "5.7.1", "2.0.0 ok\n5.7.1 no"},
		{"5yz before 2yz", []string{"550-5.7.1 no", "250 2.0.0 ok"}, 550, "5.7.1", "5.7.1 no\n2.0.0 ok"},
		{"4yz before 2yz", []string{"450-4.7.1 wait", "250 2.0.0 ok"}, 450, "4.7.1", "4.7.1 wait\n2.0.0 ok"},
		{"5yz over 4yz", []string{"450-4.7.1 wait", "550-x", "450 y"}, 550, "", "4.7.1 wait\nx\ny"},
		{"4yz over 3yz", []string{"354-go", "451 no"}, 451, "", "go\nno"},
		{"3yz after 2yz", []string{"250-2.0.0 a", "354 go"}, 354, "", "2.0.0 a\ngo"},
		{"odd code", []string{"571 no"}, 571, "", "no"},
		{"bytes of all sorts", []string{"550 \x00\x1b\xff\r"}, 550, "", "\x00\x1b\xff\r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := feed(t, c.lines...)
			if err != nil || r.Code != c.code || r.Status.String() != c.status || !r.Text.Equal(c.text) {
				t.Errorf("got %d %s %q, %v", r.Code, r.Status, r.Text.ForWire(), err)
			}
		})
	}
}

func TestALineWithoutACodeIsAProtocolError(t *testing.T) {
	for _, line := range []string{"", "2", "25", "abc", "250x", "250\tok", "250:ok", "650 ok", "150 ok", "050 ok", "-50 ok", "+25 ok", " 250 ok", "2 0 ok", "2500", "\x00", "<html>", "٢٥٠ ok"} {
		if _, err := feed(t, line); !errors.Is(err, ErrProtocol) {
			t.Errorf("%q accepted: %v", line, err)
		}
	}
	if _, err := feed(t, "250-ok", "no code"); !errors.Is(err, ErrProtocol) {
		t.Errorf("second line without a code: %v", err)
	}
}

func TestARepliesSizeIsBounded(t *testing.T) {
	var p ReplyParser
	if _, err := p.Feed([]byte("250 " + strings.Repeat("x", MaxServerReplyLine))); !errors.Is(err, ErrProtocol) {
		t.Errorf("long line: %v", err)
	}
	for _, line := range []string{"250-x", "250-" + strings.Repeat("x", 1900)} {
		var p ReplyParser
		n, octets := 0, 0
		for {
			done, err := p.Feed([]byte(line))
			if err != nil {
				break
			}
			if n++; done || n > MaxReplyLines {
				t.Fatalf("%d lines taken", n)
			}
			if octets += len(line) + 2; octets > MaxReplyOctets {
				t.Fatalf("%d octets taken", octets)
			}
		}
	}
}

func TestAReplyParserIsReadyAgain(t *testing.T) {
	var p ReplyParser
	for range 3 * MaxReplyLines {
		if done, err := p.Feed([]byte("250 2.0.0 ok")); !done || err != nil {
			t.Fatal(done, err)
		}
		if r := p.Result(); r.Code != 250 || !r.Text.Equal("2.0.0 ok") || !r.Diagnostic().Equal("250 2.0.0 ok") {
			t.Fatalf("%d %q", r.Code, r.Text.ForWire())
		}
	}
}

func TestParseCapabilities(t *testing.T) {
	r, err := feed(t, "250-mx.example SIZE 5", "250-size 1000", "250-8BITMIME", "250-AUTH PLAIN login bad;mech", "250-STARTTLS", "250-PIPELINING",
		"250-CHUNKING", "250-ENHANCEDSTATUSCODES", "250-LIMITS RCPTMAX=50 MAILMAX=x RCPTDOMAINMAX=0", "250-XUNKNOWN", "250 DSN")
	if err != nil {
		t.Fatal(err)
	}
	c := ParseCapabilities(r)
	if c.Extensions != ExtSize|Ext8BitMIME|ExtAuth|ExtDSN || c.MaxSize != 1000 || !c.StartTLS || !c.Pipelining || !c.Chunking || !c.StatusCodes || c.RequireTLS {
		t.Errorf("%+v", c)
	}
	if strings.Join(c.AuthMethods, " ") != "PLAIN LOGIN" || c.LimitsRcpts != 50 || c.LimitsMails != 0 || c.LimitsDomain != 0 {
		t.Errorf("%+v", c)
	}
}

func TestTheGreetingLineOfEhloOffersNothing(t *testing.T) {
	r, err := feed(t, "250 STARTTLS")
	if c := ParseCapabilities(r); err != nil || c.StartTLS {
		t.Errorf("%+v, %v", c, err)
	}
}

func FuzzReplyParser(f *testing.F) {
	for _, s := range []string{"250 ok", "250-a\n250 2.0.0 b", "550-5.1.1 x\n250 y", "250-SIZE 99999999999999999999\n250 LIMITS RCPTMAX=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var p ReplyParser
		for line := range strings.SplitSeq(s, "\n") {
			done, err := p.Feed([]byte(line))
			if err != nil {
				return
			}
			if done {
				r := p.Result()
				if r.Code < 200 || r.Code > 599 || r.Text.Len() > MaxReplyOctets || !r.Status.IsZero() && r.Status.Class != r.Code/100 {
					t.Fatalf("%d %s, %d octets", r.Code, r.Status, r.Text.Len())
				}
				_ = ParseCapabilities(r)
			}
		}
	})
}
