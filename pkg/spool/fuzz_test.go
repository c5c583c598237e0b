package spool

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"filbert/pkg/durable/crashfs"
	"filbert/pkg/outcome"
	"filbert/pkg/queueid"
	"filbert/pkg/untrusted"
)

// FuzzLogReader gives the reader any text: what it accepts it would write so.
func FuzzLogReader(f *testing.F) {
	b, err := encodeLines(nil, message(one).Log)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("\n\n"))
	f.Add([]byte(`2026-03-01T09:30:00.123456Z deferred 0 "" code=9 #00000000` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for l, err := range readLines(bytes.NewReader(b), int64(len(b))) {
			if err != nil {
				continue
			}
			again, err := appendLine(nil, &l)
			if err != nil || !bytes.Contains(b, again) {
				t.Fatalf("%q, %v", again, err)
			}
		}
	})
}

// FuzzLogLine gives the syntax, past the checksum, any text.
func FuzzLogLine(f *testing.F) {
	for _, l := range message(one).Log {
		b, err := appendLine(nil, &l)
		if err != nil {
			f.Fatal(err)
		}
		body, _, _ := cutLast(string(b), " #")
		f.Add(body)
	}
	f.Add(`2026-03-01T09:30:00.123456Z finished - ""`)
	f.Add(`2026-03-01T09:30:00.123456Z failed 1 "x" kind="a" code=550 status=5.1.1 transport="t" remote="r" ip="::1" tls="1" relayed passed text="\xff"`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &lineParser{rest: body}
		p.time()
		p.word()
		p.recipient()
		p.quoted()
		var o outcome.Outcome
		p.outcome(&o)
	})
}

// FuzzLogRoundTrip writes any text and reads it back.
func FuzzLogRoundTrip(f *testing.F) {
	f.Add("a@example.org", "text\r\n", "mx", 3, 250)
	f.Fuzz(func(t *testing.T, address, text, remote string, recipient, code int) {
		if len(address) > maxAddress || recipient < 0 || recipient > maxNumber {
			return
		}
		l := LineOf(when, recipient, untrusted.From(address), outcome.Outcome{
			Class: outcome.Failed, Code: code, Remote: remote, Text: untrusted.From(text[:min(len(text), maxText)]),
		})
		b, err := appendLine(nil, &l)
		if err != nil {
			t.Fatal(err)
		}
		s := string(b)
		if strings.Count(s, "\n") != 1 {
			t.Fatalf("%q is not one line", s)
		}
		if got, err := parseLine(s[:len(s)-1], new([]byte)); err != nil || got != l {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// FuzzMessageFile gives Open any file.
func FuzzMessageFile(f *testing.F) {
	h := header{id: one, envelope: 3, content: 4}
	f.Add(append(h.encode(), "envcont"...))
	f.Add([]byte(messageMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := crashfs.New()
		file, err := fsys.OpenFile("m", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(b); err != nil {
			t.Fatal(err)
		}
		e, err := openMessage(fsys, "m", one)
		if err != nil {
			return
		}
		if int64(len(b)) != messageHeader+int64(len(e.Envelope))+e.ContentSize {
			t.Fatalf("%d bytes, %d envelope, %d content", len(b), len(e.Envelope), e.ContentSize)
		}
		_ = e.Check()
		if again, err := decodeHeader(e.head.encode(), queueid.ID(one), int64(len(b))); err != nil || again != e.head {
			t.Fatalf("%v", err)
		}
	})
}
