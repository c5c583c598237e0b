package qmgr

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"filbert/pkg/envelope"
	"filbert/pkg/mailaddr"
	"filbert/pkg/pattern"
	"filbert/pkg/proto"
	"filbert/pkg/settings"
)

// filter is a proto.QueueFilter, compiled.
type filter struct {
	sender, recipient, domain *pattern.List
	older, younger            time.Duration
	larger, smaller           int64
	why                       *regexp.Regexp
	state                     string
	limit                     int
}

// parseFilter reads the query parameters of GET /v1/queue.
func parseFilter(v url.Values) (*filter, error) {
	var f proto.QueueFilter
	for key, values := range v {
		if len(values) != 1 {
			return nil, fmt.Errorf("filter %q is given %d times", key, len(values))
		}
		switch key {
		case "sender":
			f.Sender = values[0]
		case "recipient":
			f.Recipient = values[0]
		case "domain":
			f.Domain = values[0]
		case "older":
			f.Older = values[0]
		case "younger":
			f.Younger = values[0]
		case "state":
			f.State = values[0]
		case "larger":
			f.Larger = values[0]
		case "smaller":
			f.Smaller = values[0]
		case "why":
			f.Why = values[0]
		case "limit":
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 0 {
				return nil, fmt.Errorf("limit %q is not a number", values[0])
			}
			f.Limit = n
		default:
			return nil, fmt.Errorf("there is no filter %q", key)
		}
	}
	return compile(&f)
}

func compile(q *proto.QueueFilter) (*filter, error) {
	f := &filter{state: q.State, limit: q.Limit}
	if q.State != "" && q.State != "deferred" && q.State != "held" {
		return nil, fmt.Errorf("state %q: use deferred or held", q.State)
	}
	for _, p := range []struct {
		text string
		kind pattern.Kind
		to   **pattern.List
	}{{q.Sender, pattern.Addresses, &f.sender}, {q.Recipient, pattern.Addresses, &f.recipient}, {q.Domain, pattern.Domains, &f.domain}} {
		if p.text == "" {
			continue
		}
		l, err := pattern.CompileList([]string{p.text}, p.kind)
		if err != nil {
			return nil, err
		}
		*p.to = &l
	}
	for _, p := range []struct {
		text string
		to   *time.Duration
	}{{q.Older, &f.older}, {q.Younger, &f.younger}} {
		if p.text == "" {
			continue
		}
		var d settings.Duration
		if err := d.UnmarshalText([]byte(p.text)); err != nil {
			return nil, err
		}
		*p.to = d.D()
	}
	return f, f.compileMore(q)
}

// entry is the part that memory answers.
func (f *filter) entry(e *entry, now time.Time) bool {
	age := now.Sub(e.arrived.time())
	switch {
	case f.older != 0 && age < f.older, f.younger != 0 && age > f.younger:
		return false
	case f.larger != 0 && e.size <= f.larger, f.smaller != 0 && e.size >= f.smaller:
		return false
	case f.state == "held" && e.state != held, f.state == "deferred" && e.state == held:
		return false
	}
	return true
}

// onlyEntry tells whether the files need not be read.
func (f *filter) onlyEntry() bool {
	return f.sender == nil && f.recipient == nil && f.domain == nil && f.why == nil
}

// message is the part that needs the envelope.
func (f *filter) message(m *stored) bool {
	if !f.from(m.env) {
		return false
	}
	if f.why != nil && !f.reason(m) {
		return false
	}
	if f.recipient == nil && f.domain == nil {
		return true
	}
	for _, i := range m.book.Waiting() {
		if f.address(&m.env.Recipients[i].Address) {
			return true
		}
	}
	return false
}

// from tells whether the sender is as wanted.
func (f *filter) from(env *envelope.Envelope) bool {
	return f.sender == nil || f.sender.Match(env.Sender.String())
}

// to tells whether a recipient of the envelope is as wanted, whether or not he waits.
func (f *filter) to(env *envelope.Envelope) bool {
	if f.recipient == nil && f.domain == nil {
		return true
	}
	for i := range env.Recipients {
		if f.address(&env.Recipients[i].Address) {
			return true
		}
	}
	return false
}

func (f *filter) address(a *mailaddr.Address) bool {
	return (f.recipient == nil || f.recipient.Match(a.String())) && (f.domain == nil || f.domain.Match(a.Domain()))
}
