package dsn

import (
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"

	"filbert/pkg/message"
	"filbert/pkg/untrusted"
)

// The most octets of text in one encoded word: RFC 2047, section 2, allows a word
// 75 characters and its line 76, of which the first has the field's name.
const (
	firstWord = 36
	otherWord = 45
)

// encodedField writes a field of text, in encoded words where it is not US-ASCII
// (RFC 2047).
func encodedField(b *strings.Builder, name, text string) {
	if isASCII(text) && !strings.Contains(text, "=?") {
		field(b, name, text)
		return
	}
	b.WriteString(name + ":")
	room := firstWord
	for len(text) > 0 {
		n := min(room, len(text))
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n-- // RFC 2047, section 5: no character in two words
		}
		if room != firstWord {
			b.WriteString("\r\n")
		}
		b.WriteString(" =?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(text[:n])) + "?=")
		text, room = text[n:], otherWord
	}
	b.WriteString("\r\n")
}

// decodeWords makes the text of a field readable; what is in a character set that
// is not known here stays as it is.
func decodeWords(value string) string {
	if !strings.Contains(value, "=?") {
		return value
	}
	text, err := new(mime.WordDecoder).DecodeHeader(value)
	if err != nil {
		return value
	}
	return text
}

// maxSubject is how much of a subject is shown, in octets.
const maxSubject = 150

// subjectOf is the subject of the message, to be shown, or nothing.
func subjectOf(header []byte) string {
	h, err := message.Scan(header, message.DefaultLimits())
	if err != nil {
		return ""
	}
	f, ok := h.First("Subject")
	if !ok {
		return ""
	}
	return oneLine(untrusted.From(decodeWords(h.Value(f).ForHeader())), maxSubject)
}

// oneLine is somebody's text on one line and within a length.
func oneLine(t untrusted.Text, most int) string {
	s := strings.Join(strings.Fields(t.ForReport()), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
