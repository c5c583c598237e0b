package dsn

import (
	"strconv"
	"strings"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/outcome"
	"filbert/pkg/untrusted"
)

// The most of a value in the place of a placeholder, in octets.
const (
	maxValue  = 254 // an address (RFC 5321, section 4.5.3.1.3)
	maxReason = 300
)

// voice says the texts of one language about one report.
type voice struct {
	r        *Request
	texts    *Catalogue
	language string
	subject  string // of the message
}

func (r *Request) in(language string) *voice {
	if !r.Texts.Has(language) {
		language = English
	}
	return &voice{r, r.Texts, language, subjectOf(r.Returned)}
}

// say is the text of a key about the whole report: of its first recipient, where it
// has a word for one.
func (v *voice) say(key string) string { return v.sayOf(key, 0) }

// sayOf is the text of a key about recipient i.
func (v *voice) sayOf(key string, i int) string {
	return fill(v.texts.text(v.language, key), v.values(i))
}

func (v *voice) values(i int) map[string]string {
	r := v.r
	values := map[string]string{
		"contact": r.Contact, "site": r.Hostname, "subject": v.subject,
		"age": v.age(r.Now.Sub(r.Envelope.Arrived)), "until": v.date(r.until()),
		"count": strconv.Itoa(len(r.Envelope.Recipients)),
	}
	if i < len(r.Envelope.Recipients) {
		rc, o := &r.Envelope.Recipients[i], &r.Outcomes[i]
		values["recipient"] = oneLine(untrusted.From(rc.Address.String()), maxValue)
		values["domain"] = oneLine(untrusted.From(rc.Address.Domain()), maxValue)
		values["host"] = values["domain"]
		if o.Remote != "" {
			values["host"] = oneLine(untrusted.From(o.Remote), maxValue)
		}
		values["reason"] = oneLine(o.Text, maxReason)
		values["written"] = oneLine(untrusted.From(asWritten(rc)), maxValue)
		if known := r.knownOf(i); known != nil {
			values["since"] = v.date(known.Since.In(r.Now.Location()))
			values["gaveup"] = v.date(known.GaveUp.In(r.Now.Location()))
		}
	}
	return values
}

// until is when trying ends: it has, where no time is told.
func (r *Request) until() time.Time {
	if r.GiveUpAt.IsZero() {
		return r.Now
	}
	return r.GiveUpAt.In(r.Now.Location())
}

// asWritten is the address that the sender knows, where it differs.
func asWritten(rc *envelope.Recipient) string {
	if len(rc.Lineage) > 0 && rc.Lineage[0] != rc.Address {
		return rc.Lineage[0].String()
	}
	return ""
}

// date writes a time in words.
func (v *voice) date(t time.Time) string {
	return fill(v.texts.text(v.language, "date"), map[string]string{
		"weekday": v.nth("weekdays", int(t.Weekday())),
		"day":     strconv.Itoa(t.Day()),
		"month":   v.nth("months", int(t.Month())-1),
		"year":    strconv.Itoa(t.Year()),
		"time":    t.Format("15:04"),
		"zone":    t.Format("-0700"),
	})
}

func (v *voice) nth(key string, n int) string {
	names := strings.Split(v.texts.text(v.language, key), ",")
	return strings.TrimSpace(names[min(n, len(names)-1)])
}

// age writes a length of time in words, in one unit, of which there are two at
// least: "a day" says less than "30 hours".
func (v *voice) age(d time.Duration) string {
	n, unit := int(d/time.Minute), "minute"
	switch {
	case d >= 48*time.Hour:
		n, unit = int(d/(24*time.Hour)), "day"
	case d >= 2*time.Hour:
		n, unit = int(d/time.Hour), "hour"
	case d == 24*time.Hour:
		n, unit = 1, "day"
	case d == time.Hour:
		n, unit = 1, "hour"
	}
	if n <= 1 {
		return v.texts.text(v.language, "age."+unit)
	}
	return fill(v.texts.text(v.language, "age."+unit+"s"), map[string]string{"count": strconv.Itoa(n)})
}

// success is what became of a recipient that was served.
func (v *voice) success(i int) string {
	o := &v.r.Outcomes[i]
	switch {
	case o.Relayed:
		return v.sayOf("success.relayed", i)
	case o.Class == outcome.Expanded:
		return v.sayOf("success.expanded", i)
	}
	return v.sayOf("success.delivered", i)
}
