package localdeliver

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"filbert/pkg/proto"
	"filbert/pkg/settings"
	"filbert/pkg/wire"
)

// FuzzText checks the conversion against the one-line model, whatever the
// sizes in which the content arrives.
func FuzzText(f *testing.F) {
	for _, s := range []string{testMessage, "\r", "\r\n\r\n", "a\r\n\r\nFrom x", "delivered-to: bob@local.example\r\n", "\n\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		job := testJob(settings.Transport{}, "")
		job.Job.Content = proto.Content{Size: int64(len(s))}
		x := newText(&job.Job, iotest.HalfReader(strings.NewReader(s)))
		if x.begin() != nil {
			return
		}
		var out bytes.Buffer
		if err := x.writeTo(&out, nil); err != nil {
			t.Fatal(err)
		}
		if out.String() != stored(s) {
			t.Fatalf("got %q, want %q", out.String(), stored(s))
		}
	})
}

func FuzzChildJob(f *testing.F) {
	var e wire.Encoder
	testJob(settings.Transport{Driver: "maildir"}, testMessage).EncodeTo(&e)
	f.Add(e.Buf)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		d := wire.NewDecoder(b)
		var job childJob
		job.DecodeFrom(d)
		if d.Finish() != nil {
			return
		}
		var again wire.Encoder
		job.EncodeTo(&again)
		if !bytes.Equal(again.Buf, b) {
			t.Fatalf("%x decoded and encoded is %x", b, again.Buf)
		}
	})
}

func FuzzExpand(f *testing.F) {
	f.Add("{home}/Maildir")
	f.Add("{")
	f.Add("a}b{c}{d}")
	f.Fuzz(func(t *testing.T, s string) {
		seen := 0
		out, err := expand(s, func(string) (string, error) { seen++; return "{v}", nil })
		if err == nil && (seen == 0 && out != s || strings.Count(out, "{v}") < seen) {
			t.Fatalf("%q became %q with %d values", s, out, seen)
		}
	})
}

func TestAValueIsNeverExpandedAgain(t *testing.T) {
	out, err := expand("a{x}b", func(string) (string, error) { return "{home}", nil })
	if err != nil || out != "a{home}b" {
		t.Fatalf("%q, %v", out, err)
	}
}

func TestConversionIsLinear(t *testing.T) {
	// A header of one line, long: read in chunks, never again from its start.
	job := testJob(settings.Transport{}, strings.Repeat("x", 8<<20))
	x := newText(&job.Job, nil)
	if o := x.begin(); o != nil {
		t.Fatal(o.Text.ForTerminal())
	}
	if len(x.header) > headerScan+chunk {
		t.Fatalf("%d bytes of header in memory", len(x.header))
	}
}
