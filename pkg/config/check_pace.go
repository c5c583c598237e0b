package config

import (
	"fmt"
	"time"

	"filbert/pkg/pace"
	"filbert/pkg/settings"
)

// maxPause is the longest back_off_pause: beyond it a mistyped unit is likelier than
// a wish.
const maxPause = 24 * time.Hour

// pace checks how fast a transport may send to one destination.
func (c *checker) pace(path string, t *settings.Transport) {
	c.between(path+".start_concurrency", t.StartConcurrency, 1, 100_000)
	if most := min(t.ConnectionsPerHost, c.s.Limits.PerDestination); c.isSet(path+".start_concurrency") && most >= 1 && t.StartConcurrency > most {
		c.warn(path+".start_concurrency", fmt.Sprintf("is %d; the most that a destination ever gets is %d", t.StartConcurrency, most),
			"raise connections_per_host and limits.per_destination, or lower this one")
	}
	c.shape(path, &t.Shape)
	// The default may stand there, as it does in the sample.
	if usual := (settings.Transport{}).Complete().BackOffPause; t.BackOffPause != usual && len(t.BackOffReplies) == 0 {
		c.bad(path+".back_off_pause", "has no effect without back_off_replies", `write back_off_replies = ["421"], or remove it`)
	}
}

// shape checks what transports and providers have in common.
func (c *checker) shape(path string, t *settings.Shape) {
	if _, err := pace.ParseRate(t.Rate); err != nil {
		c.bad(path+".rate", fmt.Sprintf("%q is no rate", t.Rate), `write "100 per minute": a whole number up to 1000000, and second, minute, hour or day`)
	}
	c.warmUp(path+".warm_up", t)
	for i, text := range t.BackOffReplies {
		if _, err := pace.ParseReply(text); err != nil {
			c.bad(fmt.Sprintf("%s.back_off_replies[%d]", path, i), fmt.Sprintf("%q is no pattern of a reply that refuses", text),
				`write a code like "421" or "45?", an enhanced one like "4.7.28" or "4.7.*", both ("421 4.7.*"), or a regular expression for the text ("/too many/")`)
		}
	}
	if t.BackOffPause < 0 || t.BackOffPause == 0 && c.isSet(path+".back_off_pause") {
		c.longerThan0(path+".back_off_pause", t.BackOffPause)
	}
	if t.BackOffPause.D() > maxPause {
		c.bad(path+".back_off_pause", fmt.Sprintf("is %s; the most is a day", t.BackOffPause), "")
	}
}

// warmUp checks a rate that grows.
func (c *checker) warmUp(path string, t *settings.Shape) {
	w := t.WarmUp
	if w == nil {
		return
	}
	if _, err := time.Parse(time.DateOnly, w.From); err != nil {
		c.bad(path+".from", fmt.Sprintf("%q is no date", w.From), `write the first day as text: "2026-12-01"`)
	}
	c.between(path+".days", w.Days, 1, pace.MaxWarmUp)
	first, err := pace.ParseRate(w.First)
	if err != nil || first.N == 0 {
		c.bad(path+".first", fmt.Sprintf("%q is no rate", w.First), `write how many on the first day, like "50 per day"`)
		return
	}
	switch full, err := pace.ParseRate(t.Rate); {
	case err != nil: // which is told
	case full.N == 0:
		c.bad(path, "has nothing to grow to", "set the rate, too, which holds behind the last day")
	case first.Daily() >= full.Daily():
		c.bad(path+".first", fmt.Sprintf("%q is no less than the rate, %q", w.First, t.Rate), "begin with less")
	}
}
