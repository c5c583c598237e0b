package mtactl

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"filbert/pkg/history"
	"filbert/pkg/outcome"
	"filbert/pkg/proto"
	"filbert/pkg/queueid"
	"filbert/pkg/retry"
	"filbert/pkg/settings"
	"filbert/pkg/smtp"
	"filbert/pkg/untrusted"
)

// Bounds of what is kept of the past, together some 300 MB.
const (
	mostMail  = 200_000
	mostSeen  = 1_000_000
	pastPage  = 10_000 // messages of one question
	pastWords = 200    // runes of a server's words: times that it names stand in front
)

// pastTime is the time that --past means.
func pastTime(text string, now time.Time) (time.Time, error) {
	var d settings.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil || d <= 0 {
		return now, fail(exUsage, "write a time with its unit, like 12h or 7d", "--past: %s is no time", show(text))
	}
	return now.Add(-d.D()), nil
}

// eachPast calls fn with each message that the history has of a time, the newest first.
// It asks page by page, as one answer is bounded, and keeps one page's ids.
func (a *app) eachPast(cl *client, since, until time.Time, fn func(*proto.HistoryMessage)) error {
	seen := map[string]bool{}
	for {
		page := map[string]bool{}
		oldest, n, fresh := until, 0, 0
		q := proto.HistoryQuery{Since: since.UTC().Format(time.RFC3339Nano), Until: until.UTC().Format(time.RFC3339Nano), Limit: pastPage}
		err := a.streamHistory(cl, &q, func(m *proto.HistoryMessage) {
			n++
			oldest = arrivalOf(m)
			name := m.ID
			if name == "" {
				name = m.Events[0].At.String() + m.Events[0].Facts["client"]
			}
			if page[name] = true; !seen[name] {
				fresh++
				fn(m)
			}
		})
		if err != nil || n < pastPage || fresh == 0 {
			return err
		}
		// The next page begins with the millisecond that this one ends with.
		seen, until = page, oldest.Truncate(time.Millisecond).Add(time.Millisecond)
	}
}

// arrivalOf is by what mtadb puts messages in order.
func arrivalOf(m *proto.HistoryMessage) time.Time {
	if id, err := queueid.Parse(m.ID); err == nil {
		return id.Time()
	}
	return m.Events[0].At
}

