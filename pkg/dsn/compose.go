package dsn

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// What is reported.
type What uint8

// The reports.
const (
	Failure What = 1
	Delay   What = 2
	Success What = 3
	Double  What = 4 // a report of ours could not be delivered; goes to the postmaster
	After   What = 5 // a message whose delay was told has been delivered after all
)

// Request is all that a report is made of.
type Request struct {
	What     What
	Hostname string
	Contact  string           // whom to ask
	To       mailaddr.Address // who gets the report
	Now      time.Time
	Envelope *envelope.Envelope // Recipients are those reported on
	Outcomes []outcome.Outcome  // one for each
	Output   []untrusted.Text   // of commands, one for each, or nil
	// Words tells of each output whether it is what this site has to say to the
	// sender, instead of our words; one for each, or nil.
	Words    []bool
	Known    []Known   // one for each, or nil
	GiveUpAt time.Time // Delay

	// Texts are the words; nil = those of this program.
	Texts *Catalogue
	// Language is that of the words; "" = English. Guessed says that it is a guess:
	// then the words stand in English too, in short.
	Language string
	Guessed  bool

	// Returned is the header, or with Full all of the message, CRLF text.
	Returned []byte
	Full     bool
}

// maxSubjectField bounds our own subject, which a site's texts may put words of the
// sender in.
const maxSubjectField = 500

// Compose writes the report, without Date and Message-ID: cleanup adds them.
func Compose(r *Request) []byte {
	if r.Texts == nil {
		own := *r
		own.Texts = Shipped()
		r = &own
	}
	parts := [][]byte{r.plainPart(), r.statusPart(), r.returnedPart()}
	boundary := chooseBoundary(parts)
	var b strings.Builder
	fmt.Fprintf(&b, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", r.Hostname)
	fmt.Fprintf(&b, "To: %s\r\n", r.To.Path())
	encodedField(&b, "Subject", oneLine(untrusted.From(r.in(r.language()).title()), maxSubjectField))
	// RFC 3834, section 2: nobody's autoresponder should answer this.
	b.WriteString("Auto-Submitted: auto-replied\r\n")
	r.threading(&b)
	fmt.Fprintf(&b, "Content-Language: %s\r\n", r.contentLanguage())
	b.WriteString("MIME-Version: 1.0\r\n")
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n", boundary)
	if r.eightBit() {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\nThis is a delivery report in MIME format.\r\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\r\n--%s\r\n", boundary)
		b.Write(p)
	}
	fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	return []byte(b.String())
}

// threading lets mail programs show the report beside the message it is about.
func (r *Request) threading(b *strings.Builder) {
	h, err := message.Scan(r.Returned, message.DefaultLimits())
	if err != nil {
		return
	}
	f, ok := h.First("Message-ID")
	if !ok {
		return
	}
	id := h.Value(f).ForHeader()
	if isMessageID(id) {
		fmt.Fprintf(b, "In-Reply-To: %s\r\nReferences: %s\r\n", id, id)
	}
}

// isMessageID accepts the plain form <x@y> alone: the field was the sender's
// to write, and ours must hold nothing else.
func isMessageID(s string) bool {
	if len(s) < 5 || len(s) > 250 || s[0] != '<' || s[len(s)-1] != '>' || strings.Count(s, "@") != 1 {
		return false
	}
	for _, c := range s[1 : len(s)-1] {
		if c <= ' ' || c >= 127 || strings.ContainsRune(`<>()"\,;:`, c) {
			return false
		}
	}
	return true
}

// eightBit: RFC 6152: what has octets above 127 must say so.
func (r *Request) eightBit() bool {
	if r.Envelope.UTF8 || r.To.NeedsUTF8() {
		return true
	}
	for _, c := range r.Returned {
		if c > 127 {
			return true
		}
	}
	return r.utf8Addresses()
}

// wordsFor is what this site has to say about a recipient, or empty.
func (r *Request) wordsFor(i int) untrusted.Text {
	if i < len(r.Words) && i < len(r.Output) && r.Words[i] && (r.What == Failure || r.What == Double) {
		return r.Output[i]
	}
	return untrusted.Text{}
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] > 126 {
			return false
		}
	}
	return true
}

// chooseBoundary finds one that no part contains. It depends on the parts alone,
// so that a sender who wants it to occur has to find a fixed point of the hash.
func chooseBoundary(parts [][]byte) string {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write(p)
	}
	for n := 0; ; n++ {
		boundary := fmt.Sprintf("filbert-report-%016x-%d", h.Sum64(), n)
		if !occurs(boundary, parts) {
			return boundary
		}
	}
}

func occurs(s string, parts [][]byte) bool {
	for _, p := range parts {
		if strings.Contains(string(p), s) {
			return true
		}
	}
	return false
}

// returnedPart is the message or its header.
func (r *Request) returnedPart() []byte {
	kind, desc := "text/rfc822-headers", "Header of the message"
	if r.Full {
		kind, desc = "message/rfc822", "The message"
	}
	if r.Envelope.UTF8 {
		// RFC 6533, section 4: header text may be UTF-8.
		kind = map[bool]string{true: "message/global", false: "message/global-headers"}[r.Full]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Description: %s\r\nContent-Type: %s\r\n", desc, kind)
	if r.eightBit() {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.Returned)
	return []byte(b.String())
}
