package localdeliver

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"filbert/pkg/outcome"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
)

// Status codes of mailboxes without room (RFC 3463). X.2.2 is said of the
// mailbox, whether our limit or the system's quota filled it: its user can make
// room. X.2.3 is said of a message that no mailbox of this size could ever hold.
// X.3.1 is the machine's, and its administrator's to mend.
var (
	statusFull       = smtp.Status{Class: 4, Subject: 2, Detail: 2} // mailbox full
	statusFullBounce = smtp.Status{Class: 5, Subject: 2, Detail: 2}
	statusTooLong    = smtp.Status{Class: 5, Subject: 2, Detail: 3} // message length exceeds administrative limit
	statusDiskFull   = smtp.Status{Class: 4, Subject: 3, Detail: 1} // mail system full
)

// usage is what a mailbox holds.
type usage struct {
	bytes, messages int64
}

// limits are those of a mailbox; 0 is none.
type limits struct {
	bytes, messages int64
	warn            int // percent; 0 never
}

func limitsOfMailbox(t settings.Transport) limits {
	return limits{bytes: t.MailboxLimit.Bytes(), messages: int64(t.MailboxMessages), warn: settings.Or(t.MailboxWarn, 0)}
}

func (l limits) any() bool { return l.bytes > 0 || l.messages > 0 }

// room tells whether a message of size more bytes fits.
func (l limits) room(u usage, size int64) bool {
	return (l.bytes <= 0 || u.bytes <= l.bytes-size) && (l.messages <= 0 || u.messages < l.messages)
}

// percent is how full the mailbox is, by the limit that is nearer.
func (l limits) percent(u usage) int {
	return max(share(u.bytes, l.bytes), share(u.messages, l.messages))
}

func share(n, limit int64) int {
	if limit <= 0 || n <= 0 {
		return 0
	}
	return int(min(float64(n)/float64(limit)*100, 1e6))
}

func (l limits) warns(u usage) bool { return l.any() && l.warn > 0 && l.percent(u) >= l.warn }

// String is the limits in words: "2 GB", "1000 messages", "2 GB and 1000 messages".
func (l limits) String() string {
	var words []string
	if l.bytes > 0 {
		words = append(words, inUnits(l.bytes))
	}
	if l.messages > 0 {
		words = append(words, fmt.Sprintf("%d messages", l.messages))
	}
	return strings.Join(words, " and ")
}

// inUnits is a size for people.
func inUnits(n int64) string {
	const units = "KMGT"
	f, unit := float64(n), ""
	for i := 0; f >= 1024 && i < len(units); i++ {
		f, unit = f/1024, units[i:i+1]
	}
	if unit == "" {
		return fmt.Sprintf("%d bytes", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + unit + "B"
}

// refuses is what to say of a message for which there is no room, nil where
// there is.
func (d *delivery) refuses(l limits, u usage, read func() time.Time, now time.Time) *outcome.Outcome {
	size := d.Job.Content.Size
	switch {
	case d.t.WhenFull == "deliver", l.room(u, size):
		return nil
	case l.bytes > 0 && size > l.bytes:
		// Nothing that the user removes could make room for it.
		return failed(outcome.Quota, statusTooLong, "the message (%s) is larger than the whole mailbox may be (%s)",
			inUnits(size), inUnits(l.bytes))
	}
	return d.full(fmt.Sprintf("the mailbox is full (it may have %s)", l), read, now)
}

// full is the outcome for a mailbox without room. read is asked only where it
// matters; it gives the zero time where nobody can tell.
func (d *delivery) full(why string, read func() time.Time, now time.Time) *outcome.Outcome {
	switch d.t.WhenFull {
	case "bounce":
		return failed(outcome.Quota, statusFullBounce, "%s", why)
	case "defer-if-read":
		if given(read(), d.t.ReadWithin.D(), now) {
			// When exactly he read it last is nobody's business.
			return failed(outcome.Quota, statusFullBounce, "%s, and has not been read for a long time", why)
		}
	}
	return deferred(outcome.Quota, statusFull, "%s", why)
}

// given tells whether a mailbox counts as given up. One of which nothing is
// known does not: better to wait in vain than to return mail of somebody who reads it.
func given(read time.Time, within time.Duration, now time.Time) bool {
	return !read.IsZero() && now.Sub(read) > within
}

// writeOutcome is fileOutcome for an error of writing to a mailbox, which may
// mean that the system's own quota has been used up.
func (d *delivery) writeOutcome(doing string, err error, read func() time.Time, now time.Time) *outcome.Outcome {
	if errors.Is(err, syscall.EDQUOT) && !errors.Is(err, errShort) {
		return d.full("the user's disk quota on this machine is used up", read, now)
	}
	return fileOutcome(doing, err)
}