func (a *app) streamHistory(cl *client, q *proto.HistoryQuery, fn func(*proto.HistoryMessage)) error {
	body, err := cl.open(a.ctx, http.MethodGet, "/v1/history?"+historyValues(q), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	in := bufio.NewScanner(body)
	in.Buffer(make([]byte, 64<<10), maxHistoryLine)
	for in.Scan() {
		var m proto.HistoryMessage
		if err := json.Unmarshal(in.Bytes(), &m); err != nil {
			return fail(exUnavailable, "", "the answer of mtadb cannot be read").because(err)
		}
		if m.Error != "" {
			return fail(exUnavailable, "ask for less: --past 1d", "the history cannot be read whole: %s", show(m.Error))
		}
		if len(m.Events) > 0 {
			fn(&m)
		}
	}
	if err := in.Err(); err != nil {
		return fail(exUnavailable, "", "the answer of mtadb ended early").because(err)
	}
	return nil
}

// pastEvent is what one line tells of an attempt for a recipient.
type pastEvent struct {
	at     time.Time
	began  time.Time
	to     string
	domain string
	host   string
	server bool // it was about one, named or not
	made   bool // an attempt was: else it was put off, or stood in our own way
	ended  pastEnd
	fail   retry.Failure // of a deferral
}

// pastEnd is how the mail of a recipient ended.
type pastEnd uint8

const (
	pastWaits     pastEnd = 0
	pastDelivered pastEnd = 1
	pastRefused   pastEnd = 2 // for good
	pastReturned  pastEnd = 3 // it was given up
	pastTaken     pastEnd = 4 // out of the queue, by an administrator
)

// pastEventOf reads one line; false: it is about no attempt.
func pastEventOf(e *proto.HistoryEvent) (p pastEvent, ok bool) {
	p = pastEvent{at: e.At, to: history.Path(e.Facts["to"]), host: e.Facts["host"], made: true}
	_, p.domain, _ = strings.Cut(p.to, "@")
	p.domain = strings.ToLower(p.domain)
	kind := outcome.Kind(e.Facts["kind"])
	p.fail = retry.Failure{Kind: kind, Text: untrusted.From(e.Facts["said"]).Clip(pastWords)}
	p.fail.Code, _ = strconv.Atoi(e.Facts["code"]) // none is 0
	took, _ := time.ParseDuration(e.Facts["took"])
	p.began = e.At.Add(-took)
	p.fail.Status, _ = smtp.ParseStatus(e.Facts["status"])
	p.server = p.host != ""
	if !p.server && slices.Contains(serverKinds, kind) {
		p.server, p.host = true, spokenTo(e.Facts["said"])
	}
	switch {
	case p.to == "":
		return p, false
	case e.What == "delivered":
		p.ended = pastDelivered
	case e.What == "failed" && kind == outcome.Expired:
		p.ended = pastReturned
	case e.What == "failed" && kind == outcome.Cancelled:
		p.ended = pastTaken
	case e.What == "failed":
		p.ended = pastRefused
	case e.What == "deferred":
		putOff := e.Facts["host"] == "" && strings.Contains(e.Facts["said"], "; it is tried again at ")
		p.made = !putOff && !p.fail.Own()
	default:
		return p, false
	}
	return p, true
}

// serverKinds are the failures of servers that may not have said who they are.
var serverKinds = []outcome.Kind{outcome.Refused, outcome.TimedOut, outcome.Unreachable, outcome.LostConnection,
	outcome.Protocol, outcome.TLS, outcome.Auth, outcome.Greeting, outcome.HELO}

// spokenTo is the server that a line names, "mx.example.org[192.0.2.1]:25: refused",
// "" if it names none.
func spokenTo(said string) string {
	name, rest, named := strings.Cut(said, "[")
	if named && name != "" && !strings.ContainsAny(name, " :") && strings.Contains(rest, "]") {
		return name
	}
	return ""
}

// pastSoon is how long behind the arrival a first attempt may end and be the one that is
// made at once.
const pastSoon = 5 * time.Minute

// first has the first attempt for a recipient begin with the arrival, as a replayed one
// does: what it found was so then.
func (p *pastEvent) first(arrived time.Time, begun map[string]bool) {
	if !begun[p.to] && p.began.Sub(arrived) < pastSoon {
		p.began = arrived
	}
	begun[p.to] = true
}

// way is by what the retry rules would know whom an attempt was for: mail for a domain
// goes to one server, what has no server is the address's.
func (p *pastEvent) way() string {
	if p.server {
		return "server " + p.domain
	}
	return "address " + strings.ToLower(p.to)
}

// pair is by what they know what a server says of one sender and one recipient.
func (p *pastEvent) pair(sender string) string {
	return "pair " + strings.ToLower(p.to) + " <" + strings.ToLower(sender) + ">"
}

// pastMail is one recipient as it was recorded.
type pastMail struct {
	retry.Mail
	id     string
	server bool      // it was to go to one
	at     time.Time // when it ended
	ended  pastEnd
}

// pastWorld is what is kept of the past: what failed, and the mail that went there.
type pastWorld struct {
	since, until time.Time
	messages     int
	ways         map[string]int
	seen         [][]retry.Seen // by way
	kept         int            // of seen
	mail         []pastMail
	load         load
	moreMail     int // that were not kept
	moreSeen     int
}

// failures is the first pass: who failed, and when.
func (w *pastWorld) failures(m *proto.HistoryMessage) {
	sender, arrived, ok := pastDue(m)
	if !ok {
		return
	}
	w.messages++
	last, begun := map[string]retry.Failure{}, map[string]bool{}
	for i := range m.Events {
		p, ok := pastEventOf(&m.Events[i])
		if !ok {
			continue
		}
		p.first(arrived, begun)
		if !p.made {
			continue
		}
		f := p.fail
		switch p.ended {
		case pastWaits:
			last[p.to] = f
		case pastReturned:
			// The line tells that it was given up, and not of what: of what it waited for.
			if before, ok := last[p.to]; ok {
				f = before
			} else {
				f = retry.Failure{Kind: outcome.TimedOut}
			}
		default:
			continue
		}
		if f.OfPair() {
			w.see(p.pair(sender), retry.Seen{At: p.began, Failure: f})
		} else {
			w.see(p.way(), retry.Seen{At: p.began, Failure: f})
		}
	}
}

func (w *pastWorld) see(way string, s retry.Seen) {
	if w.kept >= mostSeen {
		w.moreSeen++
		return
	}
	at, known := w.ways[way]
	if !known {
		at = len(w.seen)
		w.ways[way] = at
		w.seen = append(w.seen, nil)
	}
	w.seen[at] = append(w.seen[at], s)
	w.kept++
}

// takes is the second pass: when it worked again, and what waited.
func (w *pastWorld) takes(m *proto.HistoryMessage) {
	sender, arrived, ok := pastDue(m)
	if !ok {
		return
	}
	var list []*pastMail
	byTo, begun := map[string]*pastMail{}, map[string]bool{}
	for i := range m.Events {
		p, ok := pastEventOf(&m.Events[i])
		if !ok {
			continue
		}
		p.first(arrived, begun)
		w.worked(&p, sender)
		r := byTo[p.to]
		if r == nil {
			r = &pastMail{id: m.ID, Mail: retry.Mail{Arrived: arrived, Subject: retry.Subject{Address: p.to, Domain: p.domain, Sender: sender}}}
			byTo[p.to], list = r, append(list, r)
		}
		r.take(&p)
	}
	for _, r := range list {
		w.keep(r, m)
	}
}

// worked notes that a way which fails at times did not.
func (w *pastWorld) worked(p *pastEvent, sender string) {
	answered := p.ended == pastDelivered || p.ended == pastRefused
	if !p.made || !answered && !(p.ended == pastWaits && p.fail.OfPair()) {
		return
	}
	if _, fails := w.ways[p.way()]; fails {
		w.see(p.way(), retry.Seen{At: p.began, Worked: true})
	}
	if _, fails := w.ways[p.pair(sender)]; fails && answered {
		w.see(p.pair(sender), retry.Seen{At: p.began, Worked: true})
	}
}

// take adds a line to what is known of a recipient.
func (r *pastMail) take(p *pastEvent) {
	r.server = r.server || p.server
	if p.host != "" {
		r.Subject.Host, r.Subject.MX = p.host, retry.MXThere
		if strings.EqualFold(p.host, p.domain) {
			r.Subject.MX = retry.MXNone
		}
	}
	if p.ended != pastWaits {
		r.ended, r.at = p.ended, p.at
	}
}

// keep keeps a recipient if what it depends on failed.
func (w *pastWorld) keep(r *pastMail, m *proto.HistoryMessage) {
	p := pastEvent{to: r.Subject.Address, domain: r.Subject.Domain, server: r.server}
	at, known := w.ways[p.way()]
	if !known && !p.server {
		at, known = w.ways["server "+p.domain] // it was only ever put off
	}
	if known {
		r.Ways = append(r.Ways, at)
	}
	if at, known := w.ways[p.pair(r.Subject.Sender)]; known {
		r.Ways = append(r.Ways, at)
	}
	switch {
	case len(r.Ways) == 0:
	case len(w.mail) >= mostMail:
		w.moreMail++
	default:
		w.mail = append(w.mail, *r)
		for i := range m.Events {
			if p, ok := pastEventOf(&m.Events[i]); ok && p.made && p.to == r.Subject.Address {
				w.load.add(p.at)
			}
		}
	}
}

// pastReceived is who sent a message, and when it came.
func pastReceived(m *proto.HistoryMessage) (sender string, at time.Time, ok bool) {
	for i := range m.Events {
		if e := &m.Events[i]; e.What == "received" {
			if sender = history.Path(e.Facts["from"]); sender == "<>" {
				sender = ""
			}
			return sender, e.At, m.ID != ""
		}
	}
	return "", at, false
}

// pastDue is pastReceived with the moment from which it was to be tried: of a message that
// was to be sent later that is the first attempt, without which there is nothing to replay.
func pastDue(m *proto.HistoryMessage) (sender string, at time.Time, ok bool) {
	sender, at, ok = pastReceived(m)
	later := slices.ContainsFunc(m.Events, func(e proto.HistoryEvent) bool { return e.What == "filed" && e.Facts["why"] == "later" })
	if !ok || !later {
		return sender, at, ok
	}
	for i := range m.Events {
		if p, is := pastEventOf(&m.Events[i]); is {
			return sender, p.began, true
		}
	}
	return sender, at, false
}

// load is how many attempts were made, by the minute.
type load map[int64]int

func (l load) add(at time.Time) { l[at.Unix()/60]++ }

// perHour is the most attempts within 60 minutes.
func (l load) perHour() int {
	most := 0
	for minute := range l {
		sum := 0
		for m := minute; m < minute+60; m++ {
			sum += l[m]
		}
		most = max(most, sum)
	}
	return most
}

func (l load) total() int {
	n := 0
	for _, c := range l {
		n += c
	}
	return n
}
