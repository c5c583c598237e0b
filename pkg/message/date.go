package message

import (
	"time"

	"filbert/pkg/queueid"
)

// FormatDate is the date-time of RFC 5322, section 3.3, in the zone of t.
func FormatDate(t time.Time) string { return t.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

// MessageID makes the value of a Message-ID field (RFC 5322, section 3.6.4)
// for a message that came without. The queue id alone makes it unique on this
// host; the date helps people, and keeps it so if ids ever begin anew.
func MessageID(id queueid.ID, hostname string, now time.Time) string {
	return "<" + now.UTC().Format("20060102150405") + "." + id.String() + "@" + hostname + ">"
}
