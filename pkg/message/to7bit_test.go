package message

import (
	"bytes"
	"errors"
	"io"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// Each folder of testdata/to7bit has in.eml and want.eml, or no want.eml when
// the message cannot be converted.
func TestTo7Bit(t *testing.T) {
	cases, err := filepath.Glob("testdata/to7bit/*/in.eml")
	if err != nil || len(cases) < 5 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, in := range cases {
		t.Run(filepath.Base(filepath.Dir(in)), func(t *testing.T) {
			src := crlfFile(t, in)
			want := filepath.Join(filepath.Dir(in), "want.eml")
			var out bytes.Buffer
			err := To7Bit(iotest.OneByteReader(bytes.NewReader(src)), &out)
			if _, statErr := os.Stat(want); statErr != nil {
				if !errors.Is(err, ErrCannotConvert) || out.Len() != 0 {
					t.Fatalf("converted to %q, %v", out.Bytes(), err)
				}
				return
			}
			if err != nil || !bytes.Equal(out.Bytes(), crlfFile(t, want)) {
				t.Fatalf("%v, got:\n%s", err, out.Bytes())
			}
			checkSevenBit(t, src, out.Bytes())
		})
	}
}

// checkSevenBit looks that the result fits a server without 8BITMIME and says
// the same.
func checkSevenBit(t *testing.T, in, out []byte) {
	t.Helper()
	var c CheckContent
	_, _ = c.Write(out)
	if c.EightBit() || c.BareCR() || c.BareLF() || c.NUL() || c.LongestLine() > 998 {
		t.Fatalf("%q became %q", in, out)
	}
	hin, hout := mustScan(t, string(in)), mustScan(t, string(out))
	body, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(out[hout.Body:])))
	if err != nil || !bytes.Equal(body, in[hin.Body:]) {
		t.Fatalf("body %q became %q, %v", in[hin.Body:], body, err)
	}
}

// crlfFile reads a file that is kept with LF for the sake of editors.
func crlfFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

func TestTo7BitKeepsLongLinesShort(t *testing.T) {
	in := "Subject: x\r\n\r\n" + strings.Repeat("ü", 5000) + "\r\n"
	var out bytes.Buffer
	if err := To7Bit(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	checkSevenBit(t, []byte(in), out.Bytes())
}

func TestTo7BitTellsOfReadAndWriteErrors(t *testing.T) {
	for _, in := range []string{"", "Subject: x\r\n\r\n"} {
		r := io.MultiReader(strings.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF))
		if err := To7Bit(r, io.Discard); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %q: %v", in, err)
		}
	}
	_, w := io.Pipe()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := To7Bit(strings.NewReader("A: b\r\n\r\nü"), w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

func TestTo7BitRefusesAnEndlessHeader(t *testing.T) {
	err := To7Bit(io.LimitReader(zeros{}, 1<<30), io.Discard)
	if !errors.Is(err, ErrHeaderTooBig) {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func FuzzTo7Bit(f *testing.F) {
	f.Add("Subject: x\r\n\r\ngr\xc3\xbcn\r\n")
	f.Add("Content-Type: text/plain;\r\n\r\nx")
	f.Add("Content-Type: text/plain; charset=x")
	f.Add("Content-Type: multipart/mixed\r\n\r\nx")
	f.Fuzz(func(t *testing.T, in string) {
		var out bytes.Buffer
		if err := To7Bit(strings.NewReader(in), &out); err != nil {
			return
		}
		var c CheckContent
		_, _ = c.Write(out.Bytes())
		if c.EightBit() {
			t.Fatalf("%q became %q", in, out.Bytes())
		}
		h := mustScan(t, out.String())
		if h.Count("Content-Type") != 1 || h.Count("Content-Transfer-Encoding") != 1 || h.Count("MIME-Version") != 1 {
			t.Fatalf("%q became %q", in, out.Bytes())
		}
	})
}
