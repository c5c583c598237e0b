package rewrite

import (
	"slices"
	"strings"
)

// The sources that are no header fields.
const (
	EnvelopeSender     = "envelope-sender"
	EnvelopeRecipients = "envelope-recipients"
	everyHeader        = "headers"
	everySource        = "all"
)

// The doors that are no listeners.
const (
	DoorSendmail = "sendmail" // the sendmail command
	DoorReports  = "reports"  // the suite's own reports
)

// addressFields are the header fields that hold address lists: RFC 5322,
// sections 3.6.2, 3.6.3 and 3.6.6, receipts (RFC 8098, section 2.1), and what mail
// programs answer to beside them.
var addressFields = []string{
	"from", "sender", "reply-to", "to", "cc", "bcc",
	"resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc", "resent-bcc",
	"disposition-notification-to", "return-receipt-to", "mail-followup-to", "mail-reply-to", "errors-to",
}

// otherFields are known fields in which no rule may work: text, dates and ids
// have no addresses, and a trace is the word of others (RFC 5321, section 4.4).
var otherFields = []string{
	"received", "return-path", "delivered-to", "date", "subject", "comments", "keywords", "message-id", "in-reply-to", "references",
	"resent-date", "resent-message-id", "mime-version", "dkim-signature", "authentication-results", "list-id",
}

// Sources are the words for sources that are known: those of the envelope, the
// address fields, and the words for many.
func Sources() []string {
	return append([]string{EnvelopeSender, EnvelopeRecipients, everyHeader, everySource}, addressFields...)
}

// IsHeader tells a header field from the sources of the envelope.
func IsHeader(source string) bool { return source != EnvelopeSender && source != EnvelopeRecipients }

// checkSource gives a source in lower case, or what is wrong with it.
func checkSource(text string) (string, *Problem) {
	s := strings.ToLower(text)
	switch {
	case s == "":
		return "", &Problem{What: "is empty", Hint: `write a header field like "from", "envelope-sender", "envelope-recipients" or "all"`}
	case slices.Contains(otherFields, s):
		return "", &Problem{What: quoted(text) + " has no addresses to rewrite", Hint: "remove it"}
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }):
		// RFC 5322, section 3.6.8: ftext
		return "", &Problem{What: quoted(text) + " is no name of a header field", Hint: "write the name alone, without the colon"}
	}
	return s, nil
}

// expandSources writes out the words for many. A field that is named but not
// known is one all the same.
func expandSources(words []string) []string {
	var out []string
	for _, w := range words {
		switch w {
		case everySource:
			out = append(out, EnvelopeSender, EnvelopeRecipients)
			out = append(out, addressFields...)
		case everyHeader:
			out = append(out, addressFields...)
		default:
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
