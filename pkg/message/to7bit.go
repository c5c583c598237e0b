package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"strings"
)

// ErrCannotConvert says that a message cannot be sent to a server without
// 8BITMIME: the delivery fails with 5.6.3 (RFC 6152, section 3).
var ErrCannotConvert = errors.New("message cannot be converted to 7 bits")

func cannot(why string) error { return fmt.Errorf("%w: %s", ErrCannotConvert, why) }

// To7Bit copies a message of one text part, CRLF text, with its body made
// quoted-printable, and says so in the header. Multipart, signed, encoded and
// all other messages give an error that wraps ErrCannotConvert; then nothing
// has been written to w. Only use it on what has octets past US-ASCII, as it
// converts without looking for them.
func To7Bit(r io.Reader, w io.Writer) error {
	in := bufio.NewReaderSize(r, 32<<10)
	lim := DefaultLimits()
	head, err := readHeader(in, lim.Octets)
	if err != nil {
		return err
	}
	h, err := Scan(head, lim)
	if err != nil {
		return err
	}
	out, err := header7Bit(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(out); err != nil {
		return fmt.Errorf("write converted header: %w", err)
	}
	qp := quotedprintable.NewWriter(w)
	if _, err := io.Copy(qp, in); err != nil {
		return fmt.Errorf("convert body to quoted-printable: %w", err)
	}
	if err := qp.Close(); err != nil {
		return fmt.Errorf("convert body to quoted-printable: %w", err)
	}
	return nil
}

// readHeader takes the lines up to the empty one, with it, off in.
func readHeader(in *bufio.Reader, limit int) ([]byte, error) {
	var head []byte
	lineStart := true
	for {
		piece, err := in.ReadSlice('\n')
		head = append(head, piece...)
		switch {
		case err == io.EOF:
			return head, nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read header: %w", err)
		case len(head) > limit:
			return nil, fmt.Errorf("%w: more than %d octets", ErrHeaderTooBig, limit)
		case lineStart && string(piece) == "\r\n":
			return head, nil
		}
		lineStart = bytes.HasSuffix(head, []byte("\r\n"))
	}
}

// header7Bit is the header, with its empty line, of the converted message.
func header7Bit(h Header) ([]byte, error) {
	for _, c := range h.text[:h.End] {
		if c >= 0x80 {
			return nil, cannot("header is not US-ASCII")
		}
	}
	for _, name := range []string{"Content-Type", "Content-Transfer-Encoding", "MIME-Version"} {
		if h.Count(name) > 1 {
			return nil, cannot("more than one " + name)
		}
	}
	if err := checkEncoding(h); err != nil {
		return nil, err
	}
	contentType, err := textType(h)
	if err != nil {
		return nil, err
	}
	out := h.RemoveFields("Content-Type", "Content-Transfer-Encoding", "MIME-Version")
	if len(out) > 0 && !bytes.HasSuffix(out, []byte("\r\n")) {
		out = append(out, '\r', '\n')
	}
	out = append(out, "MIME-Version: 1.0\r\n"...)
	out = append(out, contentType...)
	return append(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n"...), nil
}

func checkEncoding(h Header) error {
	f, found := h.First("Content-Transfer-Encoding")
	if !found {
		return nil
	}
	switch strings.ToLower(h.Value(f).ForHeader()) {
	case "7bit", "8bit":
		return nil
	}
	return cannot("content is encoded already")
}

// textType is the Content-Type field of the converted message: the present one
// if it is text, with a charset added where it names none (RFC 1428, section 3).
func textType(h Header) ([]byte, error) {
	f, found := h.First("Content-Type")
	if !found {
		return []byte("Content-Type: text/plain; charset=unknown-8bit\r\n"), nil
	}
	value := strings.ToLower(h.Value(f).ForHeader())
	if !strings.HasPrefix(value, "text/") {
		return nil, cannot("not of type text")
	}
	if strings.Contains(value, "charset") {
		return append(bytes.Clone(bytes.TrimRight(h.Raw(f), "\r\n")), '\r', '\n'), nil
	}
	raw := bytes.TrimRight(h.Raw(f), "; \t\r\n")
	return append(bytes.Clone(raw), ";\r\n\tcharset=unknown-8bit\r\n"...), nil
}
