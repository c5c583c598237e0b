package ipc

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"filbert/pkg/wire"
)

// FuzzFrames feeds any bytes to a reader: it must return frames within its
// bounds or an error, never panic, and what it accepts must encode to the
// bytes that it was read from.
func FuzzFrames(f *testing.F) {
	f.Add(rawHello())
	f.Add(append(rawHello(), rawFrame(4, 1, 7, roleCall, 0, "abcd")...))
	f.Add(rawFrame(1<<31, 1, 7, roleReply, 0, ""))
	f.Add(rawFrame(0, 1, 7, roleCall, 9, ""))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	const maxFrame = 4096
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 64<<10 {
			return
		}
		a, b, err := ConnPair()
		if err != nil {
			t.Skip(err)
		}
		defer b.Close()
		if _, err := a.Write(in); err != nil {
			t.Fatal(err)
		}
		a.Close()
		rd := newReader(b, maxFrame)
		rd.idle = func() {}
		defer rd.close()
		var again []byte
		for {
			h, payload, _, err := rd.next()
			if err != nil {
				if errors.Is(err, io.EOF) && !bytes.Equal(again, in) {
					t.Fatalf("%d of %d bytes accepted as whole frames", len(again), len(in))
				}
				return
			}
			if len(payload) > maxFrame {
				t.Fatalf("payload of %d bytes", len(payload))
			}
			head := make([]byte, headerSize)
			h.put(head)
			again = append(append(again, head...), payload...)
		}
	})
}

// FuzzHello decodes any payload as the two messages of this package.
func FuzzHello(f *testing.F) {
	f.Add([]byte{1, 0, 0, 1, 0, 0, 16, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, m := range []Message{&hello{}, &refusal{}} {
			if decodeMessage(in, m) != nil {
				continue
			}
			var e wire.Encoder
			if m.EncodeTo(&e); !bytes.Equal(e.Buf, in) {
				t.Fatalf("%T: %x became %x", m, in, e.Buf)
			}
		}
	})
}
