package dsn

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/message"
	"filbert/pkg/outcome"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// statusPart is the part for programs (RFC 3464, section 2).
func (r *Request) statusPart() []byte {
	kind := "message/delivery-status"
	if r.utf8Addresses() {
		kind = "message/global-delivery-status" // RFC 6533, section 3
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Description: Delivery report\r\nContent-Type: %s\r\n", kind)
	if r.utf8Addresses() {
		b.WriteString("Content-Transfer-Encoding: 8bit\r\n")
	}
	b.WriteString("\r\n")
	// RFC 3464, section 2.2: fields about the message.
	if id := r.Envelope.EnvID; !id.IsEmpty() {
		field(&b, "Original-Envelope-Id", id.ForHeader())
	}
	field(&b, "Reporting-MTA", "dns; "+r.Hostname)
	if c := r.Envelope.Client; c.Addr.IsValid() && !c.HELO.IsEmpty() {
		field(&b, "Received-From-MTA", "dns; "+c.HELO.ForHeader())
	}
	field(&b, "Arrival-Date", message.FormatDate(r.Envelope.Arrived.Local()))
	if w := &r.Envelope.Wishes; !w.ReleaseAt.IsZero() {
		field(&b, "Future-Release-Request", holdRequest(w)) // RFC 4865, section 5.1.2
	}
	if by := &r.Envelope.DeliverBy; !by.IsZero() {
		field(&b, "Deliver-By-Date", message.FormatDate(by.At.Local())) // RFC 2852, section 5
	}
	field(&b, "X-Filbert-Queue-Id", r.Envelope.ID.String())
	for i := range r.Envelope.Recipients {
		b.WriteString("\r\n")
		r.recipientFields(&b, i)
	}
	return []byte(b.String())
}

// recipientFields are those of one recipient (RFC 3464, section 2.3).
func (r *Request) recipientFields(b *strings.Builder, i int) {
	rc, o := &r.Envelope.Recipients[i], &r.Outcomes[i]
	if rc.OrigType != "" {
		field(b, "Original-Recipient", rc.OrigType+"; "+rc.Orig.ForHeader())
	}
	kind := "rfc822"
	if rc.Address.NeedsUTF8() {
		kind = "utf-8"
	}
	field(b, "Final-Recipient", kind+"; "+rc.Address.String())
	field(b, "Action", r.action(o))
	field(b, "Status", statusOf(r.What, o).String())
	if o.Remote != "" {
		field(b, "Remote-MTA", "dns; "+untrusted.From(o.Remote).ForHeader())
	}
	// The site's own words are for people: they stand in the first part alone. What a
	// server said is not theirs.
	if !o.Text.IsEmpty() && !r.succeeded() && (r.wordsFor(i).IsEmpty() || o.Remote != "") {
		field(b, "Diagnostic-Code", diagnosis(o))
	}
	field(b, "Last-Attempt-Date", message.FormatDate(r.Now))
	if r.What == Delay && !r.GiveUpAt.IsZero() {
		field(b, "Will-Retry-Until", message.FormatDate(r.GiveUpAt.In(r.Now.Location()).Truncate(time.Second)))
	}
}

// diagnosis is what was said: by a server with its reply code (RFC 3464,
// section 2.3.6, RFC 3461, section 9.2), else by us.
func diagnosis(o *outcome.Outcome) string {
	text := o.Text.ForHeader()
	if o.Remote == "" || o.Code == 0 {
		return "x-filbert; " + text
	}
	if code := strconv.Itoa(o.Code); !strings.HasPrefix(text, code) {
		text = code + " " + text
	}
	return "smtp; " + text
}

// action is the verb of RFC 3464, section 2.3.3.
func (r *Request) action(o *outcome.Outcome) string {
	switch r.What {
	case Delay:
		return "delayed"
	case Success, After:
		if o.Relayed {
			return "relayed"
		}
		if o.Class == outcome.Expanded {
			return "expanded"
		}
		return "delivered"
	}
	return "failed"
}

// holdRequest is orig-hold-param-value of RFC 4865, section 5.1.2: what the sender wrote.
func holdRequest(w *envelope.Wishes) string {
	if w.HoldFor > 0 {
		return "for;" + strconv.FormatInt(int64(w.HoldFor/time.Second), 10)
	}
	return "until;" + w.ReleaseAt.UTC().Format(time.RFC3339Nano)
}

// statusOf makes sure that the class of the status agrees with the action.
func statusOf(what What, o *outcome.Outcome) smtp.Status {
	s := o.Status
	want := map[What]int{Failure: 5, Double: 5, Delay: 4, Success: 2, After: 2}[what]
	if s.Class != want {
		s.Class = want
	}
	return s
}

func (r *Request) utf8Addresses() bool {
	for i := range r.Envelope.Recipients {
		if r.Envelope.Recipients[i].Address.NeedsUTF8() {
			return true
		}
	}
	return false
}

// field writes one field, folded at spaces below 78 columns where it can be
// (RFC 5322, section 2.2.3).
func field(b *strings.Builder, name, value string) {
	col := len(name) + 1
	b.WriteString(name + ":")
	for _, word := range strings.Fields(value) {
		if col+1+len(word) > 77 && col > len(name)+1 {
			b.WriteString("\r\n ")
			col = 1
		} else {
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += len(word)
	}
	b.WriteString("\r\n")
}
