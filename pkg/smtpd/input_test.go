package smtpd

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"filbert/pkg/smtp"
)

// pieces is a connection that gives its octets in pieces, without a descriptor.
type pieces struct {
	net.Conn
	left [][]byte
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.left[0])
	if p.left[0] = p.left[0][n:]; len(p.left[0]) == 0 {
		p.left = p.left[1:]
	}
	return n, nil
}

// found is one result of line.
type found struct {
	text string
	kind lineKind
}

func readAllLines(t *testing.T, conn net.Conn) []found {
	t.Helper()
	var in input
	in.open(conn)
	defer in.giveBack()
	var all []found
	for {
		line, kind := in.line()
		if kind != linePartial {
			all = append(all, found{string(line), kind})
			continue
		}
		if len(in.here()) > smtp.MaxExtendedCommandLine {
			t.Fatalf("%d octets kept of an incomplete line", len(in.here()))
		}
		if _, err := in.fill(); err != nil {
			return all
		}
	}
}

// FuzzLines: what lines are found does not depend on how the octets come, by a
// descriptor or not, and a good line has no line end in it.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"NOOP\r\nRSET\r\n", "a\nb\r\n\r\n\n", strings.Repeat("x", 3000) + "\r\nNOOP\r\n", "half", strings.Repeat("y\r\n", 20)} {
		f.Add([]byte(s), uint(3), uint(17))
	}
	f.Fuzz(func(t *testing.T, stream []byte, one, two uint) {
		a := int(one % uint(len(stream)+1))
		b := a + int(two%uint(len(stream)-a+1))
		want := readAllLines(t, &pieces{left: [][]byte{bytes.Clone(stream)}})
		got := readAllLines(t, &pieces{left: [][]byte{bytes.Clone(stream[:a]), bytes.Clone(stream[a:b]), bytes.Clone(stream[b:])}})
		if len(got) != len(want) {
			t.Fatalf("%d lines, and %d when split at %d and %d", len(want), len(got), a, b)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("line %d: %q, and %q when split", i, want[i], got[i])
			}
			if want[i].kind == lineWhole && (strings.Contains(want[i].text, "\n") || len(want[i].text) > smtp.MaxExtendedCommandLine-2) {
				t.Fatalf("good line %q", want[i].text)
			}
		}
	})
}

func TestOctetsComeThroughADescriptorInAnyPieces(t *testing.T) {
	ours, theirs := tcpPair(t)
	go func() {
		for _, b := range []byte("MAIL\r\n\nNO") {
			_, _ = theirs.Write([]byte{b})
		}
		_, _ = io.WriteString(theirs, "OP\r\nhalf")
		theirs.Close()
	}()
	got := readAllLines(t, ours)
	want := []found{{"MAIL", lineWhole}, {"", lineBareLF}, {"NOOP", lineWhole}}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q", got)
		}
	}
}

func TestAWaitingConnectionHasNoBuffer(t *testing.T) {
	ours, theirs := tcpPair(t)
	var in input
	in.open(ours)
	try := func() (ready bool) {
		if err := in.raw.Control(func(fd uintptr) { ready = in.tryRead(fd) }); err != nil {
			t.Fatal(err)
		}
		return ready
	}
	if try() || in.buf != nil || in.rest != nil {
		t.Error("something is kept for a connection that has sent nothing")
	}
	if _, err := io.WriteString(theirs, "half a comm"); err != nil {
		t.Fatal(err)
	}
	if _, err := in.fill(); err != nil {
		t.Fatal(err)
	}
	if try() || in.buf != nil || string(in.rest) != "half a comm" {
		t.Errorf("kept: %q, buffer %v", in.rest, in.buf != nil)
	}
	if cap(in.rest) > smtp.MaxExtendedCommandLine {
		t.Errorf("%d octets kept", cap(in.rest))
	}
	in.take(len(in.here()))
	if in.rest != nil {
		t.Error("kept after use")
	}
}
