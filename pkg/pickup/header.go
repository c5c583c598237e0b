package pickup

import (
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/untrusted"
)

// maxHeader bounds the header, far above what cleanup lets pass.
const maxHeader = 512 << 10

// maxFullName bounds the name of a From field that we make.
const maxFullName = 200

// scanHeader finds the header of collected text. A program's output without any
// header is found to be all body, however long its lines go on.
func scanHeader(c *content) (message.Header, error) {
	h, err := message.Scan(c.head, message.Limits{Fields: len(c.head), Octets: len(c.head)})
	if err != nil {
		return h, fail(exDataErr, "read the header: %v", err)
	}
	h = h.EndAtJunk()
	if h.End > maxHeader {
		return h, fail(exDataErr, "the header is larger than %d bytes", maxHeader)
	}
	return h, nil
}

// finishHeader puts the header as it shall be in front of the body: without the
// mbox line and the blind copies, with from if it is not empty, and always with
// an empty line behind it.
func finishHeader(c *content, h message.Header, from string) {
	kept := h.RemoveFunc(func(f message.Field) bool {
		return f.Kind == message.KindMboxFrom || h.Is(f, "Bcc") || h.Is(f, "Resent-Bcc")
	})
	head := make([]byte, 0, len(from)+len(kept)+len(c.head)-h.Body+4)
	head = append(head, from...)
	head = append(head, kept...)
	head = append(head, "\r\n"...)
	c.head = append(head, c.head[h.Body:]...)
}

// headerRecipients are those that -t asks for.
func headerRecipients(h message.Header) ([]mailaddr.Address, error) {
	names := []string{"To", "Cc", "Bcc"}
	fields := h.Fields
	if block := resentBlock(h); block != nil {
		names, fields = []string{"Resent-To", "Resent-Cc", "Resent-Bcc"}, block
	}
	var all []mailaddr.Address
	for _, f := range fields {
		for _, name := range names {
			if !h.Is(f, name) {
				continue
			}
			list, err := mailaddr.ParseList(h.RawValue(f))
			if err != nil {
				return nil, fail(exDataErr, "the %s field cannot be understood, nothing was sent: %v", name, err)
			}
			for _, e := range list {
				all = append(all, e.Address)
			}
		}
	}
	return all, nil
}

// resentBlock is the fields of the last resending (RFC 5322, section 3.6.6), nil
// if the message is no resent one. Blocks are put in front, so it is the first;
// it ends where a name comes again, or a trace field. A Resent- field behind a
// trace field is of a journey that is over.
func resentBlock(h message.Header) []message.Field {
	seen := map[string]bool{}
	var block []message.Field
	for _, f := range h.Fields {
		if h.Is(f, "Received") || h.Is(f, "Return-Path") {
			break
		}
		name := fieldName(h, f)
		if !strings.HasPrefix(name, "resent-") {
			continue
		}
		if seen[name] {
			break
		}
		seen[name] = true
		block = append(block, f)
	}
	return block
}

// fieldName is the name in lower case, to be compared.
func fieldName(h message.Header, f message.Field) string {
	return strings.ToLower(h.Name(f).ForWire())
}

// fromField makes a From field of a person's name.
func fromField(name string, a mailaddr.Address) string {
	return "From: " + phrase(name) + " <" + a.String() + ">\r\n"
}

// phrase is a display name as RFC 5322, section 3.2.5 writes it: words as they
// are, else a quoted string, else encoded words (RFC 2047, section 5).
func phrase(name string) string {
	s := untrusted.From(name).ForHeader()
	for len(s) > maxFullName || !utf8.ValidString(s) {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	plain := s != ""
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return encodedWords(s)
		}
		plain = plain && (isAlnum(s[i]) || strings.IndexByte(" !#$%&'*+-/=?^_`{|}~", s[i]) >= 0)
	}
	if plain && !strings.Contains(s, "=?") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func isAlnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// encodedWords is base64 in pieces of whole characters, each word within the 75
// octets of RFC 2047, section 2, and on a line of its own.
func encodedWords(s string) string {
	const most = 45 // octets: 60 encoded
	var words []string
	for s != "" {
		n := 0
		for n < len(s) {
			_, size := utf8.DecodeRuneInString(s[n:])
			if n+size > most {
				break
			}
			n += size
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, "\r\n ")
}
