package pickup

import (
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/settings"
	"filbert/pkg/untrusted"
)

// hold is --hold-for or --hold-until: FUTURERELEASE for who has no session of SMTP (RFC 4865).
type hold struct {
	given    bool
	interval time.Duration
	until    time.Time
}

const (
	holdFor   = "--hold-for"
	holdUntil = "--hold-until"
)

// momentForms are how --hold-until may be written; without a zone it is the local time.
var momentForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04"}

// long reads one long option of sendmail; left is what follows it.
func (h *hold) long(word string, rest []string) (left []string, err error) {
	if word != holdFor && word != holdUntil {
		return nil, fail(exUsage, "there is no option %s", untrusted.From(word).ForTerminal())
	}
	if h.given {
		return nil, fail(exUsage, "one of %s and %s, once", holdFor, holdUntil)
	}
	v, rest, ok := value("", rest)
	if !ok {
		return nil, fail(exUsage, "option %s wants a value", word)
	}
	if h.given = true; word == holdFor {
		return rest, h.setInterval(v)
	}
	return rest, h.setMoment(v)
}

func (h *hold) setInterval(v string) error {
	var d settings.Duration
	if err := d.UnmarshalText([]byte(v)); err != nil || d.D() < time.Second || d.D() > envelope.MaxWait {
		return fail(exUsage, "option %s: a time like \"90s\", \"8h\" or \"2 days\" is wanted, %d seconds at most", holdFor, int64(envelope.MaxWait/time.Second))
	}
	h.interval = d.D().Truncate(time.Second)
	return nil
}

func (h *hold) setMoment(v string) error {
	for _, form := range momentForms {
		if t, err := time.ParseInLocation(form, v, time.Local); err == nil {
			h.until = t
			return nil
		}
	}
	return fail(exUsage, "option %s: a moment like \"2026-12-24 18:00\" or \"2026-12-24T18:00:00Z\" is wanted", holdUntil)
}

// wish puts into w when the message is to be sent. What is typed by hand is better refused
// than misunderstood: a moment that is over is a mistake.
func (h *hold) wish(w *envelope.Wishes, now time.Time) error {
	if !h.given {
		return nil
	}
	at := h.until
	if h.interval > 0 {
		at = now.Add(h.interval)
	}
	switch {
	case !at.After(now):
		return fail(exUsage, "option %s: that moment is over", holdUntil)
	case at.Sub(now) > envelope.MaxWait:
		return fail(exUsage, "option %s: that is too far away", holdUntil)
	}
	w.ReleaseAt, w.HoldFor = at.UTC().Truncate(time.Microsecond), h.interval
	return nil
}

// checkHold refuses to hold what is not handed in by this call: a promise that is not kept
// must not look like one that is.
func (o *options) checkHold() error {
	if o.hold.given && o.mode != modeDeliver && o.mode != modeRmail {
		return fail(exUsage, "%s and %s are for a message on standard input", holdFor, holdUntil)
	}
	return nil
}
