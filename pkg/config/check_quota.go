package config

import (
	"fmt"

	"filbert/pkg/settings"
)

// quota checks the limits of a transport's mailboxes.
func (c *checker) quota(path string, t *settings.Transport) {
	if !contains(pathDrivers, t.Driver) {
		return
	}
	c.sizeAtLeast(path+".mailbox_limit", t.MailboxLimit, 0)
	c.atLeast(path+".mailbox_messages", t.MailboxMessages, 0)
	c.between(path+".mailbox_warn", settings.Or(t.MailboxWarn, 0), 0, 100)
	c.longerThan0(path+".warn_every", t.WarnEvery)
	c.longerThan0(path+".read_within", t.ReadWithin)
	if !c.oneOf(path+".when_full", t.WhenFull, "defer", "bounce", "defer-if-read", "deliver") {
		return
	}
	if t.MailboxLimit > 0 && t.MailboxLimit < c.s.Limits.MessageSize {
		c.warn(path+".mailbox_limit", fmt.Sprintf("is %s, less than one message may have (limits.message_size is %s)", t.MailboxLimit, c.s.Limits.MessageSize),
			"messages that are larger than a whole mailbox are returned at once; make limits.message_size smaller, or the mailboxes larger")
	}
	limited := t.MailboxLimit > 0 || t.MailboxMessages > 0
	for _, key := range []string{"mailbox_warn", "warn_every"} {
		if c.isSet(path+"."+key) && !limited {
			c.warn(path+"."+key, "has no effect without a limit to which it could come near",
				`write mailbox_limit = "SIZE" as well; with when_full = "deliver" it warns, and keeps nothing out`)
		}
	}
	if c.isSet(path+".read_within") && t.WhenFull != "defer-if-read" {
		c.warn(path+".read_within", fmt.Sprintf("has no effect with when_full = %q", t.WhenFull), `write when_full = "defer-if-read", or remove it`)
	}
	if t.WhenFull == "deliver" && !limited {
		c.warn(path+".when_full", `is "deliver" without a limit, and where the system's own quota is used up mail waits in any case`, `write mailbox_limit = "SIZE", or remove it`)
	}
}
